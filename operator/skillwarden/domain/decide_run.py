"""What to do about a SkillRun: one Pod, at most once, for as long as its verdict stands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .assess import Assessment, Failure, Job
from .conditions import ConditionDraft, RunCompleteReason, Status
from .decide import Ensure, RemovePod, isolation, missing
from .grounds import one_line
from .skill import Mode
from .verdict import ComplianceReason
from .world import ObservedPod, PodPhase, RunPhase, RunWorld

COMPLETE = "Complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What follows from a run's world; executed in the order of the fields.

    Attributes
    ----------
    remove
        Pods that must go.
    ensure
        What must stand first; as in ``decide.Plan``.
    fetch
        Whether the depot should bring closure, content and input.
    launch
        Whether to create the run's Pod.
    collect
        The Pod whose exit code, output and log end the run.
    job
        Slow work that brings the verdict nearer.
    delete_run
        Whether the run's time to live is over.
    revisit_at
        When it will be (UTC).
    phase, complete
        What the status should say.
    """

    remove: tuple[RemovePod, ...] = ()
    ensure: tuple[Ensure, ...] = ()
    fetch: bool = False
    launch: bool = False
    collect: ObservedPod | None = None
    job: Job | None = None
    delete_run: bool = False
    revisit_at: datetime | None = None
    phase: RunPhase = RunPhase.PENDING
    complete: ConditionDraft = field(
        default_factory=lambda: ConditionDraft(COMPLETE, Status.UNKNOWN, RunCompleteReason.WAITING)
    )


def decide_run(world: RunWorld) -> RunPlan:
    """Return what to do about one SkillRun."""
    strays = tuple(
        RemovePod(pod.name, pod.uid, "it is no Pod of this run") for pod in world.strays if not pod.deleting
    )
    if world.phase.ended:
        return replace(_ended(world), remove=(*strays, *_too_late(world.pod)))
    plan = _with_pod(world, world.pod) if world.pod is not None else _without_pod(world)
    return replace(plan, remove=(*strays, *plan.remove))


def _too_late(pod: ObservedPod | None) -> tuple[RemovePod, ...]:
    """Return the Pod of a run that ended before it was seen: nobody would judge it any more."""
    if pod is None or pod.deleting or pod.phase.ended or pod.exit_code is not None:
        return ()
    return (RemovePod(pod.name, pod.uid, "its run has ended"),)


def _ended(world: RunWorld) -> RunPlan:
    if world.ttl_seconds is None or world.finished_at is None:
        return RunPlan(phase=world.phase)
    over_at = world.finished_at + timedelta(seconds=world.ttl_seconds)
    if world.now >= over_at:
        return RunPlan(phase=world.phase, delete_run=True)
    return RunPlan(phase=world.phase, revisit_at=over_at)


def _with_pod(world: RunWorld, pod: ObservedPod) -> RunPlan:
    if pod.phase.ended or pod.exit_code is not None:
        phase, complete = outcome(pod)
        return RunPlan(phase=phase, complete=complete, collect=pod)
    why = _why_stop(world, pod)
    if why is not None:
        gone = () if pod.deleting else (RemovePod(pod.name, pod.uid, why.message),)
        return RunPlan(remove=gone, phase=RunPhase.FAILED, complete=why)
    if pod.deleting:
        return RunPlan(
            phase=RunPhase.FAILED,
            complete=_failed(RunCompleteReason.POD_LOST, f"Pod {pod.name} was deleted while it ran."),
        )
    if pod.phase is PodPhase.RUNNING:
        return RunPlan(
            ensure=isolation(world.surroundings),
            phase=RunPhase.RUNNING,
            complete=ConditionDraft(COMPLETE, Status.UNKNOWN, RunCompleteReason.RUNNING, "The skill runs."),
        )
    text = "The sandbox starts." + (f" Waiting: {pod.hindrance.rstrip('.')}." if pod.hindrance else "")
    return RunPlan(complete=ConditionDraft(COMPLETE, Status.UNKNOWN, RunCompleteReason.STARTING, text))


def _why_stop(world: RunWorld, pod: ObservedPod) -> ConditionDraft | None:
    """Say why a run's Pod must go before it ended, or ``None``: it may go on."""
    if pod.tampered:
        return _failed(RunCompleteReason.POD_LOST, f"Pod {pod.name} is not as the operator made it.")
    assessment = world.assessment
    if assessment is None:
        return _failed(RunCompleteReason.NOT_ALLOWED, "The skill is gone.")
    same = assessment.starts_as(pod.content_digest, pod.invocation_digest)
    if not same or not assessment.may_be_of(pod.lock_digest):
        return _failed(
            RunCompleteReason.SUPERSEDED,
            "The skill's packages, source, command or variables changed, so the verdict that it was launched"
            " under is void. Start another run.",
        )
    if not assessment.allowed and not assessment.holds(pod.lock_digest):
        why = assessment.fallen.get(pod.lock_digest) or assessment.compliant.message
        return _failed(RunCompleteReason.NOT_ALLOWED, f"The skill may no longer run: {why}")
    return None


def _without_pod(world: RunWorld) -> RunPlan:
    if world.phase is RunPhase.RUNNING:
        text = f"Pod {world.pod_name} is gone before its outcome was seen."
        return RunPlan(phase=RunPhase.FAILED, complete=_failed(RunCompleteReason.POD_LOST, text))
    assessment = world.assessment
    if world.skill_mode is Mode.SERVICE:
        return RunPlan(
            phase=RunPhase.FAILED,
            complete=_failed(RunCompleteReason.NOT_ALLOWED, "Only a skill with mode Task takes runs."),
        )
    if world.accepted.status is not Status.TRUE or assessment is None:
        return RunPlan(complete=_waiting(world.accepted.message))
    if not assessment.allowed:
        return _not_allowed(assessment)
    if world.suspended:
        return RunPlan(complete=_waiting("The skill is suspended (spec.sandbox.suspend)."))
    return _launch(world)


def _not_allowed(assessment: Assessment) -> RunPlan:
    """Wait for what may still come; end where only a change by a person could allow it."""
    verdict = assessment.verdict
    final = {ComplianceReason.NO_VERDICT, ComplianceReason.APPROVAL_REQUIRED}
    invalid = assessment.accepted.status is not Status.TRUE and not assessment.retry
    if invalid or (verdict is not None and verdict.reason not in final):
        first = assessment.accepted if invalid else assessment.compliant
        text = f"The skill may not run ({first.reason}): {first.message}"
        return RunPlan(phase=RunPhase.FAILED, complete=_failed(RunCompleteReason.NOT_ALLOWED, text))
    unresolvable = assessment.resolved.status is Status.FALSE
    if unresolvable and verdict is None:
        text = f"The skill may not run ({assessment.resolved.reason}): {assessment.resolved.message}"
        return RunPlan(phase=RunPhase.FAILED, complete=_failed(RunCompleteReason.NOT_ALLOWED, text))
    return RunPlan(
        job=assessment.job,
        complete=_waiting(f"Waiting for the skill's verdict: {assessment.compliant.message}"),
    )


def _launch(world: RunWorld) -> RunPlan:
    around = world.surroundings
    if isinstance(around.artefacts, Failure):
        failure = around.artefacts
        if failure.retryable:
            return RunPlan(complete=_waiting(failure.text))
        return RunPlan(
            phase=RunPhase.FAILED, complete=_failed(RunCompleteReason.INSTALL_FAILED, failure.text)
        )
    ensure = missing(around)
    text = world.launch_failure.text if world.launch_failure else "The sandbox starts."
    return RunPlan(
        ensure=ensure,
        fetch=around.artefacts is not True,
        launch=around.artefacts is True,
        complete=ConditionDraft(COMPLETE, Status.UNKNOWN, RunCompleteReason.STARTING, text),
    )


def outcome(pod: ObservedPod) -> tuple[RunPhase, ConditionDraft]:
    """Return how a run ended, from its Pod."""
    if pod.simulated:
        text = "This node cannot isolate, so the skill was not really run."
        return RunPhase.FAILED, _failed(RunCompleteReason.SIMULATED, text)
    if pod.init_failure:
        return RunPhase.FAILED, _failed(RunCompleteReason.INSTALL_FAILED, pod.init_failure)
    if pod.reason == "DeadlineExceeded":
        text = "It ran longer than its timeout. Raise spec.sandbox.timeoutSeconds, or do less."
        return RunPhase.FAILED, _failed(RunCompleteReason.TIMED_OUT, text)
    # A container whose child was killed for memory, and that ended by itself, says OOMKilled, too.
    if pod.reason == "OOMKilled" and pod.exit_code in {None, 137}:
        text = "It used more memory than spec.sandbox.resources.memory."
        return RunPhase.FAILED, _failed(RunCompleteReason.OUT_OF_MEMORY, text)
    if pod.phase is PodPhase.SUCCEEDED or pod.exit_code == 0:
        done = ConditionDraft(
            COMPLETE, Status.TRUE, RunCompleteReason.SUCCEEDED, "The skill ended with exit code 0."
        )
        return RunPhase.SUCCEEDED, done
    if pod.reason in {"StartError", "ContainerCannotRun"}:
        why = one_line(pod.message, 300).rstrip(". ")
        text = f"Its command could not be started: {why}. See spec.entrypoint.command."
        return RunPhase.FAILED, _failed(RunCompleteReason.FAILED, text)
    code = "no exit code" if pod.exit_code is None else f"exit code {pod.exit_code}"
    why = f": {pod.reason}" if pod.reason not in {"", "Error", "OOMKilled"} else ""
    return RunPhase.FAILED, _failed(RunCompleteReason.FAILED, f"The skill ended with {code}{why}.")


def _failed(reason: RunCompleteReason, message: str) -> ConditionDraft:
    return ConditionDraft(COMPLETE, Status.FALSE, reason, message)


def _waiting(message: str) -> ConditionDraft:
    return ConditionDraft(COMPLETE, Status.UNKNOWN, RunCompleteReason.WAITING, message)
