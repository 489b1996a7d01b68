"""What the tests of faults share: the operator as a process, and what a misbehaving API server does."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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


class Fork:
    """One process that `operator_forks.py` started, with what tests use of ``subprocess.Popen``."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid = pid
        self._ended = ended

    def poll(self) -> int | None:
        return int(self._ended.read_text()) if self._ended.exists() else None

    def wait(self, seconds: float) -> int:
        late = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > late:
                raise TimeoutError(f"the operator (pid {self.pid}) did not end within {seconds:g} s")
            time.sleep(0.02)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Forks:
    """The process that operators are forked from."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("operator_forks.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._places = Path(tempfile.mkdtemp(prefix="skillwarden-forks-"))
        self._numbers = itertools.count()

    def start(self, *, environment: dict[str, str], log: Path) -> Fork:
        assert self._process.stdin is not None and self._process.stdout is not None
        ended = self._places / str(next(self._numbers))
        job = {"environment": environment, "log": str(log), "ended": str(ended)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Fork(int(self._process.stdout.readline()), ended)

    def close(self) -> None:
        self._process.communicate()
        shutil.rmtree(self._places, ignore_errors=True)


@functools.cache
def forks() -> Forks:
    """One for all tests of a process."""
    made = Forks()
    atexit.register(made.close)
    return made


class OperatorProcess:
    """``skillwarden operator run`` against a world, as a process of its own."""

    def __init__(self, world: World, name: str = "operator", **settings: str) -> None:
        self._world = world
        self._settings = settings
        self._process: Fork | None = None
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
        self._process = forks().start(environment=self._environment(), log=self.log)

    def strike(self) -> None:
        """SIGKILL it, from any thread, without waiting."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(DEADLINE)

    def wait(self) -> int:
        """Wait for its end; return how it ended."""
        assert self._process is not None
        return self._process.wait(DEADLINE)

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

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
