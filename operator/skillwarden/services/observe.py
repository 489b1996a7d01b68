"""Projections of children: Pods and NetworkPolicies, reduced to what decisions need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api.v1alpha1 import GROUP
from ..builders.metadata import ANNOTATION_SPEC
from ..domain.naming import (
    ANNOTATION_CONTENT,
    ANNOTATION_INVOCATION,
    ANNOTATION_LOCK,
    COMPONENT_SANDBOX,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_SKILL_UID,
    MANAGER,
)
from ..domain.world import ObservedPod, PodPhase
from .ports import Body
from .seal import is_sealed

#: Selects every Pod that is or claims to be a sandbox, at the server.
SANDBOX_SELECTOR = f"{LABEL_COMPONENT}={COMPONENT_SANDBOX}"
SIMULATED = "skillwarden.io/Simulated"
#: Reasons of a container that ended before its command began, as container runtimes word them.
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
_TELLING = _NOT_STARTED | {"OOMKilled"}


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """Whose a child is, by its controller reference; ``uid`` ``""`` where it names none of our kinds."""

    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A Pod with its owner."""

    namespace: str
    owner: OwnerKey
    pod: ObservedPod
    #: Tells which of two observations is the later one; nothing else follows from it.
    resource_version: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkPolicyRecord:
    """A NetworkPolicy, ours or another's.

    Attributes
    ----------
    namespace, name, uid
        Which.
    ours
        Whether it says that we manage it.
    skill_uid
        As ``child_of`` has it.
    owner_uid, owner_name
        Of its controller, or ``""``.
    spec
        As the API server shows it.
    resource_version
        Tells which of two observations is the later one.
    """

    namespace: str
    name: str
    uid: str
    ours: bool
    skill_uid: str
    owner_uid: str
    owner_name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    resource_version: str = ""

    @property
    def facts(self) -> tuple[str, bool, str, str, str, Mapping[str, Any]]:
        """All that decisions use of it."""
        return (self.uid, self.ours, self.skill_uid, self.owner_uid, self.owner_name, self.spec)

    @property
    def left(self) -> bool:
        """Whether it was made for a skill and is nobody's by now (``--cascade=orphan``)."""
        return bool(self.skill_uid) and not self.owner_uid

    def opens(self, labels: Mapping[str, str]) -> bool:
        """Whether it lets a Pod with these labels reach, or be reached by, anything at all."""
        selects = matches_selector(self.spec.get("podSelector") or {}, labels)
        return selects and bool(self.spec.get("egress") or self.spec.get("ingress"))


def owner_of(body: Body) -> OwnerKey:
    """Return the controller of an object if it is of our kinds."""
    meta = body.get("metadata") or {}
    for reference in meta.get("ownerReferences") or []:
        ours = str(reference.get("apiVersion", "")).startswith(f"{GROUP}/")
        if reference.get("controller") and ours:
            return OwnerKey(reference["kind"], meta.get("namespace", ""), reference["name"], reference["uid"])
    return OwnerKey("", meta.get("namespace", ""), "", "")


def child_of(body: Body) -> str:
    """Return the uid of the skill whose child an object's labels say it is, or ``""``.

    They stay where a cascade took the owner away.
    """
    labels = body["metadata"].get("labels") or {}
    return str(labels.get(LABEL_SKILL_UID, "")) if labels.get(LABEL_MANAGED_BY) == MANAGER else ""


def pod_record(body: Body, *, seal_key: bytes) -> PodRecord:
    """Project a Pod."""
    meta = body["metadata"]
    status = body.get("status") or {}
    annotations = meta.get("annotations") or {}
    inits = status.get("initContainerStatuses") or []
    mains = status.get("containerStatuses") or []
    main = mains[0] if mains else {}
    state = main.get("state") or {}
    ended = state.get("terminated") or {}
    last = (main.get("lastState") or {}).get("terminated") or {}
    conditions = {item.get("type"): item for item in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled") or {}
    pod = ObservedPod(
        name=meta["name"],
        uid=meta.get("uid", ""),
        spec_hash=annotations.get(ANNOTATION_SPEC, ""),
        lock_digest=annotations.get(ANNOTATION_LOCK, ""),
        content_digest=annotations.get(ANNOTATION_CONTENT, ""),
        invocation_digest=annotations.get(ANNOTATION_INVOCATION, ""),
        tampered=not is_sealed(body, key=seal_key),
        phase=_phase(status.get("phase")),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        deleting=bool(meta.get("deletionTimestamp")),
        reason=ended["reason"] if ended.get("reason") in _TELLING else status.get("reason", ""),
        message=(ended.get("message", "") if ended.get("reason") in _NOT_STARTED else "")
        or status.get("message", ""),
        waiting=(state.get("waiting") or {}).get("reason", "") or _init_waiting(inits),
        init_failure=_init_failure(inits),
        exit_code=ended.get("exitCode", last.get("exitCode") if state.get("waiting") else None),
        output="" if ended.get("reason") in _NOT_STARTED else ended.get("message", ""),
        unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
        started_at=ended.get("startedAt") or (state.get("running") or {}).get("startedAt"),
        finished_at=ended.get("finishedAt"),
        simulated=(conditions.get(SIMULATED) or {}).get("status") == "True",
    )
    return PodRecord(meta.get("namespace", ""), owner_of(body), pod, str(meta.get("resourceVersion", "")))


def _phase(text: object) -> PodPhase:
    try:
        return PodPhase(str(text))
    except ValueError:
        return PodPhase.PENDING


def _init_waiting(inits: list[Mapping[str, Any]]) -> str:
    reasons = [((item.get("state") or {}).get("waiting") or {}).get("reason", "") for item in inits]
    return next((reason for reason in reasons if reason and reason != "PodInitializing"), "")


def _init_failure(inits: list[Mapping[str, Any]]) -> str | None:
    for item in inits:
        ended = (item.get("state") or {}).get("terminated") or (item.get("lastState") or {}).get("terminated")
        if ended and ended.get("exitCode", 0) != 0:
            said = (ended.get("message") or "").strip() or "It left no message; see kubectl logs -c prepare."
            return f"The sandbox could not be prepared (exit code {ended['exitCode']}): {said}"
    return None


def network_policy_record(body: Body) -> NetworkPolicyRecord:
    """Project a NetworkPolicy."""
    meta, owner = body["metadata"], owner_of(body)
    return NetworkPolicyRecord(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta.get("uid", ""),
        ours=(meta.get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGER,
        skill_uid=child_of(body),
        owner_uid=owner.uid,
        owner_name=owner.name,
        spec=body.get("spec") or {},
        resource_version=str(meta.get("resourceVersion", "")),
    )


def matches_selector(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a ``metav1.LabelSelector`` selects some labels; an empty one selects all."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        value = labels.get(rule["key"])
        match rule["operator"]:
            case "In":
                agrees = value is not None and value in (rule.get("values") or [])
            case "NotIn":
                agrees = value is None or value not in (rule.get("values") or [])
            case "Exists":
                agrees = value is not None
            case "DoesNotExist":
                agrees = value is None
            case _:
                # An operator that we do not know might select: the caller must not read it as harmless.
                agrees = True
        if not agrees:
            return False
    return True
