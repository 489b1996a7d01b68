"""``skillwarden check``: judge a skill on this machine, with the operator's own code."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ..advisories.errors import AdvisoryError
from ..advisories.feed import AdvisoryFeed
from ..advisories.sync import sync
from ..depot.fetch import Fetcher
from ..depot.local import LocalDepot
from ..depot.store import DepotStore
from ..domain.assess import Assessment, Evidence
from ..domain.errors import InvalidInputError, UnavailableError
from ..domain.policy import Maturity
from ..runtime.context import closure_resolver, sandbox_setup, utc_now
from ..runtime.settings import Settings
from ..scan.factory import default_scanners
from ..scan.names import name_findings
from ..scan.runner import ScanRunner
from ..scan.source.look import source_findings
from ..services.offline import OfflineCase, judge_offline
from ..services.records import SkillRecord, agent_record, policy_record, skill_record
from ..services.runtimes import choose_platform
from ..services.stages import Stages, reader_of
from ..services.store import readable
from ..skillmd.frontmatter import SKILL_FILE
from ..skillmd.manifest import is_skill_folder
from ..skillmd.problems import FolderError
from .cluster import run_command
from .importing import show_remarks
from .manifests import Given, baseline_policies, read_documents, read_given
from .outcome import UNDECIDED, Outcome, outcome_of, outcome_of_folder
from .render import render_json, render_sarif, render_table
from .showpod import pod_of
from .terminal import output, progress

WRONG_USE = 64


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
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            help="File with PackagePolicies or ClusterPackagePolicies; may be repeated. All of them apply."
            " Without it: the policies beside the Skill in PATH, else the shipped baseline.",
        ),
    ] = None,
    maturity: Annotated[
        str | None,
        typer.Option(
            "--maturity",
            metavar="LEVEL",
            help="Judge as for an agent of this level: Student, Intern, Supervised or Autonomous."
            " Without it: that of the Skill's Agent if PATH has it, else Student.",
        ),
    ] = None,
    advisories: Annotated[
        Path | None,
        typer.Option(
            "--advisories",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Folder that `skillwarden advisories sync --into` wrote, or one of OSV records (JSON)."
            " Without it: what `skillwarden advisories sync` wrote.",
        ),
    ] = None,
    fmt: Annotated[
        OutputFormat,
        typer.Option("--format", help="table for people, json for scripts, sarif for code scanning."),
    ] = OutputFormat.TABLE,
    show_pod: Annotated[
        bool,
        typer.Option("--show-pod", help="Also print the Pod that would run (as YAML; with json, as `pod`)."),
    ] = False,
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
        given = read_given(path)
        show_remarks(path, given.remarks)
        record = _one_skill(given, path)
        policies = _policies(policy, given)
        level = _maturity(asked, record, given)
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


def _one_skill(given: Given, path: Path) -> SkillRecord:
    if len(given.skills) != 1:
        raise InvalidInputError(
            f"{path} holds {len(given.skills)} Skills; check takes one at a time.",
            fix="Give a file or folder that holds exactly one.",
        )
    return skill_record(given.skills[0], name_findings=name_findings, source_findings=source_findings)


def _policies(paths: list[Path] | None, given: Given) -> list[dict[str, Any]]:
    if paths:
        bodies = [body for path in paths for body in read_documents(path)]
        wrong = [body for body in bodies if body.get("kind") not in {"PackagePolicy", "ClusterPackagePolicy"}]
        if wrong or not bodies:
            kind = wrong[0].get("kind") if wrong else "nothing"
            raise InvalidInputError(f"--policy holds {kind}, not a PackagePolicy or ClusterPackagePolicy.")
        return bodies
    return given.policies or baseline_policies()


def named_maturity(text: str | None) -> Maturity | None:
    """Return the level of a name, in any case; ``None`` for no name.

    Raises
    ------
    InvalidInputError
        Where there is no such level.
    """
    if text is None:
        return None
    for level in Maturity:
        if level.value.lower() == text.lower():
            return level
    raise InvalidInputError(f"--maturity {text} is not one of {', '.join(m.value for m in Maturity)}.")


def _maturity(level: Maturity | None, record: SkillRecord, given: Given) -> Maturity:
    if level is not None:
        return level
    name = record.spec.agent if record.spec else None
    agents = [agent_record(body) for body in given.agents]
    found = next((agent for agent in agents if name is not None and agent.name == name), None)
    return found.maturity or Maturity.STUDENT if found else Maturity.STUDENT


async def _check(
    record: SkillRecord,
    policies: list[dict[str, Any]],
    maturity: Maturity,
    advisories: Path | None,
    *,
    fmt: OutputFormat,
    path: Path,
    show_pod: bool,
) -> int:
    settings = Settings()
    async with AsyncExitStack() as stack:
        say = stack.enter_context(progress("Reading the advisories …"))
        feed = AdvisoryFeed(await _advisories(advisories, settings, stack))
        store = DepotStore(settings.state_dir / "depot")
        fetcher = await stack.enter_async_context(Fetcher(store))
        depot = LocalDepot(store, fetcher)
        stages = Stages(
            resolver=closure_resolver(settings),
            scans=ScanRunner(
                default_scanners(feed, read_facts=reader_of(depot)),
                deadline_seconds=settings.scan_deadline,
                max_concurrency=4,
            ),
            depot=depot,
            now=utc_now,
        )
        stack.push_async_callback(stages.close)
        case = _case(record, policies, maturity, feed, settings)
        evidence, assessment = await judge_offline(case, stages, say=say)
    return _report(record, evidence, assessment, fmt=fmt, path=path, settings=settings, show_pod=show_pod)


def _case(
    record: SkillRecord,
    policies: list[dict[str, Any]],
    maturity: Maturity,
    feed: AdvisoryFeed,
    settings: Settings,
) -> OfflineCase:
    chosen, failures = readable([policy_record(body["kind"], body) for body in policies])
    platform, failure = choose_platform(record.spec, sandbox_setup(settings, key=secrets.token_bytes(32)))
    return OfflineCase(
        record=record,
        policies=chosen,
        policy_failures=failures,
        maturity=maturity,
        platform=platform,
        runtime_failure=failure,
        revision_of=feed.revision_of,
        synced_at=feed.synced_at,
        now=utc_now(),
    )


async def _advisories(given: Path | None, settings: Settings, stack: AsyncExitStack) -> Path:
    """Return a folder with an index: the one given, or one made for the occasion from OSV records."""
    if given is None:
        return settings.advisories
    if AdvisoryFeed(given).current() is not None:
        return given
    into = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skillwarden-advisories-")))
    try:
        await sync(given, into=into)
    except AdvisoryError as error:
        raise UnavailableError(f"--advisories {given} cannot be used: {error}") from error
    return into


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
