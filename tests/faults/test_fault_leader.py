"""Two operators, one of which acts: killed, stopped and cut off, and nothing is launched twice or lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web
from faults_support import Answer, OperatorProcess, answered, is_from, is_write_in
from operator_world import Client, World, make_run, make_skill

from skillwarden.kube.kinds import Kind

Install = Callable[[Answer], None]
KILLS = 20
LEASE = "operator"


#: Seconds. Who is not scheduled for two thirds of it has lost the lease and ends, and no test starts it anew.
TERM = "4"


class Pair:
    """Two operators that compete for one Lease."""

    def __init__(self, world: World, term: str = TERM) -> None:
        settings = {"LEASE": f"default/{LEASE}", "LEASE_SECONDS": term}
        self.both = [OperatorProcess(world, f"operator-{name}", **settings) for name in ("a", "b")]

    def start(self) -> None:
        for process in self.both:
            process.start()

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Start anew whichever ends, as a Deployment does."""

        async def tend() -> None:
            while True:
                self.start()
                await asyncio.sleep(0.1)

        task = asyncio.create_task(tend())
        try:
            yield
        finally:
            task.cancel()

    async def leader(self, user: Client) -> OperatorProcess:
        """Wait until one of those that live holds the Lease; return it."""

        async def look() -> OperatorProcess | None:
            lease = await user.gateway.get(Kind.LEASE, name=LEASE, namespace="default")
            holder = (lease or {}).get("spec", {}).get("holderIdentity")
            living = (process for process in self.both if process.alive)
            return next((process for process in living if f"_{process.pid}_" in (holder or "")), None)

        found: OperatorProcess = await user.until(look, bool, "somebody leads")
        return found

    def other(self, process: OperatorProcess) -> OperatorProcess:
        return next(item for item in self.both if item is not process)


def _text(process: OperatorProcess) -> str:
    return process.log.read_text() if process.log.exists() else ""


@pytest.fixture
def pair(bare_world: World, request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = Pair(bare_world, getattr(request, "param", TERM))
    pair.start()
    yield pair
    for process in pair.both:
        process.kill()


class Launches:
    """Counts the Pods that the operators, or one of them, made, by who owns them."""

    def __init__(self, world: World, namespace: str, *, by: OperatorProcess | None = None) -> None:
        self._world, self._namespace, self._by = world, namespace, by
        self.of: Counter[str] = Counter()
        self.writes = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if not is_write_in(request, self._namespace):
            return None
        if self._by is not None and not is_from(request, self._by):
            return None
        self.writes += 1
        if not (request.method == "POST" and request.path.endswith("/pods")):
            return None
        body = await request.json()
        answer = await answered(self._world, request)
        if answer.status == 201:
            self.of[body["metadata"]["ownerReferences"][0]["name"]] += 1
        return answer


# Each wait in it has a deadline; together they take minutes where the machine is busy.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pair", ["1"], indirect=True, ids=["a short term"])
async def test_the_leader_is_killed_again_and_again_under_load(
    bare_world: World, pair: Pair, user: Client, intercept: Install
) -> None:
    launches = Launches(bare_world, user.namespace)
    intercept(launches)
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")
    async with pair.tended():
        for number in range(KILLS):
            leader = await pair.leader(user)
            await user.apply(make_run(f"run-{number}"), make_skill(f"skill-{number}", packages=["greeter"]))
            if number % 2:
                await user.until(_launched(launches, f"run-{number}"), bool, "its Pod was made")
            leader.kill()
            await user.until_run(f"run-{number}", "Succeeded")
            await user.until_skill(f"skill-{number}", Ready="Ready")
    assert launches.of == {f"run-{number}": 1 for number in range(KILLS)}


def _launched(launches: Launches, run: str) -> Callable[[], object]:
    async def look() -> int:
        return launches.of[run]

    return look


async def test_a_leader_that_was_stopped_for_longer_than_its_term_writes_nothing_more(
    bare_world: World, pair: Pair, user: Client, intercept: Install
) -> None:
    stopped = await pair.leader(user)
    launches = Launches(bare_world, user.namespace, by=stopped)
    intercept(launches)
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")
    # At rest: what is on its way when a process is stopped, no clock of its own can hold back.
    await user.until(lambda: user.events("demo"), bool, "the Event that follows the status")
    assert launches.writes > 0
    stopped.signal(signal.SIGSTOP)
    later = [make_skill(f"later-{number}", packages=["greeter"]) for number in range(5)]
    await user.apply(*later, make_run(skill="later-0"))
    await user.until_run("demo-1", "Succeeded")
    launches.writes = 0
    stopped.signal(signal.SIGCONT)
    assert await asyncio.to_thread(stopped.wait) == 1
    assert "the lease default/operator was lost" in _text(stopped)
    assert launches.writes == 0
    assert pair.other(stopped).alive


async def test_a_leader_whose_renewals_are_refused_gives_up_and_another_goes_on(
    bare_world: World, pair: Pair, user: Client, intercept: Install
) -> None:
    leader = await pair.leader(user)
    refused = asyncio.Event()

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if refused.is_set() or not request.path.endswith(f"/leases/{LEASE}") or request.method != "PATCH":
            return None
        return web.Response(status=503)

    intercept(refuse)
    assert await asyncio.to_thread(leader.wait) == 1
    refused.set()
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")


async def test_a_leader_that_ends_lets_the_lease_go(pair: Pair, user: Client) -> None:
    leader = await pair.leader(user)
    leader.terminate()
    assert await asyncio.to_thread(leader.wait) == 0
    assert await pair.leader(user) is pair.other(leader)


async def test_a_standby_watches_is_ready_and_writes_nothing(
    bare_world: World, user: Client, intercept: Install
) -> None:
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 3600}
    lease = {"metadata": {"name": "held", "namespace": "default"}, "spec": spec}
    await user.gateway.create(Kind.LEASE, lease)
    launches = Launches(bare_world, user.namespace)
    intercept(launches)
    address = f"127.0.0.1:{free_port()}"
    standby = OperatorProcess(bare_world, "standby", LEASE="default/held", METRICS_ADDRESS=address)
    standby.start()
    try:
        await user.apply(make_skill(packages=["greeter"]))
        await user.until(lambda: fetched(f"http://{address}/readyz"), bool, "the standby is ready")
        assert "skillwarden_leader 0.0" in await fetched(f"http://{address}/metrics")
        assert "status" not in await user.get(Kind.SKILL, "demo")
        assert launches.writes == 0
        await user.gateway.merge(
            Kind.LEASE, {"spec": {"holderIdentity": ""}}, name="held", namespace="default"
        )
        await user.until_skill("demo", Ready="Ready")
        assert "skillwarden_leader 1.0" in await fetched(f"http://{address}/metrics")
    finally:
        standby.kill()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def fetched(url: str) -> str:
    """What a probe gets; empty where it is refused."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(url) as response:
                return await response.text() if response.ok else ""
        except aiohttp.ClientConnectionError:
            return ""
