"""What to do about a skill: from the observed world to a plan, with no I/O and no clock.

``decide`` never asks what woke it (level-triggered): it compares what stands with what should stand. A plan
for an unchanged world is empty, which is what makes reconcile idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .assess import Failure, Job
from .conditions import ConditionDraft, ConditionType, SandboxReason, ScannedReason, Status, ready
from .policy import Action
from .skill import Mode
from .verdict import ComplianceReason
from .world import ObservedPod, SkillWorld, Surroundings, WantedPod


class Phase(StrEnum):
    """``status.phase`` of a Skill: the conditions in one word."""

    PENDING = "Pending"
    RESOLVING = "Resolving"
    SCANNING = "Scanning"
    AWAITING_APPROVAL = "AwaitingApproval"
    DENIED = "Denied"
    STARTING = "Starting"
    READY = "Ready"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


class Ensure(StrEnum):
    """Children that must stand before a Pod does, in the order in which they are made."""

    DEFAULT_DENY = "default-deny"
    NETWORK_POLICY = "network-policy"
    SERVICE_ACCOUNT = "service-account"


@dataclass(frozen=True, slots=True)
class RemovePod:
    """Delete this very Pod (by uid).

    Attributes
    ----------
    name, uid
        Which.
    why
        For the log and the audit trail.
    """

    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What follows from a world; executed in the order of the fields.

    Attributes
    ----------
    remove
        Pods that must go.
    ensure
        What must stand first.
    fetch
        Whether the depot should bring the closure and the content.
    launch
        Names of Pods to create; never together with an unmet ``ensure`` of isolation before it.
    job
        Slow work that brings the verdict nearer.
    drafts
        The conditions, in order.
    phase
        The conditions in one word.
    """

    remove: tuple[RemovePod, ...] = ()
    ensure: tuple[Ensure, ...] = ()
    fetch: bool = False
    launch: tuple[str, ...] = ()
    job: Job | None = None
    drafts: tuple[ConditionDraft, ...] = ()
    phase: Phase = Phase.PENDING


def decide(world: SkillWorld) -> Plan:
    """Return what to do about one skill."""
    assessment = world.assessment
    allowed = assessment.allowed
    suspended = world.sandbox is not None and world.sandbox.suspend
    wanted = world.wanted if allowed and not suspended and world.mode is Mode.SERVICE else ()
    remove = tuple(
        RemovePod(pod.name, pod.uid, why)
        for pod in world.pods
        if not pod.deleting and (why := _why_remove(pod, world, wanted, suspended=suspended))
    )
    gone = {item.uid for item in remove}
    ensure = missing(world.surroundings) if allowed else ()
    if not allowed and any(pod.uid not in gone and not pod.deleting for pod in world.pods):
        # What goes on without a verdict stays as isolated as it was launched.
        ensure = isolation(world.surroundings)
    present = {pod.name for pod in world.pods}
    launch = tuple(pod.name for pod in wanted if pod.name not in present)
    fetched = world.surroundings.artefacts is True
    # A Task's run asked, and ended: the skill asks until what its condition says is mended.
    refused = isinstance(world.surroundings.artefacts, Failure)
    sandbox = _sandbox_ready(world, suspended=suspended)
    drafts = (*assessment.drafts, world.network, sandbox)
    drafts = (*drafts, ready(drafts))
    return Plan(
        remove=remove,
        ensure=ensure,
        fetch=allowed and not suspended and not fetched and (bool(wanted) or refused),
        launch=launch if fetched else (),
        job=assessment.job,
        drafts=drafts,
        phase=_phase(world, drafts, suspended=suspended),
    )


def missing(around: Surroundings) -> tuple[Ensure, ...]:
    """Return what must be made before a Pod of this skill may be."""
    states = {
        Ensure.DEFAULT_DENY: around.default_deny,
        Ensure.NETWORK_POLICY: around.network_policy,
        Ensure.SERVICE_ACCOUNT: around.service_account,
    }
    return tuple(child for child, stands in states.items() if not stands)


def isolation(around: Surroundings) -> tuple[Ensure, ...]:
    """Return what of a Pod's isolation must be made anew."""
    return tuple(child for child in missing(around) if child is not Ensure.SERVICE_ACCOUNT)


def _why_remove(
    pod: ObservedPod, world: SkillWorld, wanted: tuple[WantedPod, ...], *, suspended: bool
) -> str | None:
    """Say why a Pod of a Service must go, or ``None``: it may stay."""
    assessment = world.assessment
    if pod.tampered:
        return "it is not as the operator made it"
    if world.mode is not Mode.SERVICE:
        return "the skill is not a Service"
    if suspended:
        return "the skill is suspended"
    if not assessment.allowed:
        same = assessment.starts_as(pod.content_digest, pod.invocation_digest)
        if same and assessment.holds(pod.lock_digest):
            return None
        why = assessment.fallen.get(pod.lock_digest) or assessment.compliant.reason
        return f"the skill may not run: {why}"
    hashes = {item.name: item.spec_hash for item in wanted}
    if pod.name not in hashes:
        return "it is not among the wanted replicas of this lock and content"
    if hashes[pod.name] != pod.spec_hash:
        return "its spec is not the wanted one"
    if pod.phase.ended:
        return f"it ended: {pod.reason or pod.phase}"
    return None


def _sandbox_ready(world: SkillWorld, *, suspended: bool) -> ConditionDraft:
    def draft(status: Status, reason: SandboxReason, message: str) -> ConditionDraft:
        return ConditionDraft(ConditionType.SANDBOX_READY, status, reason, message)

    assessment = world.assessment
    live = [pod for pod in world.pods if not pod.deleting and not pod.phase.ended]
    if not assessment.allowed:
        kept = f" {len(live)} Pod(s) that already ran go on." if assessment.hold and live else ""
        return draft(
            Status.FALSE,
            SandboxReason.NOT_ALLOWED,
            f"Nothing is launched: {assessment.compliant.reason}.{kept}",
        )
    if suspended:
        return draft(Status.FALSE, SandboxReason.SUSPENDED, "spec.sandbox.suspend is true.")
    if isinstance(world.surroundings.artefacts, Failure):
        failure = world.surroundings.artefacts
        if failure.retryable:
            return draft(Status.FALSE, SandboxReason.STARTING, failure.text)
        text = f"{failure.text} It is tried again every few minutes."
        return draft(Status.FALSE, SandboxReason.INSTALL_FAILED, text)
    if world.launch_failure is not None:
        failure = world.launch_failure
        return draft(Status.FALSE, SandboxReason(failure.reason), failure.text)
    if world.mode is Mode.TASK:
        return draft(Status.TRUE, SandboxReason.ON_DEMAND, "A SkillRun launches it.")
    return _replicas_ready(world, live)


def _replicas_ready(world: SkillWorld, live: list[ObservedPod]) -> ConditionDraft:
    def draft(status: Status, reason: SandboxReason, message: str) -> ConditionDraft:
        return ConditionDraft(ConditionType.SANDBOX_READY, status, reason, message)

    if any(pod.simulated for pod in live):
        return draft(
            Status.FALSE,
            SandboxReason.SIMULATED,
            "This node cannot isolate, so nothing really runs. Use a machine where bubblewrap works.",
        )
    failed = sorted(pod.init_failure for pod in live if pod.init_failure)
    if failed:
        return draft(Status.FALSE, SandboxReason.INSTALL_FAILED, failed[0])
    looping = [pod for pod in live if pod.waiting == "CrashLoopBackOff"]
    if looping:
        code = next((pod.exit_code for pod in looping if pod.exit_code is not None), None)
        text = "The skill's container ends again and again" + (
            f", last with exit code {code}." if code else "."
        )
        return draft(Status.FALSE, SandboxReason.CRASH_LOOPING, f"{text} See kubectl logs.")
    names = {pod.name for pod in world.wanted}
    count = sum(1 for pod in live if pod.ready and pod.name in names)
    if count == len(world.wanted) and len(live) == count:
        return draft(Status.TRUE, SandboxReason.RUNNING, f"{count} of {len(world.wanted)} replica(s) ready.")
    waiting = sorted({pod.hindrance for pod in live} - {""})
    leaving = sorted(pod.name for pod in world.pods if pod.deleting and pod.name in names)
    waiting += [f"Pod {name} is being deleted (is its node lost?)" for name in leaving]
    hint = f" Waiting: {', '.join(waiting).rstrip('.')}." if waiting else ""
    return draft(
        Status.FALSE, SandboxReason.STARTING, f"{count} of {len(world.wanted)} replica(s) ready.{hint}"
    )


def _phase(world: SkillWorld, drafts: tuple[ConditionDraft, ...], *, suspended: bool) -> Phase:
    assessment = world.assessment
    if assessment.job is Job.RESOLVE:
        return Phase.RESOLVING
    if assessment.job is Job.SCAN:
        return Phase.SCANNING
    if assessment.accepted.status is not Status.TRUE:
        return Phase.PENDING if assessment.retry else Phase.FAILED
    verdict = assessment.verdict
    if verdict is None:
        return Phase.PENDING if assessment.retry else Phase.FAILED
    if not verdict.allowed:
        if verdict.reason is ComplianceReason.NO_VERDICT:
            return Phase.SCANNING if assessment.scanned.reason == ScannedReason.SCANNING else Phase.PENDING
        return Phase.AWAITING_APPROVAL if verdict.action is Action.REQUIRE_APPROVAL else Phase.DENIED
    if suspended:
        return Phase.SUSPENDED
    sandbox = next(draft for draft in drafts if draft.type == ConditionType.SANDBOX_READY)
    if sandbox.status is Status.TRUE:
        return Phase.READY
    return Phase.STARTING if sandbox.reason == SandboxReason.STARTING else Phase.FAILED
