"""A Pod's status as a kubelet would write it: from what the worker knows, with no clock and no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Object = Mapping[str, Any]

SIMULATED = "skillwarden.io/Simulated"
_OWN_CONDITIONS = ("PodScheduled", "Initialized", "ContainersReady", "Ready", SIMULATED)


class Phase(StrEnum):
    """A Pod's phase."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not running, and why."""

    reason: str
    message: str = ""

    def render(self) -> dict[str, Any]:
        return {"waiting": {"reason": self.reason, **({"message": self.message} if self.message else {})}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Running since (RFC 3339)."""

    started: str

    def render(self) -> dict[str, Any]:
        return {"running": {"startedAt": self.started}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """Ended."""

    exit_code: int
    reason: str
    started: str
    finished: str
    message: str = ""

    def render(self) -> dict[str, Any]:
        body: dict[str, Any] = {"exitCode": self.exit_code, "reason": self.reason}
        if self.message:
            body["message"] = self.message
        return {"terminated": {**body, "startedAt": self.started, "finishedAt": self.finished}}


State = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One container: its state, the end before it, and how often it was started anew."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    init: bool = False

    @property
    def ready(self) -> bool:
        """An init container is ready when it is done, another while it runs (no probes are run here)."""
        match self.state:
            case Terminated(exit_code=0):
                return self.init
            case Running():
                return not self.init
        return False

    def render(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "image": self.image,
            "imageID": self.image,
            "ready": self.ready,
            "started": isinstance(self.state, Running),
            "restartCount": self.restarts,
            "state": self.state.render(),
            "lastState": {} if self.last is None else self.last.render(),
        }


@dataclass(slots=True, kw_only=True)
class PodState:
    """What the worker knows of its Pod.

    Parameters
    ----------
    ended
        Set once nothing will be started any more: the phase, a reason (Evicted, DeadlineExceeded) and its
        message.
    """

    start_time: str
    init: list[ContainerState] = field(default_factory=list)
    main: list[ContainerState] = field(default_factory=list)
    restarts_failed: bool = True
    restarts_all: bool = True
    simulated: str = ""
    ended: tuple[Phase, str, str] | None = None

    def update(self, name: str, **changes: Any) -> ContainerState:
        """Change what is known of one container."""
        for states in (self.init, self.main):
            for index, each in enumerate(states):
                if each.name == name:
                    states[index] = replace(each, **changes)
                    return states[index]
        raise KeyError(name)

    def get(self, name: str) -> ContainerState:
        return self.update(name)

    @property
    def initialized(self) -> bool:
        return all(each.ready for each in self.init)

    def phase(self) -> Phase:
        """The phase, by the rules of the kubelet's ``getPhase``."""
        if self.ended is not None:
            return self.ended[0]
        if not self.initialized:
            return Phase.PENDING
        states = [each.state for each in self.main]
        if all(isinstance(each, Terminated) for each in states):
            failed = any(isinstance(each, Terminated) and each.exit_code != 0 for each in states)
            if self.restarts_all or (failed and self.restarts_failed):
                return Phase.RUNNING
            return Phase.FAILED if failed else Phase.SUCCEEDED
        started = any(isinstance(each.state, Running) or each.last or each.restarts for each in self.main)
        ended = any(isinstance(each, Terminated) for each in states)
        return Phase.RUNNING if started or ended else Phase.PENDING


def now_conditions(state: PodState) -> dict[str, tuple[str, str, str]]:
    """Condition type to (status, reason, message)."""
    phase = state.phase()
    unready = [each.name for each in state.main if not each.ready]
    unfinished = [each.name for each in state.init if not each.ready]
    done = phase in {Phase.SUCCEEDED, Phase.FAILED}
    why = (
        "PodCompleted"
        if phase is Phase.SUCCEEDED
        else "PodFailed"
        if phase is Phase.FAILED
        else "ContainersNotReady"
    )
    if done:
        ready = ("False", why, "")
    elif unready or unfinished:
        ready = ("False", why, f"containers with unready status: [{' '.join(unready)}]")
    else:
        ready = ("True", "", "")
    initialized = ("True", "", "")
    if unfinished and phase is not Phase.SUCCEEDED:
        message = f"containers with incomplete status: [{' '.join(unfinished)}]"
        initialized = ("False", "ContainersNotInitialized", message)
    conditions = {
        "PodScheduled": ("True", "", ""),
        "Initialized": initialized,
        "ContainersReady": ready,
        "Ready": ready,
    }
    if state.simulated:
        conditions[SIMULATED] = ("True", "SandboxUnavailable", state.simulated)
    return conditions


def render_status(state: PodState, *, old: Object, now: str) -> dict[str, Any]:
    """The status to write.

    Parameters
    ----------
    old
        The status that the Pod has: times of conditions that did not change, and conditions of others, are
        kept.
    now
        RFC 3339, for conditions that did.
    """
    status: dict[str, Any] = {
        "phase": str(state.phase()),
        "startTime": state.start_time,
        "conditions": _conditions(now_conditions(state), old.get("conditions") or [], now),
        "containerStatuses": [each.render() for each in state.main],
    }
    if state.init:
        status["initContainerStatuses"] = [each.render() for each in state.init]
    reason, message = (state.ended[1], state.ended[2]) if state.ended is not None else ("", "")
    # A merge patch removes with null what an earlier write may have left.
    status["reason"] = reason or None
    status["message"] = message or None
    return status


def _conditions(
    wanted: Mapping[str, tuple[str, str, str]], old: Sequence[Object], now: str
) -> list[dict[str, Any]]:
    before = {each["type"]: each for each in old}
    rendered = [dict(each) for name, each in before.items() if name not in _OWN_CONDITIONS]
    for name, (status, reason, message) in wanted.items():
        same = name in before and before[name]["status"] == status
        condition = {"type": name, "status": status, "lastProbeTime": None}
        condition["lastTransitionTime"] = before[name].get("lastTransitionTime", now) if same else now
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        rendered.append(condition)
    return rendered
