"""What the operator observes of a skill's children, reduced to what decisions need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .assess import Assessment, Failure
from .conditions import ConditionDraft
from .skill import Mode, Sandbox


class PodPhase(StrEnum):
    """``status.phase`` of a Pod."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"

    @property
    def ended(self) -> bool:
        """Whether no container of it will run again."""
        return self in {PodPhase.SUCCEEDED, PodPhase.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPod:
    """One Pod that carries our labels.

    Attributes
    ----------
    name, uid
        Which.
    spec_hash
        Hash of the spec that we asked for, from its annotation.
    lock_digest, content_digest, invocation_digest
        What it was launched for, from its annotations; the last is empty for Pods of earlier operators.
    tampered
        Whether its labels, annotations or images are not what we made: it is removed.
    phase, ready, deleting
        As the API server says.
    reason, message
        Of the Pod (``Evicted``, ``DeadlineExceeded``), or of the container that ended it (``OOMKilled``).
    waiting
        Why the skill's container waits (``CrashLoopBackOff``, ``ErrImagePull``), or ``""``.
    init_failure
        Last words of a failed init container; ``None``: it has not failed.
    exit_code
        Of the skill's container, once it ended.
    output
        Its termination message.
    unschedulable
        Why no node takes it, or ``""``.
    started_at, finished_at
        Of the skill's container (UTC), once known.
    simulated
        Whether its node only walks the phases.
    """

    name: str
    uid: str
    spec_hash: str = ""
    lock_digest: str = ""
    content_digest: str = ""
    invocation_digest: str = ""
    tampered: bool = False
    phase: PodPhase = PodPhase.PENDING
    ready: bool = False
    deleting: bool = False
    reason: str = ""
    message: str = ""
    waiting: str = ""
    init_failure: str | None = None
    exit_code: int | None = None
    output: str = ""
    unschedulable: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    simulated: bool = False

    @property
    def hindrance(self) -> str:
        """Why it does not start, or ``""``: what every Pod waits for on its way is none."""
        return self.unschedulable or ("" if self.waiting in _USUAL_WAITS else self.waiting)


#: What every container waits for before it first runs.
_USUAL_WAITS = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class WantedPod:
    """A Pod that should exist: its name and the hash of its spec."""

    name: str
    spec_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What must stand before a Pod does.

    Attributes
    ----------
    default_deny
        The namespace's deny-all for every sandbox stands as we want it.
    network_policy
        The skill's own NetworkPolicy stands as we want it.
    service_account
        The skill's ServiceAccount stands.
    artefacts
        ``True``: the depot holds the closure and the content. ``None``: not asked yet, or in progress.
    """

    default_deny: bool = False
    network_policy: bool = False
    service_account: bool = False
    artefacts: bool | Failure | None = None

    @property
    def isolated(self) -> bool:
        """Whether nothing that is launched now would find its network open."""
        return self.default_deny and self.network_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillWorld:
    """One skill with its children.

    Attributes
    ----------
    assessment
        Where it stands on the way to a verdict.
    mode, sandbox
        From its spec; ``None`` where the spec cannot be read.
    network
        The condition NetworkIsolated.
    surroundings, pods
        Its children (for a Task, Pods are its runs', so none is here).
    wanted
        The Pods that should exist if it may run now.
    launch_failure
        Why the API server refused the last Pod, or ``None``.
    """

    assessment: Assessment
    mode: Mode = Mode.TASK
    sandbox: Sandbox | None = None
    network: ConditionDraft
    surroundings: Surroundings = Surroundings()
    pods: tuple[ObservedPod, ...] = ()
    wanted: tuple[WantedPod, ...] = ()
    launch_failure: Failure | None = None


class RunPhase(StrEnum):
    """``status.phase`` of a SkillRun."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def ended(self) -> bool:
        """Whether it will not change again."""
        return self in {RunPhase.SUCCEEDED, RunPhase.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWorld:
    """One SkillRun with its Pod.

    Attributes
    ----------
    phase
        What its status says now.
    finished_at
        When it ended, from its status (UTC).
    ttl_seconds
        From its spec.
    accepted
        The condition Accepted of the run.
    skill_mode, suspended
        Of the skill; ``None`` mode: there is no such skill.
    assessment
        The skill's, at the lower of both maturities; ``None`` without a skill.
    surroundings
        The skill's.
    pod
        The run's one Pod, or ``None``.
    strays
        Other Pods that claim to be this run's; they are removed.
    pod_name
        The name that the Pod has or would have.
    launch_failure
        As in SkillWorld.
    now
        UTC, aware.
    """

    phase: RunPhase
    finished_at: datetime | None = None
    ttl_seconds: int | None = None
    accepted: ConditionDraft
    skill_mode: Mode | None = None
    suspended: bool = False
    assessment: Assessment | None = None
    surroundings: Surroundings = Surroundings()
    pod: ObservedPod | None = None
    strays: tuple[ObservedPod, ...] = ()
    pod_name: str = ""
    launch_failure: Failure | None = None
    now: datetime
