"""``skillwarden policy``: try policies out, on cases in CI and on the skills of a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..domain.errors import InvalidInputError
from ..runtime.settings import Settings
from . import policydiff
from .ending import WRONG_USE, run_command
from .judging import AdvisoriesOption, bench
from .policy_cases import Case, Result, compare, read_cases
from .terminal import FormatOption, OutputFormat, progress

PASSED, FAILED, UNDECIDED = 0, 1, 2

app = typer.Typer(help="Try policies out before they count.", no_args_is_help=True)
app.command("diff")(policydiff.command)


@app.callback()
def group() -> None:
    """Try policies out before they count."""


@app.command("test")
def test(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", exists=True, help="Holds *.case.yaml, at any depth; or one such file."
        ),
    ],
    advisories: AdvisoriesOption = None,
    fmt: FormatOption = OutputFormat.TEXT,
) -> None:
    """Judge skills by policies and compare with what is expected of them; for CI.

    A case names a skill, the policies (else those beside the skill, else the shipped baseline), a maturity,
    and the verdict, reason and ground that it expects. Skills are judged as `check` does, by the same code.

    Exit code 0: every case is as expected. 1: one is not. 2: the only ones that are not could not be judged
    now (index or advisories do not answer). 64: wrong use, also where there is no case or one cannot be read.
    """
    try:
        cases = read_cases(folder)
    except InvalidInputError as error:
        typer.echo(f"skillwarden policy test: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error

    async def work() -> int:
        results = await _judged(cases, advisories)
        if fmt is OutputFormat.JSON:
            typer.echo(json.dumps([result.to_json() for result in results], indent=2))
        else:
            _show(results)
        wrong = [result for result in results if result.wrong]
        if any(not result.undecided for result in wrong):
            return FAILED
        return UNDECIDED if wrong else PASSED

    run_command("policy test", work(), failed=UNDECIDED)


async def _judged(cases: list[Case], advisories: Path | None) -> list[Result]:
    results = []
    with progress("Reading the advisories …") as say:
        async with bench(Settings(), advisories) as made:
            for number, case in enumerate(cases, 1):
                say(f"{number} of {len(cases)}: {case.name} …")
                _, assessment = await made.judge(case.record, case.policies, case.maturity)
                results.append(compare(case, assessment))
    return results


def _show(results: list[Result]) -> None:
    for result in results:
        word = "UNDECIDED" if result.undecided else "FAIL" if result.wrong else "ok"
        typer.echo(f"{word:<10}{result.case.name}: {result.verdict} ({result.reason})")
        if result.wrong:
            typer.echo(f"          {result.case.place}")
            lines = [*result.wrong, *(f"ground: {ground}" for ground in result.grounds[:5])]
            for line in lines:
                typer.echo(f"          - {line}")
    passed = sum(not result.wrong for result in results)
    typer.echo(f"{passed} of {len(results)} case(s) as expected")
