"""``skillwarden check``: judge a skill on this machine, with the operator's own code."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ..domain.assess import Assessment, Evidence
from ..domain.errors import InvalidInputError
from ..domain.policy import Maturity
from ..runtime.settings import Settings
from ..services.records import PolicyRecord, SkillRecord
from ..skillmd.frontmatter import SKILL_FILE
from ..skillmd.manifest import is_skill_folder
from ..skillmd.problems import FolderError
from .ending import WRONG_USE, run_command
from .importing import (
    EnvOption,
    ExcludeOption,
    TakeProposalsOption,
    WithoutOption,
    choices_of,
    show_remarks,
)
from .judging import (
    AdvisoriesOption,
    MaturityOption,
    PolicyOption,
    bench,
    chosen_policies,
    maturity_for,
    named_maturity,
    one_skill,
)
from .manifests import read_given
from .outcome import UNDECIDED, Outcome, outcome_of, outcome_of_folder
from .render import render_json, render_sarif, render_table
from .showpod import pod_of
from .terminal import output, progress


class OutputFormat(StrEnum):
    """How the judgement is printed."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"


def command(  # noqa: PLR0917 - typer names every option by its parameter
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A manifest with one Skill (and, if wanted, its Agent and policies), a folder of such"
            " manifests, or a folder with a SKILL.md.",
        ),
    ],
    policy: PolicyOption = None,
    maturity: MaturityOption = None,
    advisories: AdvisoriesOption = None,
    fmt: Annotated[
        OutputFormat,
        typer.Option("--format", help="table for people, json for scripts, sarif for code scanning."),
    ] = OutputFormat.TABLE,
    show_pod: Annotated[
        bool,
        typer.Option("--show-pod", help="Also print the Pod that would run (as YAML; with json, as `pod`)."),
    ] = False,
    env: EnvOption = None,
    exclude: ExcludeOption = None,
    without: WithoutOption = None,
    take_proposals: TakeProposalsOption = False,
) -> None:
    """Judge a skill with no cluster: resolve its closure, scan it, evaluate the policies.

    Nothing of the skill or of its packages is run. The verdict is the one that the operator would give,
    by the same code. Advisories come first: skillwarden advisories sync --from URL|DIR

    Exit code 0: allowed. 1: not allowed, also where the skill itself is invalid or its packages cannot be
    resolved. 2: it could not be judged now. 64: wrong use.
    """
    try:
        if show_pod and fmt is OutputFormat.SARIF:
            raise InvalidInputError(
                "--show-pod has no place in SARIF.", fix="Use --format table or --format json."
            )
        asked = named_maturity(maturity)
        given = read_given(path, choices_of(env, exclude, without, take_proposals=take_proposals))
        show_remarks(path, given.remarks)
        record = one_skill(given, path)
        policies = chosen_policies(policy, given, record)
        level = maturity_for(asked, record, given)
    except FolderError as error:
        outcome = outcome_of_folder(
            path.resolve().name, error.remarks, named_maturity(maturity) or Maturity.STUDENT
        )
        _print(outcome, fmt=fmt, path=path)
        raise typer.Exit(outcome.exit_code) from error
    except InvalidInputError as error:
        typer.echo(f"skillwarden check: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    work = _check(record, policies, level, advisories, fmt=fmt, path=path, show_pod=show_pod)
    run_command("check", work, failed=UNDECIDED)


async def _check(
    record: SkillRecord,
    policies: tuple[PolicyRecord, ...],
    maturity: Maturity,
    advisories: Path | None,
    *,
    fmt: OutputFormat,
    path: Path,
    show_pod: bool,
) -> int:
    settings = Settings()
    with progress("Reading the advisories …") as say:
        async with bench(settings, advisories) as made:
            evidence, assessment = await made.judge(record, policies, maturity, say=say)
    return _report(record, evidence, assessment, fmt=fmt, path=path, settings=settings, show_pod=show_pod)


def _report(
    record: SkillRecord,
    evidence: Evidence,
    assessment: Assessment,
    *,
    fmt: OutputFormat,
    path: Path,
    settings: Settings,
    show_pod: bool,
) -> int:
    pod = pod_of(record, evidence, assessment, settings) if show_pod else None
    outcome = outcome_of(record, assessment)
    _print(outcome, fmt=fmt, path=path, extra={"pod": pod} if show_pod else None)
    if show_pod and fmt is OutputFormat.TABLE:
        typer.echo("---\n" + yaml.safe_dump(pod, sort_keys=False) if pod else "\nNo Pod would run.")
    return outcome.exit_code


def _print(outcome: Outcome, *, fmt: OutputFormat, path: Path, extra: dict[str, Any] | None = None) -> None:
    match fmt:
        case OutputFormat.JSON:
            typer.echo(render_json(outcome.explanation, problems=outcome.problems, extra=extra), nl=False)
        case OutputFormat.SARIF:
            uri = path / SKILL_FILE if is_skill_folder(path) else path
            typer.echo(render_sarif(outcome.explanation, uri.as_posix(), problems=outcome.problems), nl=False)
        case OutputFormat.TABLE:
            render_table(outcome.explanation, output(), problems=outcome.problems)
