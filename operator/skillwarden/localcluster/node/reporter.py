"""What the node tells the API server: a Pod's status, its Events, its end."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from skillwarden.localcluster.node.client import ApiError, KubeClient
from skillwarden.localcluster.node.status import PodState, render_status
from skillwarden.localcluster.node.volumeplan import VolumeKind

_log = logging.getLogger(__name__)

Object = Mapping[str, Any]
UNREACHABLE = (ApiError, aiohttp.ClientError, TimeoutError, OSError)


def now() -> str:
    """RFC 3339 in UTC, whole seconds, as the API's times are."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Reporter:
    """One Pod's reports, in order.

    A report that the server does not take is not lost: the next one carries the whole state, and the worker
    repeats the last until it was taken.
    """

    def __init__(self, client: KubeClient, pod: Object, *, node: str) -> None:
        metadata = pod["metadata"]
        self._client = client
        self._node = node
        self._name, self._namespace, self._uid = metadata["name"], metadata["namespace"], metadata["uid"]
        self._path = f"/api/v1/namespaces/{self._namespace}/pods/{self._name}"
        self._status: Object = pod.get("status") or {}
        self._sent: Object | None = None
        self._told: set[tuple[str, str]] = set()

    async def publish(self, state: PodState) -> bool:
        """Write the status if it differs from the last one written; False: it could not be written."""
        status = render_status(state, old=self._status, now=now())
        if status == self._sent:
            return True
        body = {"metadata": {"uid": self._uid}, "status": status}
        try:
            answer = await self._client.merge(f"{self._path}/status", body)
        except ApiError as error:
            if error.status in {404, 409}:
                # Gone, or another Pod of this name: the watch says so to the node.
                return True
            _log.warning("status of %s/%s: %s", self._namespace, self._name, error)
            return False
        except UNREACHABLE as error:
            _log.warning("status of %s/%s: %s: %s", self._namespace, self._name, type(error).__name__, error)
            return False
        self._status = answer.get("status") or status
        self._sent = status
        return True

    async def event(self, reason: str, message: str, *, warning: bool = False, once: bool = True) -> None:
        """Create an Event about the Pod; with ``once`` the same is not said again."""
        if once and (reason, message) in self._told:
            return
        self._told.add((reason, message))
        stamp = now()
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{self._name}.{secrets.token_hex(8)}", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": self._name,
                "namespace": self._namespace,
                "uid": self._uid,
            },
            "reason": reason,
            "message": message[:1024],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "skillwarden-node", "host": self._node},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            await self._client.request("POST", f"/api/v1/namespaces/{self._namespace}/events", body=body)
        except UNREACHABLE as error:
            _log.warning("event %s of %s/%s: %s", reason, self._namespace, self._name, error)

    async def delete(self) -> bool:
        """Tell the server that a Pod which is being deleted has ended; False: it could not be told."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self._uid},
        }
        try:
            await self._client.request("DELETE", self._path, body=body)
        except ApiError as error:
            return error.status in {404, 409}
        except UNREACHABLE:
            return False
        return True

    async def fetch(self, kind: VolumeKind, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap or Secret of the Pod's namespace."""
        collection = "secrets" if kind is VolumeKind.SECRET else "configmaps"
        found = await self._client.get(f"/api/v1/namespaces/{self._namespace}/{collection}/{name}")
        return (
            None
            if found is None
            else {**found, "kind": "Secret" if kind is VolumeKind.SECRET else "ConfigMap"}
        )
