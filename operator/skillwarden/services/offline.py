"""Judges a skill with no cluster: the same assessment, walked to its end in one go.

``skillwarden check`` is the operator's ``judge`` without an API server: policies come from files, the
maturity from the command line or the manifest, and nothing is retried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from ..domain.assess import AgentView, Assessment, Evidence, Failure, Job, assess
from ..domain.conditions import ConditionDraft, ResolvedReason, ScannedReason, Status
from ..domain.evaluate import required_scanners
from ..domain.lock import Lock, Platform
from ..domain.package import Ecosystem
from ..domain.policy import Maturity, Policy
from .evidence import evidence_of
from .records import SkillRecord
from .stages import Stages, Wanted

#: Not a name that an Agent can have: stands for the maturity that the command line gave.
GIVEN_AGENT = "(given)"
_NOT_REACHED = {ResolvedReason.NOT_REACHED, ScannedReason.NOT_REACHED}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineCase:
    """A skill to judge, and by what.

    Attributes
    ----------
    record
        The skill.
    policies
        All that shall apply.
    policy_failures
        Complaints about policies that cannot be read.
    maturity
        Of the agent.
    platform
        What artefacts are chosen for; ``runtime_failure`` says why there is none.
    revision_of, synced_at
        Of the advisories at hand: which there are about some packages, and since when.
    now
        UTC, aware.
    """

    record: SkillRecord
    policies: tuple[Policy, ...]
    policy_failures: tuple[str, ...] = ()
    maturity: Maturity
    platform: Platform | None
    runtime_failure: Failure | None = None
    revision_of: Callable[[frozenset[tuple[Ecosystem, str]]], str]
    synced_at: datetime | None
    now: datetime

    @property
    def evidence(self) -> Evidence:
        """What is known before anything was resolved."""
        evidence = evidence_of(
            self.record,
            agent=AgentView(name=GIVEN_AGENT, maturity=self.maturity, guarded=True),
            now=self.now,
            platform=self.platform,
            runtime_failure=self.runtime_failure,
            policies=self.policies,
            policy_failures=self.policy_failures,
        )
        return replace(evidence, advisories_synced_at=self.synced_at)


async def judge_offline(
    case: OfflineCase, stages: Stages, *, say: Callable[[str], None] = lambda _: None
) -> tuple[Evidence, Assessment]:
    """Return the verdict, resolving and scanning as it needs.

    Parameters
    ----------
    case, stages
        What to judge, and what does the slow work.
    say
        Told in words what is done next.
    """
    evidence = case.evidence
    assessment = assess(evidence)
    if assessment.job is Job.RESOLVE:
        say(f"Resolving what {len(case.record.declared)} declared package(s) need …")
        evidence = replace(evidence, resolution=await _resolve(case, stages))
        assessment = assess(evidence)
    if assessment.job is Job.SCAN and isinstance(evidence.resolution, Lock):
        lock = evidence.resolution
        say(f"Scanning {len(lock.packages)} package(s) …")
        required = required_scanners(case.policies, lock)
        revision = case.revision_of(lock.names)
        stages.scan(lock, revision=revision, required=required, namespace="", waiter=lambda: None)
        await stages.drain()
        evidence = replace(evidence, scan=await stages.scan_result(lock, revision, required))
        assessment = assess(evidence)
    return evidence, assessment


async def _resolve(case: OfflineCase, stages: Stages) -> Lock | Failure | None:
    if case.platform is None:
        return None
    wanted = Wanted(case.record.declared, case.platform, pins=case.record.pins)
    known = await stages.resolution(wanted)
    if known is None:
        stages.resolve(wanted, previous_lock=None, namespace="", waiter=lambda: None)
        await stages.drain()
        known = await stages.resolution(wanted)
    return known


def obstacle(assessment: Assessment) -> ConditionDraft:
    """Return the outcome of the stage that an assessment without a verdict stopped at."""
    stopped = [draft for draft in assessment.drafts if draft.status is not Status.TRUE]
    # A stage that was not reached says only that an earlier one, or a policy, stands in the way.
    reached = [draft for draft in stopped if draft.reason not in _NOT_REACHED]
    return next(iter(reached), assessment.compliant)
