"""A whole world on loopback: package index, depot, embedded cluster and operator, all real."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import platform
import sys
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from skillwarden.advisories.sync import sync
from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.kinds import KINDS
from skillwarden.depot.fetch import FetchSettings
from skillwarden.depot.serving import Listening, serving
from skillwarden.kube.errors import KindMissing
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.kube.transport import Call
from skillwarden.localcluster.cluster import LocalCluster
from skillwarden.localcluster.node.config import DepotEndpoint, Timings
from skillwarden.localcluster.node.runtimes import OPERATOR_IMAGE, python_image_name
from skillwarden.runtime.context import operator
from skillwarden.runtime.settings import DepotSettings, Settings
from skillwarden.services.operator import Operator
from skillwarden.services.ports import Timing

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
KEY = "0123456789abcdef0123456789abcdef"
API = "skillwarden.io/v1alpha1"
FAST = Timing(
    mark_interval=timedelta(seconds=0.5),
    retry=timedelta(seconds=0.2),
    retry_limit=timedelta(seconds=1),
    # Two busy cores are slow, and an in-progress status that is written all the same is one write more.
    progress_delay=timedelta(seconds=60),
    advisory_poll=timedelta(seconds=0.2),
    kinds_poll=timedelta(seconds=0.2),
    source_poll=timedelta(seconds=0.2),
)
#: Long enough for two busy cores; no test asserts how long anything takes.
DEADLINE = 60.0
JSON_PAGE = "application/vnd.pypi.simple.v1+json"


@dataclass
class PackageIndex:
    """A package index with wheels made on the spot; ``down`` makes it fail, ``refusing`` keep its files."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    refusing: bool = False
    gate: threading.Event | None = None
    uploaded: str = "2025-01-02T03:04:05.000000Z"

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        *,
        requires: Iterable[str] = (),
        code: str = "",
        files: Mapping[str, str] | None = None,
        metadata: Iterable[str] = (),
    ) -> str:
        stem = f"{name.replace('-', '_')}-{version}"
        info = f"{stem}.dist-info"
        rows = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
        rows += [f"Requires-Dist: {item}\n" for item in requires]
        rows += [f"{line}\n" for line in metadata]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"{name.replace('-', '_')}.py", code or f"VERSION = {version!r}\n")
            for path, text in (files or {}).items():
                archive.writestr(path, text)
            archive.writestr(f"{info}/METADATA", "".join(rows))
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        filename = f"{stem}-py3-none-any.whl"
        self.files[filename] = buffer.getvalue()
        return filename

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, DEADLINE)
        if self.down:
            return web.Response(status=503)
        *_, folder, last = request.path.rstrip("/").split("/")
        if folder == "files" and self.refusing:
            return web.Response(status=401)
        if folder == "files" and last in self.files:
            return web.Response(body=self.files[last])
        stem = last.replace("-", "_")
        rows = [self._row(name, data) for name, data in self.files.items() if name.startswith(f"{stem}-")]
        if not rows:
            return web.Response(status=404)
        body = {"meta": {"api-version": "1.1"}, "name": last, "files": rows, "versions": []}
        return web.Response(text=json.dumps(body), content_type=JSON_PAGE)

    def _row(self, name: str, data: bytes) -> dict[str, Any]:
        return {
            "filename": name,
            "url": f"{self.url.removesuffix('/simple')}/files/{name}",
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
            "size": len(data),
            "upload-time": self.uploaded,
        }


def make_advisory(
    name: str,
    *,
    id_: str = "PYSEC-2026-1",
    introduced: str = "0",
    fixed: str | None = None,
    severity: str = "CRITICAL",
) -> dict[str, Any]:
    events = [{"introduced": introduced}] + ([{"fixed": fixed}] if fixed else [])
    return {
        "id": id_,
        "modified": "2026-01-01T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "summary": f"a hole in {name}",
        "database_specific": {"severity": severity},
        "affected": [
            {
                "package": {"name": name, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
    }


class World:
    """Everything that runs, and a thread with a loop of its own for all but the cluster."""

    def __init__(
        self,
        root: Path,
        *,
        trust: bool = True,
        timing: Timing = FAST,
        guarddog: Path | None = None,
        cluster: Any = LocalCluster,
    ) -> None:
        self.root = root
        self.guarddog = guarddog
        self.index = PackageIndex()
        self.timing = timing
        self.trust = trust
        self.trust_approvals = True
        # A unix socket's path may have 107 bytes; pytest's folders are long.
        self.socket = Path(f"/tmp/skw-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}") / "depot.sock"
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        depot = DepotEndpoint(
            labels={"skillwarden.io/component": "depot"},
            port=8480,
            socket_path=self.socket,
            namespace="skillwarden-system",
        )
        timings = Timings(backoff_initial=0.2, backoff_max=1.0, reconnect_initial=0.05)
        self.cluster = cluster(root / "cluster", depot=depot, timings=timings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="world", daemon=True)
        self._stack = contextlib.AsyncExitStack()
        self._operator: contextlib.AbstractAsyncContextManager[Operator] | None = None
        self.core: Operator | None = None

    # -- life ------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, Any], *, seconds: float = DEADLINE) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def start(self) -> World:
        self.cluster.start()
        self._thread.start()
        self.run(self._start())
        return self

    def stop(self) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.cluster.stop()
        self.socket.unlink(missing_ok=True)
        self.socket.parent.rmdir()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.index.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.index.url = f"http://127.0.0.1:{runner.addresses[0][1]}/simple"
        await self._stack.enter_async_context(
            serving(
                self.root / "depot",
                Listening(unix=self.socket),
                secret=KEY.encode(),
                settings=FetchSettings(),
                guarddog=self.guarddog,
            )
        )
        gateway = await Gateway.connect(kubeconfig=self.cluster.kubeconfig, user_agent="installer")
        for kind in KINDS:
            await gateway.apply(Kind.CUSTOM_RESOURCE_DEFINITION, crd(kind))
        await self._served(gateway)
        await gateway.close()

    async def _served(self, gateway: Gateway) -> None:
        """Wait until our kinds are served; a real server takes a moment."""
        async with asyncio.timeout(DEADLINE):
            for kind in KINDS:
                while True:
                    with contextlib.suppress(KindMissing):
                        await gateway.list(next(item for item in Kind if item.kind == kind.kind))
                        break
                    await asyncio.sleep(0.05)

    async def _stop(self) -> None:
        await self.stop_operator()
        await self._stack.aclose()

    def settings(self) -> Settings:
        return Settings(
            kubeconfig=self.cluster.kubeconfig,
            runtimes={VERSION: python_image_name(VERSION)},
            default_python=VERSION,
            operator_image=OPERATOR_IMAGE,
            arch={"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            libc="glibc-2.17",
            trust_agent_refs=self.trust,
            trust_approvals=self.trust_approvals,
            network_enforced=True,
            depot=DepotSettings(
                unix_socket=self.socket, key=KEY, sandbox_host="127.0.0.1", sandbox_port=8480
            ),
            state_dir=self.root / "state",
            index_url=self.index.url,
            resolve_deadline=30,
            audit_stdout=False,
            audit_file=self.root / "audit.jsonl",
        )

    async def start_operator(self) -> None:
        self._operator = operator(self.settings(), timing=self.timing)
        self.core = await self._operator.__aenter__()

    async def stop_operator(self) -> None:
        if self._operator is not None:
            context, self._operator, self.core = self._operator, None, None
            await context.__aexit__(None, None, None)

    def advisories(self, *records: dict[str, Any]) -> None:
        """Sync exactly these, and one about a package that nobody uses."""
        folder = self.root / f"osv-{time.monotonic_ns()}" / "PyPI"
        folder.mkdir(parents=True)
        for record in (make_advisory("nobody-uses-this", id_="PYSEC-2000-1"), *records):
            (folder / f"{record['id']}.json").write_text(json.dumps(record))
        self.run(sync(folder.parent, into=self.root / "state" / "advisories", force=True))

    # -- looking ---------------------------------------------------------------------------------------

    def writes(self, since: int = 0) -> list[Any]:
        """Return the operator's own writes: dry runs and other clients are not among them."""
        return [
            item
            for item in list(self.cluster.server.requests)[since:]
            if item.is_write and item.user_agent.startswith("skillwarden/") and "dryRun" not in item.query
        ]

    @property
    def mark(self) -> int:
        return len(self.cluster.server.requests)


class Client:
    """What a user does with kubectl, and waiting for what follows."""

    def __init__(self, gateway: Gateway, namespace: str) -> None:
        self.gateway = gateway
        self.namespace = namespace

    async def apply(self, *bodies: dict[str, Any]) -> None:
        for body in bodies:
            body["metadata"].setdefault("namespace", self.namespace)
            kind = next(kind for kind in Kind if kind.kind == body["kind"])
            if not kind.namespaced:
                del body["metadata"]["namespace"]
            await self.gateway.apply(kind, body)

    async def delete(self, kind: Kind, name: str) -> None:
        namespace = self.namespace if kind.namespaced else None
        await self.gateway.delete(kind, name=name, namespace=namespace)

    async def get(self, kind: Kind, name: str) -> dict[str, Any]:
        return await self.gateway.get(kind, name=name, namespace=self.namespace) or {}

    async def pods(self) -> list[dict[str, Any]]:
        return list((await self.gateway.list(Kind.POD, namespace=self.namespace)).items)

    async def patch(
        self,
        kind: Kind,
        name: str,
        body: dict[str, Any],
        *,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """Merge-patch an object, as ``kubectl patch --type=merge`` does."""
        path = kind.path(
            namespace=self.namespace if kind.namespaced else None, name=name, subresource=subresource
        )
        call = Call("patch", kind.kind, path, "PATCH", {}, body, "application/merge-patch+json")
        return dict(await self.gateway._transport.object(call))

    async def orphan(self, kind: Kind, name: str) -> None:
        """Delete an object and leave its children, as ``kubectl delete --cascade=orphan`` does."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Orphan"}
        path = kind.path(namespace=self.namespace, name=name)
        await self.gateway._transport.object(Call("delete", kind.kind, path, "DELETE", body=options))

    async def items(self, kind: Kind) -> list[dict[str, Any]]:
        return list((await self.gateway.list(kind, namespace=self.namespace)).items)

    async def events(self, name: str) -> list[dict[str, Any]]:
        """The operator's Events about one object, oldest first."""
        found = [item for item in await self.items(Kind.EVENT) if item["involvedObject"]["name"] == name]
        found = [item for item in found if item["source"].get("component") == "skillwarden"]
        return sorted(found, key=lambda item: int(item["metadata"]["resourceVersion"]))

    async def log(self, pod: str) -> str:
        return str(await self.gateway.pod_log(self.namespace, pod, "skill"))

    async def until_log(self, pod: str, words: str) -> str:
        return str(await self.until(lambda: self.log(pod), lambda text: words in text, f"log of {pod}"))

    async def until_gone(self, kind: Kind, name: str) -> None:
        await self.until(lambda: self.get(kind, name), lambda body: body == {}, f"{kind.name} {name} gone")

    async def until(
        self, look: Callable[[], Awaitable[Any]], ready: Callable[[Any], bool], what: str = ""
    ) -> Any:
        """Wait until what is seen is as wanted; fail with what was seen last."""
        deadline = asyncio.get_running_loop().time() + DEADLINE
        pause = 0.03
        while True:
            seen = await look()
            if ready(seen):
                return seen
            late = asyncio.get_running_loop().time() >= deadline
            assert not late, f"{what or 'it'} did not come true: {_brief(seen)}"
            await asyncio.sleep(pause)
            # Whoever waits for long asks less often: others work on the same CPUs.
            pause = min(0.25, pause * 1.3)

    async def until_skill(self, name: str, **conditions: str) -> dict[str, Any]:
        """Wait until a Skill's conditions have these reasons (``Ready="Ready"``); return its status."""

        async def look() -> dict[str, Any]:
            body = await self.get(Kind.SKILL, name)
            return body.get("status") or {}

        def ready(status: dict[str, Any]) -> bool:
            found = {item["type"]: item["reason"] for item in status.get("conditions") or []}
            return all(found.get(kind) == reason for kind, reason in conditions.items())

        return dict(await self.until(look, ready, f"skill {name} {conditions}"))

    async def until_run(self, name: str, phase: str) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            body = await self.get(Kind.SKILL_RUN, name)
            return body.get("status") or {}

        return dict(
            await self.until(look, lambda status: status.get("phase") == phase, f"run {name} {phase}")
        )

    async def until_pods(self, count: int, *, ready: bool = False) -> list[dict[str, Any]]:
        def good(pods: list[dict[str, Any]]) -> bool:
            living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            return len(pods) == len(living) == count and (not ready or all(map(is_ready, living)))

        return list(await self.until(self.pods, good, f"{count} pods"))


async def equipped(client: Client, world: World, *maturities: str) -> None:
    """Give a namespace an agent of each maturity and a policy that allows every package."""
    policy = make_policy()
    await client.apply(*(make_agent(item.lower(), item) for item in maturities), policy)
    if world.core is not None:
        # Before it is seen, a skill has no policy and an Event of that: only what comes later is the test's.
        await client.until(
            lambda: client.get(Kind.PACKAGE_POLICY, policy["metadata"]["name"]),
            lambda body: bool((body.get("status") or {}).get("conditions")),
            "the policy is seen",
        )


async def settled(world: World) -> None:
    """Wait until the operator of this process has nothing to do."""
    quiet = 0
    while quiet < 5:
        idle = bool(world.core and world.core.primed and world.core.queue.idle)
        quiet = quiet + 1 if idle else 0
        await asyncio.sleep(0.05)


def _brief(seen: Any) -> str:
    """What was seen, short enough to read: objects by name and status."""
    if isinstance(seen, list):
        return "[" + ", ".join(_brief(item) for item in seen) + "]"
    if isinstance(seen, dict) and "metadata" in seen:
        return f"{seen['metadata'].get('name')}: {str(seen.get('status'))[:400]}"
    return str(seen)[:3000]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in status["conditions"] if item["type"] == kind)


# -- objects -------------------------------------------------------------------------------------------


def make_skill(
    name: str = "demo",
    *,
    code: str = "print('hello')",
    packages: Iterable[str] = (),
    agent: str | None = "autonomous",
    mode: str = "Task",
    **sandbox: Any,
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "mode": mode,
        "source": {"files": [{"path": "main.py", "content": code}]},
        "packages": {"python": list(packages)},
        "entrypoint": {"command": ["python", "main.py"]},
        "sandbox": {"resources": {"cpu": "500m", "memory": "128Mi", "ephemeralStorage": "64Mi"}, **sandbox},
    }
    if agent:
        spec["agentRef"] = {"name": agent}
    return {"apiVersion": API, "kind": "Skill", "metadata": {"name": name}, "spec": spec}


def make_run(name: str = "demo-1", *, skill: str = "demo", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "SkillRun",
        "metadata": {"name": name},
        "spec": {"skillRef": {"name": skill}, **spec},
    }


def make_agent(name: str, maturity: str) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "Agent", "metadata": {"name": name}, "spec": {"maturity": maturity}}


def make_policy(name: str = "rules", *, allow: Iterable[str] = ("*",), **spec: Any) -> dict[str, Any]:
    rules = [
        {
            "name": "listed",
            "match": {"ecosystem": "PyPI", "names": list(allow)},
            "action": "Allow",
            "minMaturity": "Intern",
        }
    ]
    body = {"maturity": {"Student": "Deny"}, "rules": rules, "findings": {"typosquat": "Allow"}, **spec}
    return {"apiVersion": API, "kind": "PackagePolicy", "metadata": {"name": name}, "spec": body}


SERVICE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    time.sleep(1)
"""
AsyncClient = AsyncIterator[Client]
