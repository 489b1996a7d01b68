"""Pods to run, and a client of the API server that waits."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from skillwarden.localcluster.node import Node, NodeConfig, Timings, python_image_name

DEADLINE_SECONDS = 60
TOKEN = "test-token"
UNPRIVILEGED = 65533
# One for each process that runs tests: without cgroups the kernel counts a user's processes over all Pods.
SANDBOX_USER = 65400 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PYTHON = python_image_name(f"{sys.version_info.major}.{sys.version_info.minor}")

FAST = Timings(
    backoff_initial=0.05, backoff_max=0.2, usage_interval=0.05, reconnect_initial=0.05, reconnect_max=0.5
)

Object = Mapping[str, Any]
StartNode = Callable[[NodeConfig], Awaitable[Node]]


def make_container(code: str = "print('hello')", /, **changes: Any) -> dict[str, Any]:
    """A container as the operator's builder makes it, running a line of Python."""
    container = {
        "name": "main",
        "image": PYTHON,
        "command": ["python", "-c", code],
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {**container, **changes}


def make_pod(*containers: Object, name: str = "pod", **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {"app": "sandbox"})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": SANDBOX_USER, "runAsGroup": SANDBOX_USER},
            "containers": list(containers or [make_container()]),
            **spec,
        },
    }


class Cluster:
    """A client of the API server, with waits."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, ca_file: Path) -> None:
        self._session, self.url, self.token, self.ca_file = session, url, token, ca_file

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        async with self._session.request(
            method,
            self.url + path,
            data=json.dumps(body) if body is not None else None,
            headers={"Content-Type": kind},
        ) as response:
            answer = json.loads(await response.read())
            if response.status == 404:
                return None
            assert response.status < 300, answer
            return answer

    async def create(self, manifest: Object) -> Any:
        namespace = manifest["metadata"].get("namespace", "default")
        kind = manifest["kind"].lower()
        group = "/api/v1" if manifest["apiVersion"] == "v1" else f"/apis/{manifest['apiVersion']}"
        plural = "networkpolicies" if kind == "networkpolicy" else kind + "s"
        return await self.call("POST", f"{group}/namespaces/{namespace}/{plural}", manifest)

    async def pod(self, name: str = "pod") -> Any:
        return await self.call("GET", f"/api/v1/namespaces/default/pods/{name}")

    async def delete_pod(self, name: str = "pod", *, grace: int | None = None) -> None:
        body = {} if grace is None else {"gracePeriodSeconds": grace}
        await self.call("DELETE", f"/api/v1/namespaces/default/pods/{name}", body)

    async def events(self, *, reason: str) -> list[Any]:
        found = await self.call("GET", "/api/v1/namespaces/default/events")
        return [each for each in found["items"] if each["reason"] == reason]

    async def wait(self, condition: Callable[[Any], Any], name: str = "pod") -> Any:
        """The Pod, once the condition holds for it (None: the Pod is gone)."""
        pod: Any = None

        async def holds() -> bool:
            nonlocal pod
            pod = await self.pod(name)
            return bool(condition(pod))

        await until(holds, lambda: f"the Pod is {json.dumps((pod or {}).get('status'), indent=1)}")
        return pod

    async def run(self, pod: Object) -> Any:
        """Create a Pod and wait for its end."""
        await self.create(pod)
        return await self.wait(ended, pod["metadata"]["name"])

    async def log(self, name: str = "pod", **query: str) -> str:
        async with self._session.get(
            f"{self.url}/api/v1/namespaces/default/pods/{name}/log", params=query
        ) as response:
            text = await response.text()
            assert response.status == 200, text
            return text


async def until(holds: Callable[[], Awaitable[bool]], describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_SECONDS} s; {describe()}")
        await asyncio.sleep(0.05)


def ended(pod: Any) -> bool:
    return pod is not None and pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def state_of(pod: Any, container: str = "main") -> Any:
    """A container's state, such as {"terminated": {...}}."""
    status = pod.get("status", {})
    for each in (*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])):
        if each["name"] == container:
            return each["state"]
    return {}
