"""What other policies would make of a skill, from what is on record: its lock, its findings, its status.

Nothing is resolved or scanned, and nothing is written. Where the record does not lead to the verdict that the
cluster has, what another policy would do to it is not claimed either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..domain.approval_request import Effect
from ..domain.assess import AgentView, Assessment, Evidence, Failure, assess, verdict_word
from ..domain.finding import ScanResult
from ..domain.lock import Lock
from ..domain.policy import Maturity
from ..domain.source_finding import SourceFinding
from .approvals import decided
from .evidence import evidence_of
from .records import ApprovalRecord, PolicyRecord, SkillRecord
from .store import readable

UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is on record of one skill.

    Attributes
    ----------
    record
        The Skill.
    lock, scan
        As the depot has them; ``None``: it has none.
    source_findings
        Of its files; ``None``: nobody could look.
    approvals
        Of its namespace.
    policies
        That apply to it now.
    """

    record: SkillRecord
    lock: Lock | None
    scan: ScanResult | None
    source_findings: tuple[SourceFinding, ...] | None
    approvals: Sequence[ApprovalRecord]
    policies: tuple[PolicyRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What would become of a skill.

    Attributes
    ----------
    skill
        ``NAMESPACE/NAME``.
    before, after
        Its verdict in the cluster, and by the other policies; ``""`` where that could not be judged.
    reason, grounds
        Why it would be so.
    obstacle
        Why it could not be judged; empty: it could.
    """

    skill: str
    before: str
    after: str = ""
    reason: str = ""
    grounds: tuple[str, ...] = ()
    obstacle: str = ""

    @property
    def changes(self) -> bool:
        """Whether the verdict would be another."""
        return not self.obstacle and self.before != self.after


def outlook(seen: Recorded, policies: tuple[PolicyRecord, ...], *, now: datetime) -> Outlook:
    """Return what would become of a skill if these policies applied to it instead.

    Parameters
    ----------
    seen
        What is on record.
    policies
        All that would apply.
    now
        UTC, aware; advisories count as current, for their age is the operator's to know.
    """
    status, name = seen.record.status, str(seen.record.key)
    before = str(status.get("verdict") or UNKNOWN)
    if status.get("observedGeneration") != seen.record.generation:
        return Outlook(
            skill=name, before=before, obstacle="the operator has not looked at its last change yet"
        )
    today = _assess(seen, seen.policies, now)
    then = _assess(seen, policies, now)
    if _accepted(status) is False:
        # Not even read as a skill: no policy decides about it.
        return Outlook(skill=name, before=before, after=before, reason=str(today.accepted.reason))
    if verdict_word(today) != before:
        text = f"by what is on record it is {verdict_word(today)} today: {today.compliant.message}"
        return Outlook(skill=name, before=before, obstacle=text)
    after = verdict_word(then)
    if after == UNKNOWN:
        return Outlook(skill=name, before=before, obstacle=_unjudged(seen, then))
    return Outlook(
        skill=name,
        before=before,
        after=after,
        reason=str(then.compliant.reason),
        grounds=tuple(item.message for item in then.verdict.reasons) if then.verdict else (),
    )


def _unjudged(seen: Recorded, then: Assessment) -> str:
    if seen.lock is None and then.job is not None:
        return "it has no lock: names alone would not refuse it, and it would have to be resolved first"
    return then.compliant.message


def _assess(seen: Recorded, policies: tuple[PolicyRecord, ...], now: datetime) -> Assessment:
    chosen, failures = readable(policies)
    return assess(replace(_evidence(seen, now), policies=chosen, policy_failures=failures))


def _evidence(seen: Recorded, now: datetime) -> Evidence:
    record, status = seen.record, seen.record.status
    accepted, network = _condition(status, "Accepted"), _condition(status, "NetworkIsolated")
    runtime = accepted if accepted.get("reason") == "UnsupportedRuntime" else None
    unproven = {
        item.request.name for item in seen.approvals if item.request is not None and not _proven(item)
    }
    said = evidence_of(
        record,
        agent=AgentView(name="(recorded)", maturity=_maturity(status), guarded=True),
        now=now,
        platform=seen.lock.platform if seen.lock else None,
        runtime_failure=Failure(runtime["reason"], str(runtime.get("message"))) if runtime else None,
    )
    return replace(
        said,
        source_findings=seen.source_findings,
        resolution=seen.lock,
        scan=seen.scan,
        advisories_synced_at=now,
        approvals=tuple(
            item for item in decided(seen.approvals) if not item.approved or item.name not in unproven
        ),
        network_isolated=True if network.get("status") == "True" else None,
    )


def _maturity(status: Mapping[str, Any]) -> Maturity:
    try:
        return Maturity(str(status.get("maturity")))
    except ValueError:
        return Maturity.STUDENT


def _proven(item: ApprovalRecord) -> bool:
    return _condition(item.status, "Effective").get("reason") != Effect.UNGUARDED


def _accepted(status: Mapping[str, Any]) -> bool | None:
    found = _condition(status, "Accepted").get("status")
    return {"True": True, "False": False}.get(str(found))


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((item for item in status.get("conditions") or () if item.get("type") == kind), {})
