"""The world that the operator is measured in: that of the operator's tests, with the operator outside.

Index, depot and embedded cluster live in this process; the operator is ``skillwarden operator run`` in one
of its own, so that its memory and its CPU time are nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from operator_world import KEY, Client, World, make_agent, make_policy

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

from .measure import peak_mebibytes

TICKS = os.sysconf("SC_CLK_TCK")
#: A process that used less than this share of a CPU for so many seconds has come to rest. The pause is longer
#: than the one after which the operator lists the world that its watches have begun with.
QUIET_SHARE, QUIET_SECONDS = 0.08, 4.0
DEADLINE = 600.0
AT_ONCE = 16


@contextlib.contextmanager
def running_world(make: type[World] = World) -> Iterator[World]:
    """Start index, depot and cluster in a folder that goes with them."""
    with tempfile.TemporaryDirectory(prefix="skillwarden-bench-") as folder:
        world = make(Path(folder)).start()
        try:
            world.advisories()
            yield world
        finally:
            world.stop()


@dataclass
class Writes:
    """Counts the operator's writes as they arrive; the server's own log forgets."""

    world: World
    seen: Counter[str] = field(default_factory=Counter)

    async def note(self, request: web.Request) -> None:
        """Count one request; it is answered by the server as ever."""
        agent = request.headers.get("User-Agent", "")
        if request.method == "GET" or "dryRun" in request.query or not agent.startswith("skillwarden/"):
            return
        last = request.path.rpartition("/")[2]
        self.seen["status" if last == "status" else _plural(request.path)] += 1

    def __enter__(self) -> Writes:
        self.world.cluster.server.interceptor = self.note
        return self

    def __exit__(self, *_: object) -> None:
        self.world.cluster.server.interceptor = None

    def take(self) -> Counter[str]:
        """Return what was counted since the last time."""
        taken, self.seen = self.seen, Counter()
        return taken


def _plural(path: str) -> str:
    parts = path.strip("/").split("/")
    place = parts.index("namespaces") + 2 if "namespaces" in parts[:-2] else len(parts) - 1
    return parts[place]


class OperatorProcess:
    """``skillwarden operator run`` and what the kernel says of it.

    Parameters
    ----------
    world
        What it runs against.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._address = f"127.0.0.1:{_free_port()}"
        self._log = world.root / "operator.log"
        self._process: asyncio.subprocess.Process | None = None
        self.started = 0.0

    async def start(self) -> None:
        """Start it; ``settle`` waits for what it does then."""
        with self._log.open("ab") as log:
            self.started = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "skillwarden", "operator", "run"),
                env={**os.environ, **self._environment()},
                stderr=log,
            )

    async def stop(self) -> None:
        """Have it end by itself."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            await self._process.wait()
            self._process = None

    def _environment(self) -> dict[str, str]:
        settings = self._world.settings()
        plain = settings.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"depot"})
        plain |= {"metrics_address": self._address, "log_level": "warning"}
        depot = settings.depot.model_dump(
            mode="json", exclude_unset=True, exclude_none=True, exclude={"key"}
        ) | {"key": KEY}
        plain |= {f"depot__{name}": value for name, value in depot.items()}
        return {
            f"SKILLWARDEN_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in plain.items()
        }

    # -- what it uses ----------------------------------------------------------------------------------

    @property
    def _proc(self) -> Path:
        if self._process is None or self._process.returncode is not None:
            raise RuntimeError(f"the operator ended: {self.log_tail()}")
        return Path("/proc", str(self._process.pid))

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._proc.name)

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used, in user and in system mode, without its children's."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mebibytes(self) -> float:
        """Return the most memory that it ever had resident (VmHWM)."""
        return peak_mebibytes(self._proc.name)

    def log_tail(self) -> str:
        """Return the last of what it said."""
        return "\n".join(self._log.read_text().splitlines()[-20:])

    async def settle(self, *, reconciled: int = 0) -> float:
        """Wait until it is at rest, with at least so many Skills reconciled since it started.

        Returns
        -------
        float
            When it came to rest, on the monotonic clock.
        """
        deadline = time.monotonic() + DEADLINE
        rest, cpu, seen = time.monotonic(), self.cpu_seconds(), time.monotonic()
        while time.monotonic() < deadline:
            await asyncio.sleep(0.25)
            now, used = time.monotonic(), self.cpu_seconds()
            busy = used - cpu > QUIET_SHARE * (now - seen)
            cpu, seen = used, now
            if busy:
                rest = now
            elif now - rest >= QUIET_SECONDS:
                done, waiting = await self._progress()
                if done >= reconciled and waiting == 0:
                    return rest
                rest = now
        raise TimeoutError(f"the operator did not come to rest: {self.log_tail()}")

    async def reconciled(self) -> float:
        """Return how many reconciles of Skills went well since it started."""
        return (await self._progress())[0]

    async def waiting(self) -> float:
        """Return how many keys wait in its queue."""
        return (await self._progress())[1]

    async def _progress(self) -> tuple[float, float]:
        """Return how many reconciles of Skills went well, and how many keys wait."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"http://{self._address}/metrics") as page:
                text = await page.text()
        except aiohttp.ClientError:
            return 0, 1
        done = _metric(text, r'skillwarden_reconcile_seconds_count\{kind="Skill",outcome="ok"\}')
        return done, _metric(text, "skillwarden_queue_keys")


async def new_user(gateway: Gateway, namespace: str) -> Client:
    """Return a user whose namespace has an agent and a policy that allows every package."""
    await gateway.create(Kind.NAMESPACE, {"metadata": {"name": namespace}})
    user = Client(gateway, namespace)
    await user.apply(make_agent("autonomous", "Autonomous"), make_policy())
    return user


async def apply_all(bodies: Iterable[tuple[Client, dict[str, Any]]]) -> None:
    """Apply everything, ``AT_ONCE`` of it at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def apply(user: Client, body: dict[str, Any]) -> None:
        async with slots:
            await user.apply(body)

    async with asyncio.TaskGroup() as group:
        for user, body in bodies:
            group.create_task(apply(user, body))


@contextlib.asynccontextmanager
async def running_operator(world: World) -> AsyncIterator[OperatorProcess]:
    """Run the operator for as long as the context is open."""
    process = OperatorProcess(world)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


def _metric(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
