"""What is special about Pods: defaults, rules on their spec, binding, graceful deletion, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from skillwarden.localcluster.apiserver import pod_rules
from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import format_quantity, parse_quantity
from skillwarden.localcluster.apiserver.pod_schema import VOLUME_SOURCES
from skillwarden.localcluster.apiserver.store import clone

ENDED = frozenset({"Succeeded", "Failed"})
_EXTENDABLE = ("activeDeadlineSeconds", "tolerations")


class LogsUnavailable(LookupError):  # noqa: N818 - it says what is the case
    """There are no such logs (yet); its text is what the client reads, with a 400."""


class LogSource(Protocol):
    """Where the logs of containers come from: the node."""

    def open(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        since_seconds: int | None,
        timestamps: bool,
        previous: bool,
        limit_bytes: int | None,
    ) -> AsyncIterator[bytes]:
        """Stream a container's output, from the oldest byte asked for.

        Raises
        ------
        LookupError
            At the call or at the first byte; ``LogsUnavailable``, or the source's own kind of it.
        """
        ...


def canonical_quantities(amounts: dict[str, Any]) -> dict[str, Any]:
    """Write quantities as a server gives them back (``1024Mi`` becomes ``1Gi``); wrong ones stay."""
    canonical: dict[str, Any] = {}
    for name, amount in amounts.items():
        try:
            canonical[name] = format_quantity(parse_quantity(amount), binary=str(amount).endswith("i"))
        except ValueError:
            canonical[name] = amount
    return canonical


def containers(spec: Obj) -> Iterator[tuple[str, Obj]]:
    """Go through a Pod's containers with their field paths, init containers last."""
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def normalise(pod: Obj) -> None:
    """Fill in what depends on other fields; the schema's own defaults are there already."""
    spec = pod["spec"]
    # What admission adds on every real cluster; whoever compares specs has to bear it.
    if not spec.get("priorityClassName"):
        spec.setdefault("priority", 0)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    tolerations = spec.get("tolerations") or ()
    everything = any(not item.get("key") and item.get("operator") == "Exists" for item in tolerations)
    tolerated = {item.get("key") for item in tolerations}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if key not in tolerated and not everything:
            added = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            spec["tolerations"] = [*(spec.get("tolerations") or ()), added]
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    for _, container in containers(spec):
        image = container.get("image", "")
        latest = image.endswith(":latest") or (":" not in image.rsplit("/", 1)[-1] and "@" not in image)
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        resources = container.setdefault("resources", {})
        for field in ("limits", "requests"):
            if resources.get(field):
                resources[field] = canonical_quantities(resources[field])
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    for volume in spec.get("volumes") or ():
        if not VOLUME_SOURCES & volume.keys():
            volume["emptyDir"] = {}
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is not None:
            volume["emptyDir"].update(canonical_quantities({"sizeLimit": size}))


def prepare_create(pod: Obj) -> None:
    """Give a new Pod its defaults and its first status."""
    normalise(pod)
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}


def prepare_update(pod: Obj, old: Obj) -> None:
    """Fill in what an update left out that depends on other fields."""
    normalise(pod)
    if not pod["spec"].get("nodeName") and old["spec"].get("nodeName"):
        pod["spec"]["nodeName"] = old["spec"]["nodeName"]


def qos_class(spec: Obj) -> str:
    """Tell a Pod's quality of service from its containers' resources."""
    asked = [container.get("resources") or {} for _, container in containers(spec)]
    if not any(item.get("requests") or item.get("limits") for item in asked):
        return "BestEffort"
    guaranteed = all(
        (item.get("limits") or {}).keys() >= {"cpu", "memory"}
        and all((item.get("requests") or {}).get(name) == item["limits"][name] for name in ("cpu", "memory"))
        for item in asked
    )
    return "Guaranteed" if guaranteed else "Burstable"


def validate(pod: Obj, old: Obj | None) -> list[Cause]:
    """Check the rules on a Pod that are not its schema's."""
    spec = pod["spec"]
    if old is None:
        return list(pod_rules.check(spec, containers(spec)))
    images = [cause for path, container in containers(spec) for cause in pod_rules.image(path, container)]
    return [*images, *_changes(spec, old["spec"]), *_status_changes(pod, old)]


def _status_changes(pod: Obj, old: Obj) -> Iterator[Cause]:
    """Refuse what no node may report: another quality of service, or the life of what has ended."""
    new, before = pod.get("status") or {}, old.get("status") or {}
    if new.get("qosClass", before.get("qosClass")) != before.get("qosClass"):
        yield pod_rules.invalid("status.qosClass", "field is immutable", new["qosClass"])
    policy = pod["spec"]["restartPolicy"]
    if policy == "Always":
        return
    ended = {item.get("name"): item for item in before.get("containerStatuses") or ()}
    for index, item in enumerate(new.get("containerStatuses") or ()):
        was = (ended.get(item.get("name"), {}).get("state") or {}).get("terminated")
        if was is None or "terminated" in (item.get("state") or {}):
            continue
        if policy == "Never" or not was.get("exitCode"):
            where = f"status.containerStatuses[{index}].state"
            yield pod_rules.forbidden(where, "may not be transitioned to non-terminated state")


def _changes(new: Obj, old: Obj) -> list[Cause]:
    """Refuse a change of anything but the few fields of a Pod's spec that may change."""

    def fixed(spec: Obj) -> Obj:
        kept = {name: item for name, item in spec.items() if name not in _EXTENDABLE}
        for field in ("containers", "initContainers"):
            if kept.get(field):
                kept[field] = [{**container, "image": ""} for container in kept[field]]
        return kept

    def within(field: str) -> bool:
        return new.get(field) == old.get(field) or (
            new.get(field) is not None and (old.get(field) is None or new[field] < old[field])
        )

    added = new.get("tolerations") or []
    allowed = within("activeDeadlineSeconds") and all(item in added for item in old.get("tolerations") or ())
    if fixed(new) == fixed(old) and allowed:
        return []
    text = (
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
        "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
        "previously negative)"
    )
    return [Cause("FieldValueForbidden", text, "spec")]


def bound(pod: Obj, node: str, now: str) -> Obj:
    """Give the Pod as it stands once it is bound to a node."""
    status = clone(pod.get("status") or {})
    others = [item for item in status.get("conditions") or () if item["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now, "lastProbeTime": None}
    return {
        **pod,
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**status, "conditions": [*others, scheduled]},
    }


def grace_period(pod: Obj, asked: int | None) -> int:
    """Tell how many seconds a Pod has to end; 0 removes it at once.

    A Pod that no node has taken, or that has ended, has nothing to end. A period, once running, is only
    ever shortened.
    """
    if not pod["spec"].get("nodeName") or (pod.get("status") or {}).get("phase") in ENDED:
        return 0
    period: int = asked if asked is not None else pod["spec"].get("terminationGracePeriodSeconds", 30)
    period = 1 if period < 0 else period
    running = pod["metadata"].get("deletionGracePeriodSeconds")
    return period if running is None else min(period, running)
