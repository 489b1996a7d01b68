"""Whether a child that stands is the one we would make: for adoption after a 409, and to notice hand edits.

An API server fills in defaults, and admission adds to Pods. Both are told from weakening by a list of what
may be there besides: a field that is not on it, or not with its harmless value, is a difference. So a field
that a later Kubernetes invents makes us replace a child, never trust it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..domain import naming
from .quantity import quantity

Path = tuple[str, ...]
Allowed = Callable[[Any], bool]


def _is(*values: object) -> Allowed:
    return lambda observed: any(observed == value and type(observed) is type(value) for value in values)


def _anything(_: Any) -> bool:
    return True


def _text(observed: Any) -> bool:
    return isinstance(observed, str)


def _only_node_tolerations(observed: Any) -> bool:
    """What DefaultTolerationSeconds adds; any other toleration may put the Pod on a node of its choice."""
    keys = {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/memory-pressure",
    }
    return isinstance(observed, list) and all(
        item.get("key") in keys and item.get("operator") == "Exists" for item in observed
    )


_EMPTY = _is([], {}, "", None)
#: Shared by init containers and containers; ``*`` stands for an index.
_CONTAINER: Mapping[str, Allowed] = {
    "stdin": _is(False),
    "stdinOnce": _is(False),
    "tty": _is(False),
    "resizePolicy": _anything,
}
#: What may stand in an observed object where ours has nothing, by path.
_TOLERATED: Mapping[Path, Mapping[str, Allowed]] = {
    ("Pod", "spec"): {
        "schedulerName": _is("default-scheduler"),
        "nodeName": _text,
        "serviceAccount": _text,  # the deprecated twin, compared in ``_pod_extras``
        "priority": _anything,
        "priorityClassName": _text,
        "preemptionPolicy": _text,
        "tolerations": _only_node_tolerations,
        "imagePullSecrets": _anything,  # a ServiceAccount's; they fetch what we name
        "hostUsers": _is(True, False),  # true is the default, false is stricter
        "hostNetwork": _is(False),
        "hostPID": _is(False),
        "hostIPC": _is(False),
        "shareProcessNamespace": _is(False),
    },
    ("Pod", "spec", "containers", "*"): _CONTAINER,
    ("Pod", "spec", "initContainers", "*"): _CONTAINER,
    ("Pod", "spec", "containers", "*", "securityContext"): {"procMount": _is("Default")},
    ("Pod", "spec", "initContainers", "*", "securityContext"): {"procMount": _is("Default")},
    ("Pod", "spec", "containers", "*", "volumeMounts", "*"): {
        "readOnly": _is(False),
        "mountPropagation": _is("None"),
    },
    ("Pod", "spec", "initContainers", "*", "volumeMounts", "*"): {
        "readOnly": _is(False),
        "mountPropagation": _is("None"),
    },
    ("ServiceAccount",): {"secrets": _anything, "imagePullSecrets": _anything},
}
_QUANTITY_PARENTS = frozenset({"requests", "limits"})


def same_spec(wanted: Mapping[str, Any], observed: Mapping[str, Any]) -> bool:
    """Whether an observed child is ours and has our whole spec.

    Parameters
    ----------
    wanted
        From a builder of this package.
    observed
        From the API server.
    """
    return not differences(wanted, observed)


def differences(wanted: Mapping[str, Any], observed: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths in which an observed child is not as we would make it; empty: it is ours.

    ``status`` is not looked at, nor what only the API server writes in ``metadata``.
    """
    kind = str(wanted["kind"])
    found = [f"metadata.{path}" for path in _metadata(wanted["metadata"], observed.get("metadata") or {})]
    for key in ("apiVersion", "kind"):
        # Items of a list carry neither.
        if observed.get(key, wanted[key]) != wanted[key]:
            found.append(key)
    body = {key: value for key, value in wanted.items() if key not in _NOT_BODY}
    seen = {key: value for key, value in observed.items() if key not in _NOT_BODY}
    found += _compare(body, seen, path=(kind,), at="")
    if kind == "Pod":
        found = [entry for entry in found if not _added_by_runtime_class(wanted["spec"], entry)]
        found += _pod_extras(wanted["spec"], observed.get("spec") or {})
    return tuple(found)


_NOT_BODY = frozenset({"apiVersion", "kind", "metadata", "status"})


def _metadata(wanted: Mapping[str, Any], observed: Mapping[str, Any]) -> list[str]:
    found = [key for key in ("name", "namespace") if observed.get(key) != wanted.get(key)]
    if (observed.get("ownerReferences") or []) != (wanted.get("ownerReferences") or []):
        found.append("ownerReferences")
    for key in ("labels", "annotations"):
        ours, theirs = wanted.get(key) or {}, observed.get(key) or {}
        found += [f"{key}.{name}" for name in ours if theirs.get(name) != ours[name]]
        # What others add is theirs, but the prefix is the operator's alone.
        found += [f"{key}.{name}" for name in theirs if name.startswith(naming.PREFIX) and name not in ours]
    return found


def _compare(wanted: Any, observed: Any, *, path: Path, at: str) -> list[str]:
    match wanted, observed:
        case dict(), dict():
            return _compare_maps(wanted, observed, path=path, at=at)
        case list(), list():
            if len(wanted) != len(observed):
                return [at]
            pairs = enumerate(zip(wanted, observed, strict=True))
            return [
                entry
                for index, (ours, theirs) in pairs
                for entry in _compare(ours, theirs, path=(*path, "*"), at=f"{at}[{index}]")
            ]
        case _:
            return [] if _same_scalar(wanted, observed, path=path) else [at]


def _compare_maps(
    wanted: Mapping[str, Any], observed: Mapping[str, Any], *, path: Path, at: str
) -> list[str]:
    tolerated = _TOLERATED.get(path, {})
    found: list[str] = []
    for key in sorted({*wanted, *observed}):
        here = f"{at}.{key}".lstrip(".")
        if key not in wanted:
            allowed = tolerated.get(key, _EMPTY)
            if not (_EMPTY(observed[key]) or allowed(observed[key])):
                found.append(here)
        elif key not in observed:
            # An explicit false is kept by the API, and its absence may mean true.
            if not _EMPTY(wanted[key]):
                found.append(here)
        elif not _stricter(key, wanted[key], observed[key]):
            found += _compare(wanted[key], observed[key], path=(*path, key), at=here)
    return found


def _stricter(key: str, wanted: Any, observed: Any) -> bool:
    """The one value that admission changes to a stricter one: AlwaysPullImages."""
    return key == "imagePullPolicy" and observed == "Always" and isinstance(wanted, str)


def _same_scalar(wanted: Any, observed: Any, *, path: Path) -> bool:
    if type(wanted) is type(observed) and wanted == observed:
        return True
    measures = (len(path) > 1 and path[-2] in _QUANTITY_PARENTS) or path[-1] == "sizeLimit"
    if not measures or isinstance(wanted, bool) or isinstance(observed, bool):
        return False
    ours = quantity(wanted)
    return ours is not None and ours == quantity(observed)


def _pod_extras(wanted: Mapping[str, Any], observed: Mapping[str, Any]) -> list[str]:
    """The deprecated twin of ``serviceAccountName`` names the same account."""
    account = wanted["serviceAccountName"]
    return [] if observed.get("serviceAccount", account) == account else ["spec.serviceAccount"]


def _added_by_runtime_class(wanted: Mapping[str, Any], entry: str) -> bool:
    """Whether a RuntimeClass may have added it: scheduling that narrows the nodes, overhead that accounts."""
    if "runtimeClassName" not in wanted:
        return False
    selected = entry.removeprefix("spec.nodeSelector.")
    narrowed = selected != entry and selected not in wanted["nodeSelector"]
    return narrowed or entry in {"spec.tolerations", "spec.overhead"}
