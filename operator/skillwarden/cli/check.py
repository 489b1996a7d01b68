"""``skillwarden check``: judge a skill on this machine, with the operator's own code."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from ..advisories.feed import AdvisoryFeed
from ..advisories.sync import sync
from ..depot.fetch import Fetcher
from ..depot.local import LocalDepot
from ..depot.store import DepotStore
from ..domain.assess import Assessment, Evidence
from ..domain.errors import InvalidInputError
from ..domain.explain import Explanation, explain
from ..domain.merge import merge_findings
from ..domain.policy import Maturity
from ..resolve.python import PythonResolver
from ..runtime.context import resolver_settings, sandbox_setup, utc_now
from ..runtime.settings import Settings
from ..scan.factory import default_scanners
from ..scan.runner import ScanRunner
from ..scan.typosquat import typosquat_findings
from ..services.judge import choose_platform
from ..services.offline import OfflineCase, judge_offline, undecided
from ..services.records import SkillRecord, agent_record, policy_record, skill_record
from ..services.stages import Stages
from ..services.store import readable
from .manifests import Given, baseline_policies, read_documents, read_given
from .render import render_json, render_sarif, render_table
from .showpod import pod_of

ALLOWED, NOT_ALLOWED, UNDECIDED, WRONG_USE = 0, 1, 2, 64
FORMATS = ("table", "json", "sarif")


def command(  # noqa: PLR0917 - typer names every option by its parameter
    path: Annotated[Path, typer.Argument(help="A Skill manifest, or a folder with a SKILL.md.")],
    policy: Annotated[
        list[Path] | None,
        typer.Option(
            "--policy",
            help="PackagePolicy or ClusterPackagePolicy file; may be repeated."
            " Without it: policies beside the Skill in PATH, else the shipped baseline.",
        ),
    ] = None,
    maturity: Annotated[
        str | None,
        typer.Option(
            "--maturity",
            help="Student, Intern, Supervised or Autonomous. Without it: the Agent's in PATH, else Student.",
        ),
    ] = None,
    advisories: Annotated[
        Path | None,
        typer.Option(
            "--advisories",
            help="A synced index, or a folder of OSV records."
            " Without it: what `skillwarden advisories sync` wrote.",
        ),
    ] = None,
    fmt: Annotated[str, typer.Option("--format", help="table, json or sarif.")] = "table",
    show_pod: Annotated[bool, typer.Option("--show-pod", help="Also print the Pod that would run.")] = False,
) -> None:
    """Judge a skill with no cluster: resolve its closure, scan it, evaluate the policies.

    Exit code 0: allowed. 1: not allowed. 2: it could not be judged. 64: wrong use.
    """
    try:
        if fmt not in FORMATS:
            raise InvalidInputError(f"--format {fmt} is not one of {', '.join(FORMATS)}.")
        given = read_given(path)
        record = _one_skill(given, path)
        policies = _policies(policy, given)
        level = _maturity(maturity, record, given)
    except InvalidInputError as error:
        typer.echo(f"skillwarden check: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    raise typer.Exit(
        asyncio.run(_check(record, policies, level, advisories, fmt=fmt, path=path, show_pod=show_pod))
    )


def _one_skill(given: Given, path: Path) -> SkillRecord:
    if len(given.skills) != 1:
        raise InvalidInputError(
            f"{path} holds {len(given.skills)} Skills; check takes one at a time.", fix="Name one file."
        )
    return skill_record(given.skills[0], name_findings=typosquat_findings)


def _policies(paths: list[Path] | None, given: Given) -> list[dict[str, Any]]:
    if paths:
        bodies = [body for path in paths for body in read_documents(path)]
        wrong = [body for body in bodies if body.get("kind") not in {"PackagePolicy", "ClusterPackagePolicy"}]
        if wrong or not bodies:
            kind = wrong[0].get("kind") if wrong else "nothing"
            raise InvalidInputError(f"--policy holds {kind}, not a PackagePolicy or ClusterPackagePolicy.")
        return bodies
    return given.policies or baseline_policies()


def _maturity(text: str | None, record: SkillRecord, given: Given) -> Maturity:
    if text is not None:
        for level in Maturity:
            if level.value.lower() == text.lower():
                return level
        raise InvalidInputError(f"--maturity {text} is not one of {', '.join(m.value for m in Maturity)}.")
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
    fmt: str,
    path: Path,
    show_pod: bool,
) -> int:
    settings = Settings()
    console = Console(stderr=True)
    async with AsyncExitStack() as stack:
        if fmt == "table" and console.is_terminal:
            stack.enter_context(console.status("Resolving and scanning …"))
        feed = AdvisoryFeed(await _advisories(advisories, settings, stack))
        store = DepotStore(settings.state_dir / "depot")
        fetcher = await stack.enter_async_context(Fetcher(store))
        stages = Stages(
            resolver=PythonResolver(resolver_settings(settings)),
            scans=ScanRunner(
                default_scanners(feed), deadline_seconds=settings.scan_deadline, max_concurrency=4
            ),
            depot=LocalDepot(store, fetcher),
            now=utc_now,
        )
        stack.push_async_callback(stages.close)
        case = _case(record, policies, maturity, feed, settings)
        evidence, assessment = await judge_offline(case, stages)
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
        revision=feed.revision,
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
    await sync(given, into=into)
    return into


def _report(
    record: SkillRecord,
    evidence: Evidence,
    assessment: Assessment,
    *,
    fmt: str,
    path: Path,
    settings: Settings,
    show_pod: bool,
) -> int:
    why = undecided(assessment)
    explanation = explanation_of(record, assessment)
    if explanation is None:
        typer.echo(f"skillwarden check: {record.key.name} could not be judged. {why}", err=True)
        return NOT_ALLOWED if assessment.accepted.status == "False" and not assessment.retry else UNDECIDED
    match fmt:
        case "json":
            typer.echo(render_json(explanation))
        case "sarif":
            typer.echo(render_sarif(explanation, path.as_posix()))
        case _:
            render_table(explanation, Console(file=sys.stdout))
    if show_pod:
        pod = pod_of(record, evidence, assessment, settings)
        typer.echo("---\n" + yaml.safe_dump(pod, sort_keys=False) if pod else "No Pod would run.")
    if why is not None:
        return UNDECIDED
    return ALLOWED if assessment.allowed else NOT_ALLOWED


def explanation_of(record: SkillRecord, assessment: Assessment) -> Explanation | None:
    """Return an assessment as a report; ``None`` where there is no verdict to explain."""
    if assessment.verdict is None:
        return None
    findings = merge_findings(assessment.scan.reports) if assessment.scan else record.name_findings
    return explain(
        assessment.verdict,
        assessment.lock,
        findings,
        subject=f"{record.key.namespace}/{record.key.name}" if record.key.namespace else record.key.name,
        maturity=assessment.maturity,
    )
