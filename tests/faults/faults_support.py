"""What the tests of faults share: the operator as a process, and what a misbehaving API server does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from operator_world import DEADLINE, SERVICE, Client, World, make_skill

from skillwarden.kube.kinds import Kind

Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def make_service(*packages: str, name: str = "demo", **fields: Any) -> dict[str, Any]:
    return make_skill(name, code=SERVICE, mode="Service", packages=packages, **{"replicas": 1, **fields})


class OperatorProcess:
    """``skillwarden operator run`` against a world, as a process of its own."""

    def __init__(self, world: World, name: str = "operator", **settings: str) -> None:
        self._world = world
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.log = world.root / f"{name}.log"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it unless it runs."""
        if self.alive:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "skillwarden", "operator", "run"],
                env=self._environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def strike(self) -> None:
        """SIGKILL it, from any thread, without waiting."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)

    def wait(self) -> int:
        """Wait for its end; return how it ended."""
        assert self._process is not None
        return self._process.wait(DEADLINE)

    def terminate(self) -> None:
        assert self._process is not None
        self._process.terminate()

    def _environment(self) -> dict[str, str]:
        settings, depot = self._world.settings(), self._world.settings().depot
        given = {
            "KUBECONFIG": settings.kubeconfig,
            "RUNTIMES": json.dumps(settings.runtimes),
            "DEFAULT_PYTHON": settings.default_python,
            "OPERATOR_IMAGE": settings.operator_image,
            "LIBC": settings.libc,
            "ARCH": settings.arch,
            "TRUST_AGENT_REFS": "true",
            "TRUST_APPROVALS": "true",
            "NETWORK_ENFORCED": "true",
            "DEPOT__UNIX_SOCKET": depot.unix_socket,
            "DEPOT__KEY": depot.key.get_secret_value() if depot.key else "",
            "DEPOT__SANDBOX_HOST": depot.sandbox_host,
            "DEPOT__SANDBOX_PORT": depot.sandbox_port,
            "STATE_DIR": settings.state_dir,
            "INDEX_URL": settings.index_url,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SKILLWARDEN_")}
        return kept | {f"SKILLWARDEN_{name}": str(value) for name, value in (given | self._settings).items()}


def is_operators(request: web.Request) -> bool:
    """Whether a request is of the operator's own client, and no dry run."""
    agent = request.headers.get("User-Agent", "")
    return agent.startswith("skillwarden/") and "dryRun" not in request.query


def is_from(request: web.Request, process: OperatorProcess) -> bool:
    """Whether a request came from this very process: the kernel knows whose the other end is."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    port = f":{peer[1]:04X}" if peer else ""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port)}
    held = set()
    for handle in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(str(handle.readlink()))
    return bool(ends & held)


def is_write_in(request: web.Request, namespace: str) -> bool:
    """Whether the operator writes something about a namespace's skills, runs or their children."""
    path = request.path
    return (
        is_operators(request)
        and request.method in WRITES
        and f"/namespaces/{namespace}/" in path
        and "/packagepolicies/" not in path
        and "/agents/" not in path
    )


async def answered(world: World, request: web.Request) -> web.StreamResponse:
    """Return the API server's true answer, once what was asked for has taken effect."""
    return await world.cluster.server._routes.answer(request)


async def watch_ends(world: World) -> None:
    """Cut every watch; clients come back by themselves."""

    async def cut() -> None:
        world.cluster.server._store.close_watchers()

    await asyncio.to_thread(world.cluster.run, cut())


CHILDREN = (Kind.POD, Kind.NETWORK_POLICY, Kind.SERVICE_ACCOUNT)


async def final_state(user: Client, kind: Kind, name: str) -> dict[str, Any]:
    """What stands in the end, without what differs from one launch to another: names, uids, times."""
    status = (await user.get(kind, name))["status"]
    children = {child.name: len(await user.items(child)) for child in CHILDREN}
    return {
        "children": children,
        "phase": status["phase"],
        "verdict": status.get("verdict"),
        "lock": (status.get("lock") or {}).get("digest"),
        "conditions": [
            (item["type"], item["status"], item["reason"], item["message"].replace(user.namespace, "NS"))
            for item in status["conditions"]
        ],
    }
