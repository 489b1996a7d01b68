"""Small builders of observed worlds: each takes what a test is about and fills in the rest."""

from __future__ import annotations

from typing import Any

from make_domain import NOW, make_lock

from skillwarden.domain.assess import Assessment, Job
from skillwarden.domain.conditions import ConditionDraft, ConditionType, Status
from skillwarden.domain.policy import Action, Maturity
from skillwarden.domain.skill import Mode, Sandbox
from skillwarden.domain.verdict import ComplianceReason, Verdict
from skillwarden.domain.world import (
    ObservedPod,
    PodPhase,
    RunPhase,
    RunWorld,
    SkillWorld,
    Surroundings,
    WantedPod,
)

LOCK = make_lock("numpy 2.1.0")
CONTENT = "sha256:" + "c" * 64
READY = Surroundings(default_deny=True, network_policy=True, service_account=True, artefacts=True)
ALLOWED = Verdict(Action.ALLOW, ComplianceReason.ALLOWED)


def draft(kind: str, reason: str, status: Status = Status.TRUE, message: str = "as it is") -> ConditionDraft:
    return ConditionDraft(kind, status, reason, message)


def make_assessment(
    verdict: Verdict | None = ALLOWED,
    *,
    accepted: ConditionDraft = draft(ConditionType.ACCEPTED, "Valid"),  # noqa: B008 - frozen
    resolved: ConditionDraft = draft(ConditionType.RESOLVED, "Locked"),  # noqa: B008 - frozen
    scanned: ConditionDraft = draft(ConditionType.SCANNED, "Complete"),  # noqa: B008 - frozen
    job: Job | None = None,
    **changes: Any,
) -> Assessment:
    """An assessment that ended in a verdict, by default an allowing one."""
    reason = verdict.reason if verdict else ComplianceReason.NO_VERDICT
    known = reason is not ComplianceReason.NO_VERDICT
    bad = Status.FALSE if known else Status.UNKNOWN
    compliant = draft(
        ConditionType.COMPLIANT, reason, Status.TRUE if verdict and verdict.allowed else bad, "judged so"
    )
    return Assessment(
        accepted=accepted,
        resolved=resolved,
        scanned=scanned,
        compliant=compliant,
        maturity=Maturity.SUPERVISED,
        verdict=verdict,
        lock=changes.pop("lock", LOCK),
        content_digest=changes.pop("content_digest", CONTENT),
        job=job,
        **changes,
    )


def denied(reason: ComplianceReason = ComplianceReason.DENIED, action: Action = Action.DENY) -> Verdict:
    return Verdict(action, reason)


def make_pod(name: str = "demo-0", **changes: Any) -> ObservedPod:
    """A Pod that runs, is ready, and was launched for the very lock and content that are judged."""
    given: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "spec_hash": "hash",
        "lock_digest": LOCK.digest,
        "content_digest": CONTENT,
        "phase": PodPhase.RUNNING,
        "ready": True,
    }
    return ObservedPod(**given | changes)


def wanted(*names: str) -> tuple[WantedPod, ...]:
    return tuple(WantedPod(name, "hash") for name in names)


def make_world(*pods: ObservedPod, **changes: Any) -> SkillWorld:
    """A Service of one replica that may run and has all that it needs."""
    given: dict[str, Any] = {
        "assessment": make_assessment(),
        "mode": Mode.SERVICE,
        "sandbox": Sandbox(),
        "network": draft(ConditionType.NETWORK_ISOLATED, "Enforced"),
        "surroundings": READY,
        "pods": pods,
        "wanted": wanted("demo-0"),
    }
    return SkillWorld(**given | changes)


def make_run_world(pod: ObservedPod | None = None, **changes: Any) -> RunWorld:
    """A run of a Task that may start and has all that it needs."""
    given: dict[str, Any] = {
        "phase": RunPhase.PENDING,
        "accepted": draft(ConditionType.ACCEPTED, "Valid"),
        "skill_mode": Mode.TASK,
        "assessment": make_assessment(),
        "surroundings": READY,
        "pod": pod,
        "pod_name": "demo-1",
        "now": NOW,
    }
    return RunWorld(**given | changes)
