"""Status conditions: the reasons that exist, and when a transition time moves.

Each stage of the way says its outcome as a ``ConditionDraft``; this module turns drafts into the list that
stands in ``status.conditions``. Texts are stable (no timestamps, no varying order), or reconcile would feed
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

#: Messages are cut here: a condition is for a person, the whole report is the depot's.
MAX_MESSAGE = 1024


class ConditionType(StrEnum):
    """Conditions of a Skill, in the order in which the way of the data passes them."""

    ACCEPTED = "Accepted"
    RESOLVED = "Resolved"
    SCANNED = "Scanned"
    COMPLIANT = "Compliant"
    NETWORK_ISOLATED = "NetworkIsolated"
    SANDBOX_READY = "SandboxReady"
    READY = "Ready"


class Status(StrEnum):
    """The three values that Kubernetes gives a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class AcceptedReason(StrEnum):
    """Whether the Skill itself can be worked with."""

    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    INVALID_PACKAGE = "InvalidPackage"
    INVALID_SOURCE = "InvalidSource"
    AGENT_NOT_FOUND = "AgentNotFound"
    AGENT_UNGUARDED = "AgentUnguarded"
    UNSUPPORTED_RUNTIME = "UnsupportedRuntime"


class ResolvedReason(StrEnum):
    """Whether the closure is known to the artefact."""

    LOCKED = "Locked"
    RESOLVING = "Resolving"
    UNRESOLVABLE = "Unresolvable"
    SOURCE_ONLY = "SourceOnly"
    RESOLVER_UNAVAILABLE = "ResolverUnavailable"
    REFUSED = "Refused"
    NOT_REACHED = "NotReached"


class ScannedReason(StrEnum):
    """Whether every required scanner has looked at every artefact."""

    COMPLETE = "Complete"
    SCANNING = "Scanning"
    SCANNER_ERROR = "ScannerError"
    INCOMPLETE_COVERAGE = "IncompleteCoverage"
    ADVISORIES_STALE = "AdvisoriesStale"
    NOT_REACHED = "NotReached"


class NetworkReason(StrEnum):
    """Whether the sandbox's NetworkPolicy is what decides."""

    ENFORCED = "Enforced"
    NOT_ENFORCED = "NotEnforced"
    OVERLAPPING_POLICY = "OverlappingPolicy"
    UNKNOWN = "Unknown"


class SandboxReason(StrEnum):
    """How the Pods are."""

    RUNNING = "Running"
    ON_DEMAND = "OnDemand"
    STARTING = "Starting"
    NOT_ALLOWED = "NotAllowed"
    SUSPENDED = "Suspended"
    INSTALL_FAILED = "InstallFailed"
    CRASH_LOOPING = "CrashLooping"
    RUNTIME_CLASS_MISSING = "RuntimeClassMissing"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"
    SIMULATED = "Simulated"


class RunAcceptedReason(StrEnum):
    """Whether a SkillRun can be worked with."""

    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    SKILL_NOT_FOUND = "SkillNotFound"
    AGENT_NOT_FOUND = "AgentNotFound"
    AGENT_UNGUARDED = "AgentUnguarded"


class RunCompleteReason(StrEnum):
    """How a SkillRun stands or ended."""

    WAITING = "Waiting"
    STARTING = "Starting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    OUT_OF_MEMORY = "OutOfMemory"
    INSTALL_FAILED = "InstallFailed"
    NOT_ALLOWED = "NotAllowed"
    SUPERSEDED = "Superseded"
    POD_LOST = "PodLost"
    SIMULATED = "Simulated"


class PolicyAcceptedReason(StrEnum):
    """Whether a policy can be read."""

    VALID = "Valid"
    INVALID_POLICY = "InvalidPolicy"


class AgentAcceptedReason(StrEnum):
    """Whether an Agent counts."""

    VALID = "Valid"
    INVALID_AGENT = "InvalidAgent"


@dataclass(frozen=True, slots=True)
class ConditionDraft:
    """One condition as a stage sees it, before it meets the one that stands.

    Attributes
    ----------
    type
        ``ConditionType`` value, or ``Accepted`` and ``Complete`` of a SkillRun.
    status, reason, message
        As Kubernetes means them; the message is stable.
    """

    type: str
    status: Status
    reason: str
    message: str = ""


def ready(drafts: Sequence[ConditionDraft]) -> ConditionDraft:
    """Return ``Ready``: the first condition that stands in the way, or Ready (DESIGN 3).

    NetworkIsolated does not stand in the way by itself: a policy that requires isolation makes
    ``Compliant`` False, and only then.
    """
    for draft in drafts:
        if draft.type == ConditionType.NETWORK_ISOLATED or draft.status is Status.TRUE:
            continue
        return ConditionDraft(ConditionType.READY, Status.FALSE, draft.reason, draft.message)
    return ConditionDraft(
        ConditionType.READY, Status.TRUE, "Ready", "The skill may run, and nothing stands in the way."
    )


def merge(
    drafts: Iterable[ConditionDraft],
    *,
    observed: Sequence[Mapping[str, Any]],
    generation: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """Return ``status.conditions``; the transition time moves only when the status flips.

    Parameters
    ----------
    drafts
        Unique by type; their order is kept.
    observed
        The conditions that stand now.
    generation
        ``metadata.generation`` of the spec that was looked at.
    now
        UTC, aware.
    """
    standing = {str(condition.get("type")): condition for condition in observed}
    merged = []
    for draft in drafts:
        before = standing.get(draft.type)
        flipped = before is None or before.get("status") != draft.status.value
        since = timestamp(now) if flipped or before is None else str(before.get("lastTransitionTime"))
        merged.append(
            {
                "type": str(draft.type),
                "status": draft.status.value,
                "reason": str(draft.reason),
                "message": shorten(draft.message),
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return merged


def shorten(text: str, *, limit: int = MAX_MESSAGE) -> str:
    """Cut a text for a status field, saying so."""
    return text if len(text) <= limit else text[: limit - 2].rstrip() + " …"


def timestamp(moment: datetime) -> str:
    """Return a time as ``metav1.Time`` writes it: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
