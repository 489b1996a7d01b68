"""What is special about Pods: defaults, rules on their spec, binding, graceful deletion, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import (
    format_quantity,
    label_error,
    parse_quantity,
    qualified_name_error,
)
from skillwarden.localcluster.apiserver.pod_schema import VOLUME_SOURCES
from skillwarden.localcluster.apiserver.store import clone

ENDED = frozenset({"Succeeded", "Failed"})
_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage", "storage"})
_EXTENDABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")


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
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerated = {item.get("key") for item in spec.get("tolerations") or ()}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if key not in tolerated:
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
    """Check the rules on a Pod's spec that are not its schema's."""
    spec = pod["spec"]
    if old is not None:
        return _changes(spec, old["spec"])
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(Cause("FieldValueRequired", "Required value", "spec.containers"))
    volumes = {volume["name"] for volume in spec.get("volumes") or () if "name" in volume}
    names: set[str] = set()
    for path, container in containers(spec):
        causes += _container(path, container, volumes, names)
    causes += _volumes(spec)
    if spec["dnsPolicy"] == "None" and spec.get("dnsConfig") is None:
        text = "Required value: must provide `dnsConfig` when `dnsPolicy` is None"
        causes.append(Cause("FieldValueRequired", text, "spec.dnsConfig"))
    elif spec["dnsPolicy"] == "None" and not spec["dnsConfig"].get("nameservers"):
        text = "Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"
        causes.append(Cause("FieldValueRequired", text, "spec.dnsConfig.nameservers"))
    if (spec.get("securityContext") or {}).get("runAsUser", 0) < 0:
        causes.append(
            _invalid("spec.securityContext.runAsUser", "must be between 0 and 2147483647, inclusive")
        )
    causes += [
        Cause("FieldValueForbidden", "Forbidden: when `hostUsers` is false", f"spec.{field}")
        for field in ("hostNetwork", "hostPID", "hostIPC")
        if spec.get("hostUsers") is False and spec.get(field)
    ]
    causes += [
        _invalid("spec.nodeSelector", wrong)
        for key in spec.get("nodeSelector") or ()
        if (wrong := qualified_name_error(key))
    ]
    return causes


def _invalid(path: str, why: str, value: str = "") -> Cause:
    shown = f'"{value}": ' if value else ""
    return Cause("FieldValueInvalid", f"Invalid value: {shown}{why}", path)


def _container(path: str, container: Obj, volumes: set[str], names: set[str]) -> Iterator[Cause]:
    name = container.get("name", "")
    if wrong := label_error(name):
        yield _invalid(f"{path}.name", wrong, name)
    if name in names:
        yield Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{path}.name")
    names.add(name)
    if not container.get("image"):
        yield Cause("FieldValueRequired", "Required value", f"{path}.image")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            where = f"{path}.volumeMounts[{index}].name"
            yield Cause("FieldValueNotFound", f'Not found: "{mount.get("name")}"', where)
    for index, variable in enumerate(container.get("env") or ()):
        name = variable["name"]
        if not name or "=" in name or not name.isascii() or not name.isprintable():
            why = (
                "a valid environment variable name must consist only of printable ASCII characters "
                "other than '='"
            )
            yield _invalid(f"{path}.env[{index}].name", why, name)
    yield from _resources(path, container.get("resources") or {})
    security = container.get("securityContext") or {}
    adds = (security.get("capabilities") or {}).get("add") or ()
    if security.get("allowPrivilegeEscalation") is False and (
        security.get("privileged") or "CAP_SYS_ADMIN" in adds
    ):
        where = f"{path}.securityContext"
        yield _invalid(where, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
    if security.get("runAsUser", 0) < 0:
        yield _invalid(f"{path}.securityContext.runAsUser", "must be between 0 and 2147483647, inclusive")


def _resources(path: str, resources: Obj) -> Iterator[Cause]:
    amounts = {}
    for field in ("limits", "requests"):
        for name, text in (resources.get(field) or {}).items():
            where = f"{path}.resources.{field}[{name}]"
            if "/" not in name and name not in _RESOURCES and not name.startswith("hugepages-"):
                yield _invalid(where, "must be a standard resource type or fully qualified", name)
            try:
                amounts[field, name] = parse_quantity(text)
            except ValueError:
                continue  # the schema has said so
            if amounts[field, name] < 0:
                yield _invalid(where, "must be greater than or equal to 0", str(text))
    for (field, name), amount in amounts.items():
        limit = amounts.get(("limits", name))
        if field == "requests" and limit is not None and amount > limit:
            shown = resources["requests"][name]
            limit_text = resources["limits"][name]
            why = f"must be less than or equal to {name} limit of {limit_text}"
            yield _invalid(f"{path}.resources.requests", why, str(shown))


def _volumes(spec: Obj) -> Iterator[Cause]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        path, name = f"spec.volumes[{index}]", volume.get("name", "")
        if wrong := label_error(name):
            yield _invalid(f"{path}.name", wrong, name)
        if len(VOLUME_SOURCES & volume.keys()) > 1:
            text = "Forbidden: may not specify more than 1 volume type"
            yield Cause("FieldValueForbidden", text, path)


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
    graces = (new.get("terminationGracePeriodSeconds"), old.get("terminationGracePeriodSeconds"))
    if fixed(new) == fixed(old) and allowed and (graces[0] == graces[1] or graces == (1, graces[1])):
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
