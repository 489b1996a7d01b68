"""Events as ``kubectl describe`` shows them: one for each transition, never one a reconcile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..domain.naming import MANAGER, child_name

_MAX_NOTE = 1024
#: Events about cluster-scoped objects live here, as kubectl expects.
_CLUSTER_NAMESPACE = "default"


def event_body(
    regarding: Mapping[str, Any], *, reason: str, message: str, warning: bool = False, now: datetime
) -> dict[str, Any]:
    """Return a core/v1 Event to be created.

    Parameters
    ----------
    regarding
        The object that it is about: apiVersion, kind and metadata with name and uid.
    reason
        CamelCase, from an enum: no package or CVE name.
    message
        What happened; cut at the API's 1,024 bytes.
    warning
        ``Warning`` rather than ``Normal``.
    now
        When, with a time zone. Two events about one object at one microsecond with one reason are one.
    """
    metadata = regarding["metadata"]
    stamp = now.astimezone(UTC)
    seconds = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
    namespace = metadata.get("namespace") or ""
    return {
        "metadata": {
            "name": child_name(metadata["name"], metadata.get("uid", ""), reason, stamp.isoformat()),
            "namespace": namespace or _CLUSTER_NAMESPACE,
        },
        "involvedObject": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            **({"namespace": namespace} if namespace else {}),
            **{key: metadata[key] for key in ("uid", "resourceVersion") if metadata.get(key)},
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": _cut(message),
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "count": 1,
    }


def _cut(message: str) -> str:
    data = message.encode("utf-8", "replace")
    if len(data) <= _MAX_NOTE:
        return data.decode()
    return data[: _MAX_NOTE - 3].decode("utf-8", "ignore") + "..."
