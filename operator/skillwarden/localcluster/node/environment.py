"""A container's environment as a kubelet makes it: plain values, ``$(NAME)``, and a few facts of the Pod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skillwarden.localcluster.node.refusals import Refused

Object = Mapping[str, Any]

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; an unknown name stays as it is, ``$$`` is one dollar."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return env.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def pod_environment(container: Object, *, pod: Object, base: Mapping[str, str], node: str) -> dict[str, str]:
    """The environment of one container.

    Raises
    ------
    Refused
        A value comes from somewhere that this node does not read.
    """
    env = dict(base)
    for each in container.get("env") or []:
        if "\0" in each.get("value", "") or "=" in each["name"]:
            raise Refused("CreateContainerConfigError", f"the variable {each['name']!r} cannot be set")
        if "valueFrom" in each:
            env[each["name"]] = _from_pod(each, container=container["name"], pod=pod, node=node)
        else:
            env[each["name"]] = expand(each.get("value", ""), env)
    return env


def _from_pod(variable: Object, *, container: str, pod: Object, node: str) -> str:
    source = variable["valueFrom"]
    path = (source.get("fieldRef") or {}).get("fieldPath", "")
    metadata = pod["metadata"]
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": node,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
    }
    if path in known:
        return str(known[path])
    keyed = _KEYED_FIELD.fullmatch(path)
    if keyed is not None:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    raise Refused(
        "CreateContainerConfigError",
        f"container {container}: the variable {variable['name']} takes its value from "
        f"{path or ', '.join(source)}, which this node does not read; give a plain value",
        container=container,
    )
