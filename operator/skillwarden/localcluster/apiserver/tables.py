"""Tables: what ``kubectl get`` shows, computed by the server as real ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from skillwarden.localcluster.apiserver import jsonpath
from skillwarden.localcluster.apiserver.errors import Obj
from skillwarden.localcluster.apiserver.formats import parse_time
from skillwarden.localcluster.apiserver.resources import Column, Resource

NONE = "<none>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Cell:
    """One column: its head, and how an object fills it."""

    name: str
    fill: Callable[[Obj], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def head(self) -> Obj:
        """Give the column's definition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


def age(text: Any) -> str:
    """Write how long ago a time was, as kubectl does: ``45s``, ``3m20s``, ``5h``, ``12d``."""
    try:
        seconds = int((datetime.now(UTC) - parse_time(str(text))).total_seconds())
    except ValueError:
        return UNKNOWN
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    steps: tuple[tuple[bool, str], ...] = (
        (seconds < 120, f"{seconds}s"),
        (minutes < 10, _two(minutes, "m", seconds % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _two(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (days < 8, _two(days, "d", hours % 24, "h")),
        (days < 730, f"{days}d"),
    )
    return next((shown for fits, shown in steps if fits), f"{days // 365}y")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def get(obj: Any, *path: str | int, default: Any = None) -> Any:
    """Walk into a JSON value; the default where the way ends."""
    for step in path:
        try:
            obj = obj[step]
        except (KeyError, IndexError, TypeError):
            return default
    return default if obj is None else obj


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _born(obj: Obj) -> str:
    return age(get(obj, "metadata", "creationTimestamp"))


def at(*path: str | int, default: Any = NONE) -> Callable[[Obj], Any]:
    """Fill a cell from a fixed place."""
    return lambda obj: get(obj, *path, default=default)


def _count(*path: str) -> Callable[[Obj], Any]:
    return lambda obj: len(get(obj, *path, default=()))


def _labels(*path: str) -> Callable[[Obj], Any]:
    return lambda obj: (
        ",".join(f"{key}={value}" for key, value in get(obj, *path, default={}).items()) or NONE
    )


NAME = Cell("Name", _name, format="name")
AGE = Cell("Age", _born)


def _pod_status(pod: Obj) -> str:
    status = pod.get("status") or {}
    shown = str(status.get("reason") or status.get("phase") or UNKNOWN)
    first = status.get("initContainerStatuses") or ()
    for index, item in enumerate(first):
        state = item.get("state") or {}
        if get(state, "terminated", "exitCode") == 0:
            continue
        reason = get(state, "terminated", "reason") or get(state, "waiting", "reason")
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{index}/{len(get(pod, 'spec', 'initContainers', default=()))}"
    for item in reversed(status.get("containerStatuses") or ()):
        state = item.get("state") or {}
        reason = get(state, "waiting", "reason") or get(state, "terminated", "reason")
        if not reason and "terminated" in state:
            reason = f"ExitCode:{state['terminated'].get('exitCode')}"
        shown = reason or shown
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    return shown


def _pod_ready(pod: Obj) -> str:
    ready = sum(bool(item.get("ready")) for item in get(pod, "status", "containerStatuses", default=()))
    return f"{ready}/{len(pod['spec'].get('containers') or ())}"


def _restarts(pod: Obj) -> str:
    both = ("initContainerStatuses", "containerStatuses")
    return str(
        sum(item.get("restartCount", 0) for name in both for item in get(pod, "status", name, default=()))
    )


def _node_status(node: Obj) -> str:
    ready = [item for item in get(node, "status", "conditions", default=()) if item["type"] == "Ready"]
    shown = "Unknown" if not ready else "Ready" if ready[0]["status"] == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if get(node, "spec", "unschedulable") else shown


def _ports(service: Obj) -> str:
    ports = get(service, "spec", "ports", default=())
    return ",".join(f"{item.get('port')}/{item.get('protocol', 'TCP')}" for item in ports) or NONE


def _event_age(event: Obj) -> str:
    times = (event.get("lastTimestamp"), get(event, "series", "lastObservedTime"), event.get("eventTime"))
    return age(next(filter(None, (*times, event["metadata"].get("creationTimestamp"))), ""))


def _event_object(event: Obj) -> str:
    involved = event.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _quota_line(side: str) -> Callable[[Obj], str]:
    def fill(quota: Obj) -> str:
        hard, used = get(quota, "status", "hard", default={}), get(quota, "status", "used", default={})
        limits = {name for name in hard if name.startswith("limits.")}
        names = limits if side == "limits" else hard.keys() - limits
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(names))

    return fill


def _wide(name: str, fill: Callable[[Obj], Any]) -> Cell:
    return Cell(name, fill, priority=1)


BUILTIN: Mapping[str, tuple[Cell, ...]] = {
    "namespaces": (NAME, Cell("Status", at("status", "phase", default="")), AGE),
    "pods": (
        NAME,
        Cell("Ready", _pod_ready),
        Cell("Status", _pod_status),
        Cell("Restarts", _restarts),
        AGE,
        _wide("IP", at("status", "podIP")),
        _wide("Node", at("spec", "nodeName")),
        _wide("Nominated Node", at("status", "nominatedNodeName")),
        _wide("Readiness Gates", lambda pod: NONE),
    ),
    "services": (
        NAME,
        Cell("Type", at("spec", "type")),
        Cell("Cluster-IP", at("spec", "clusterIP")),
        Cell("External-IP", at("spec", "externalName")),
        Cell("Port(s)", _ports),
        AGE,
        _wide("Selector", _labels("spec", "selector")),
    ),
    "serviceaccounts": (NAME, Cell("Secrets", _count("secrets"), "integer"), AGE),
    "configmaps": (
        NAME,
        Cell("Data", lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), "integer"),
        AGE,
    ),
    "secrets": (NAME, Cell("Type", at("type", default="")), Cell("Data", _count("data"), "integer"), AGE),
    "events": (
        Cell("Last Seen", _event_age),
        Cell("Type", at("type", default="")),
        Cell("Reason", at("reason", default="")),
        Cell("Object", _event_object),
        _wide("Source", at("source", "component", default="")),
        Cell("Message", lambda event: str(event.get("message", "")).strip()),
        _wide("Count", at("count", default=1)),
        Cell("Name", _name, priority=1, format="name"),
    ),
    "nodes": (
        NAME,
        Cell("Status", _node_status),
        Cell("Roles", lambda node: NONE),
        AGE,
        Cell("Version", at("status", "nodeInfo", "kubeletVersion", default="")),
        _wide("Internal-IP", at("status", "addresses", 0, "address")),
        _wide("OS-Image", at("status", "nodeInfo", "osImage", default=UNKNOWN)),
        _wide("Kernel-Version", at("status", "nodeInfo", "kernelVersion", default=UNKNOWN)),
        _wide("Container-Runtime", at("status", "nodeInfo", "containerRuntimeVersion", default=UNKNOWN)),
    ),
    "resourcequotas": (
        NAME,
        Cell("Request", _quota_line("requests")),
        Cell("Limit", _quota_line("limits")),
        AGE,
    ),
    "networkpolicies": (
        NAME,
        Cell("Pod-Selector", _labels("spec", "podSelector", "matchLabels")),
        AGE,
    ),
    "runtimeclasses": (NAME, Cell("Handler", at("handler", default="")), AGE),
    "leases": (NAME, Cell("Holder", at("spec", "holderIdentity", default="")), AGE),
    "customresourcedefinitions": (NAME, Cell("Created At", at("metadata", "creationTimestamp"))),
}


def _custom(column: Column) -> Cell:
    def fill(obj: Obj) -> Any:
        values = jsonpath.find(column.path, obj)
        if not values:
            return None
        if column.type == "date":
            return age(values[0])
        # Cells of these types are JSON values of the type; all others are text.
        if len(values) == 1 and (
            (column.type in {"integer", "number"} and isinstance(values[0], (int, float)))
            or (column.type == "boolean" and isinstance(values[0], bool))
        ):
            return values[0]
        return ",".join(str(value) for value in values)

    return Cell(
        column.name, fill, column.type, column.priority, column.format, column.description or column.path
    )


def cells_of(resource: Resource) -> tuple[Cell, ...]:
    """Give the columns of a kind."""
    if not resource.custom:
        return BUILTIN.get(resource.storage.plural, (NAME, AGE))
    return (NAME, *(_custom(column) for column in resource.columns)) if resource.columns else (NAME, AGE)


def table(
    cells: Iterable[Cell], objects: Iterable[Obj], meta: Obj, *, include: str = "Metadata", heads: bool = True
) -> Obj:
    """Give a ``meta.k8s.io/v1`` Table.

    Parameters
    ----------
    include : str
        What each row carries beside its cells: ``Metadata``, ``Object`` or ``None``.
    heads : bool
        Whether the columns are defined in it; in a watch, only the first event defines them.
    """
    cells = tuple(cells)
    rows = []
    for obj in objects:
        row: Obj = {"cells": [cell.fill(obj) for cell in cells]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [cell.head() for cell in cells] if heads else [],
        "rows": rows,
    }


def partial(obj: Obj) -> Obj:
    """Give only the metadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj.get("metadata", {}),
    }
