"""Judging on this machine, for every command that does: what is judged, by what, and where."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..advisories.errors import AdvisoryError
from ..advisories.feed import AdvisoryFeed
from ..advisories.sync import sync
from ..depot.fetch import Fetcher
from ..depot.local import LocalDepot
from ..depot.reading import malware_detector_of, reader_of
from ..depot.store import DepotStore
from ..domain.assess import Assessment, Evidence
from ..domain.errors import InvalidInputError, UnavailableError
from ..domain.evaluate import SYNC_ADVISORIES
from ..domain.policy import Maturity
from ..runtime.configured import closure_resolver, project_ages, sandbox_setup, utc_now
from ..runtime.settings import Settings
from ..scan.factory import default_scanners
from ..scan.names import name_findings
from ..scan.runner import ScanRunner
from ..services.offline import OfflineCase, judge_offline
from ..services.ports import SandboxSetup
from ..services.records import PolicyRecord, SkillRecord, skill_record
from ..services.runtimes import choose_platform
from ..services.stages import Stages
from ..services.store import readable
from ..source.look import source_findings
from .beside import maturity_beside, policies_for, with_files_beside
from .manifests import Given, baseline_policies, check_named, read_documents

PolicyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="File with PackagePolicies or ClusterPackagePolicies; may be repeated. Those for the Skill's"
        " namespace apply."
        " Without it: the policies beside the Skill in PATH, else the shipped baseline.",
    ),
]
MaturityOption = Annotated[
    str | None,
    typer.Option(
        "--maturity",
        metavar="LEVEL",
        help="Judge as for an agent of this level: Student, Intern, Supervised or Autonomous."
        " Without it: that of the Skill's Agent if PATH has it, else Student.",
    ),
]
AdvisoriesOption = Annotated[
    Path | None,
    typer.Option(
        "--advisories",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Folder that `skillwarden advisories sync --into` wrote, or one of OSV records (JSON)."
        " Without it: what `skillwarden advisories sync` wrote.",
    ),
]


def one_skill(given: Given, path: Path) -> SkillRecord:
    """Return the one Skill that was given.

    Raises
    ------
    InvalidInputError
        Where there is none, or more than one, or its files are not there.
    """
    if len(given.skills) != 1:
        raise InvalidInputError(
            f"{path} holds {len(given.skills)} Skills; one is taken at a time.",
            fix="Give a file or folder that holds exactly one.",
        )
    record = skill_record(given.skills[0], name_findings=name_findings, source_findings=source_findings)
    return with_files_beside(record, given)


def chosen_policies(paths: list[Path] | None, given: Given, record: SkillRecord) -> tuple[PolicyRecord, ...]:
    """Return which apply of the policies of the files named, else beside the Skill, else of the baseline."""
    if paths:
        bodies = [body for path in paths for body in read_policies(path)]
    else:
        bodies = given.policies or baseline_policies()
    return policies_for(record, bodies, given)


def read_policies(path: Path) -> list[dict[str, Any]]:
    """Return the policies of a file.

    Raises
    ------
    InvalidInputError
        Where it holds none, or anything else, or one without a name.
    """
    bodies = list(read_documents(path))
    wrong = [body for body in bodies if body.get("kind") not in {"PackagePolicy", "ClusterPackagePolicy"}]
    if wrong or not bodies:
        kind = wrong[0].get("kind") if wrong else "nothing"
        raise InvalidInputError(f"{path} holds {kind}, not a PackagePolicy or ClusterPackagePolicy.")
    for body in bodies:
        check_named(body, path)
    return bodies


def named_maturity(text: str | None, *, option: str = "--maturity") -> Maturity | None:
    """Return the level that an option names, in any case; ``None`` for no name.

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
    raise InvalidInputError(f"{option} {text} is not one of {', '.join(m.value for m in Maturity)}.")


def maturity_for(level: Maturity | None, record: SkillRecord, given: Given) -> Maturity:
    """Return the level that was named, else that of the Skill's Agent if it was given, else Student."""
    return level if level is not None else maturity_beside(record, given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Judges one skill after another by the same advisories and settings."""

    stages: Stages
    feed: AdvisoryFeed
    setup: SandboxSetup

    async def judge(
        self,
        record: SkillRecord,
        policies: tuple[PolicyRecord, ...],
        maturity: Maturity,
        *,
        say: Callable[[str], None] = lambda _: None,
    ) -> tuple[Evidence, Assessment]:
        """Return what is known of a skill, and how it stands by these policies."""
        chosen, failures = readable(policies)
        platform, failure = choose_platform(record.spec, self.setup)
        case = OfflineCase(
            record=record,
            policies=chosen,
            policy_failures=failures,
            maturity=maturity,
            platform=platform,
            runtime_failure=failure,
            revision_of=self.feed.revision_of,
            synced_at=self.feed.synced_at,
            now=utc_now(),
        )
        evidence, assessment = await judge_offline(case, self.stages, say=say)
        return evidence, self._naming_the_folder(assessment)

    def _naming_the_folder(self, assessment: Assessment) -> Assessment:
        """Return an assessment whose fix for missing advisories says where they are looked for."""
        if assessment.verdict is None:
            return assessment
        fix = f"Run skillwarden advisories sync --from URL|DIR --into {self.feed.path}"
        return replace(assessment, verdict=assessment.verdict.with_fixes({SYNC_ADVISORIES: fix}))


@asynccontextmanager
async def bench(settings: Settings, advisories: Path | None) -> AsyncIterator[Bench]:
    """Set up what judging on this machine takes, for as long as the context is open."""
    async with AsyncExitStack() as stack:
        feed = AdvisoryFeed(await _advisories(advisories, settings, stack))
        store = DepotStore(settings.state_dir / "depot")
        fetcher = await stack.enter_async_context(Fetcher(store))
        depot = LocalDepot(store, fetcher, guarddog=settings.guarddog_python)
        scans = ScanRunner(
            default_scanners(
                feed,
                read_facts=reader_of(depot),
                ask_first_seen=project_ages(settings).of,
                detect_malware=malware_detector_of(depot),
            ),
            deadline_seconds=settings.scan_deadline,
            max_concurrency=4,
        )
        stack.push_async_callback(scans.close)
        stages = Stages(
            resolver=closure_resolver(settings),
            scans=scans,
            depot=depot,
            now=utc_now,
        )
        stack.push_async_callback(stages.close)
        yield Bench(stages=stages, feed=feed, setup=sandbox_setup(settings, key=secrets.token_bytes(32)))


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
