"""The embedded cluster's node: runs Pods of an API server that has no kubelet, in sandboxes made with bwrap.

It knows its API server by URL, token and CA alone. It is a double of a kubelet, and stricter than one: it
runs sandboxes only, without privilege, host access or network (see `refusals` and `network`).
"""

from __future__ import annotations

from skillwarden.localcluster.node.config import ApiConnection, DepotEndpoint, LocalImage, NodeConfig, Timings
from skillwarden.localcluster.node.node import LogsUnavailable, Node, NodeBusyError, NodeLogs
from skillwarden.localcluster.node.runtimes import (
    OPERATOR_IMAGE,
    find_images,
    find_pythons,
    python_image_name,
)

__all__ = [
    "OPERATOR_IMAGE",
    "ApiConnection",
    "DepotEndpoint",
    "LocalImage",
    "LogsUnavailable",
    "Node",
    "NodeBusyError",
    "NodeConfig",
    "NodeLogs",
    "Timings",
    "find_images",
    "find_pythons",
    "python_image_name",
]
