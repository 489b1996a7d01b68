"""Who leads: by one's own clock alone, and never two at a time."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from structlog.testing import capture_logs

from skillwarden.kube.errors import AlreadyExists, ApiUnavailable, Conflict
from skillwarden.kube.kinds import Kind
from skillwarden.runtime.context import _lead
from skillwarden.runtime.leadership import Leadership
from skillwarden.runtime.settings import Settings
from skillwarden.services.fence import Fenced, NotLeadingError
from skillwarden.services.ports import Cluster

Body = dict[str, Any]
TERM = 10.0


class Server:
    """One Lease, as an API server keeps it."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.down = False
        self.version = 0

    async def get(self, kind: Kind, *, name: str, namespace: str | None = None) -> Body | None:
        self._answers()
        return copy.deepcopy(self.body)

    async def create(self, kind: Kind, body: Body) -> Body:
        self._answers()
        if self.body is not None:
            raise AlreadyExists(409, "AlreadyExists", "it exists")
        return self._store(copy.deepcopy(body))

    async def merge(
        self, kind: Kind, body: Body, *, name: str, namespace: str | None = None, manager: str = ""
    ) -> Body:
        self._answers()
        assert self.body is not None
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409, "Conflict", "it has changed")
        return self._store({"metadata": self.body["metadata"], "spec": self.body["spec"] | body["spec"]})

    def _answers(self) -> None:
        if self.down:
            raise ApiUnavailable(0, "Unreachable", "down")

    def _store(self, body: Body) -> Body:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.body = body
        return body

    @property
    def holder(self) -> str:
        return str(self.body["spec"]["holderIdentity"]) if self.body else ""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def candidate(server: Server, identity: str, clock: Clock) -> Leadership:
    return Leadership(
        server, namespace="system", name="operator", identity=identity, seconds=TERM, clock=clock
    )


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_the_first_leads_and_the_second_waits(server: Server, clock: Clock) -> None:
    first, second = candidate(server, "a", clock), candidate(server, "b", clock)
    assert await first.attempt(1)
    assert not await second.attempt(1)
    assert (first.held, second.held, server.holder) == (True, False, "a")


async def test_another_takes_over_after_a_whole_term_without_renewal_and_not_before(
    server: Server, clock: Clock
) -> None:
    first, second = candidate(server, "a", clock), candidate(server, "b", clock)
    await first.attempt(1)
    clock.now += TERM * 5
    assert not await second.attempt(1), "it never saw it stand, so it does not know how long it has"
    clock.now += TERM - 0.1
    assert not await second.attempt(1)
    clock.now += 0.2
    assert await second.attempt(1)
    assert server.holder == "b"
    assert server.body is not None
    assert server.body["spec"]["leaseTransitions"] == 1
    assert not await first.attempt(1)


async def test_a_renewal_starts_the_term_anew(server: Server, clock: Clock) -> None:
    first, second = candidate(server, "a", clock), candidate(server, "b", clock)
    await first.attempt(1)
    for _ in range(5):
        assert not await second.attempt(1)
        clock.now += TERM * 0.6
        assert await first.attempt(1)
    assert server.holder == "a"


async def test_a_holder_that_cannot_renew_stops_before_another_can_start(
    server: Server, clock: Clock
) -> None:
    first = candidate(server, "a", clock)
    await first.attempt(1)
    server.down = True
    clock.now += TERM * 0.6
    assert not await first.attempt(1)
    assert first.held
    clock.now += TERM * 0.1
    assert not first.held


async def test_a_lease_that_was_let_go_is_taken_at_once(server: Server, clock: Clock) -> None:
    first, second = candidate(server, "a", clock), candidate(server, "b", clock)
    await first.attempt(1)
    await second.attempt(1)
    await first.release()
    assert not first.held
    assert await second.attempt(1)


async def test_only_the_holder_lets_it_go(server: Server, clock: Clock) -> None:
    first, second = candidate(server, "a", clock), candidate(server, "b", clock)
    await first.attempt(1)
    await second.release()
    assert server.holder == "a"


async def test_keeping_ends_once_another_has_it(server: Server) -> None:
    short = Leadership(server, namespace="system", name="operator", identity="a", seconds=0.1)
    assert await short.attempt(1)
    assert server.body is not None
    server.body["spec"]["holderIdentity"] = "b"
    async with asyncio.timeout(30):
        await short.keep()
    assert not short.held


def brief(server: Server, clock: Clock) -> Leadership:
    """A candidate whose renewals are not waited for; its term passes by the test's clock."""
    return Leadership(server, namespace="system", name="operator", identity="a", seconds=0.1, clock=clock)


def acting(begin: Callable[[], Coroutine[Any, Any, None]]) -> Any:
    """An operator of which only the beginning matters."""
    return SimpleNamespace(lead=begin, lost=asyncio.Event())


async def renewed(server: Server) -> None:
    seen = server.version
    while server.version == seen:
        await asyncio.sleep(0.001)


async def test_the_lease_is_renewed_while_its_holder_only_begins(server: Server, clock: Clock) -> None:
    first, begun = brief(server, clock), asyncio.Event()

    async def begin() -> None:
        for _ in range(5):
            await renewed(server)
            clock.now += 0.05
        begun.set()

    core = acting(begin)
    leading = asyncio.create_task(_lead(core, first))
    async with asyncio.timeout(30):
        await begun.wait()
        await renewed(server)
        assert first.held, "it began for longer than its term"
        assert server.body is not None
        server.body["spec"]["holderIdentity"] = "b"
        await leading
    assert not first.held
    assert core.lost.is_set()


async def test_what_begins_ends_with_the_lease(server: Server, clock: Clock) -> None:
    first, ended = brief(server, clock), asyncio.Event()

    async def begin() -> None:
        try:
            assert server.body is not None
            server.body["spec"]["holderIdentity"] = "b"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(30):
        await _lead(acting(begin), first)
    assert ended.is_set()
    assert not first.held


async def test_what_cannot_begin_ends_the_renewals_and_says_why(server: Server, clock: Clock) -> None:
    async def begin() -> None:
        raise ApiUnavailable(0, "Unreachable", "the list did not come")

    core = acting(begin)
    with capture_logs() as logs:
        async with asyncio.timeout(30):
            await _lead(core, brief(server, clock))
    told = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["event"], entry["error"]) for entry in told] == [
        ("this operator cannot lead", "the list did not come")
    ]
    assert core.lost.is_set()


steps = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "down", "up"]), st.floats(0, TERM * 1.5)), max_size=60
)


@given(steps=steps)
def test_never_two_at_a_time(steps: list[tuple[str, float]]) -> None:
    async def play() -> None:
        server, clock = Server(), Clock()
        all_ = {name: candidate(server, name, clock) for name in ("a", "b", "c")}
        for actor, pause in steps:
            clock.now += pause
            if actor in all_:
                await all_[actor].attempt(1)
            else:
                server.down = actor == "down"
            assert sum(item.held for item in all_.values()) <= 1

    asyncio.run(play())


# -- the fence -----------------------------------------------------------------------------------------

READS = {"list", "project", "get", "pod_log"}
METHODS = sorted(
    name
    for name, value in vars(Cluster).items()
    if inspect.iscoroutinefunction(value) and not name.startswith("_")
)


class Recorder:
    """A cluster that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def note(*_: Any, **__: Any) -> None:
            self.asked.append(name)

        return note


def arguments(name: str) -> dict[str, Any]:
    """Something for each parameter that a method cannot do without."""
    given = {
        "kind": Kind.POD,
        "body": {},
        "name": "x",
        "namespace": "team",
        "container": "skill",
        "project": lambda body: body,
    }
    parameters = list(inspect.signature(getattr(Fenced, name)).parameters.values())[1:]
    return {item.name: given[item.name] for item in parameters if item.default is inspect.Parameter.empty}


@pytest.mark.parametrize("method", METHODS)
async def test_what_does_not_only_read_is_refused_without_the_lease(method: str) -> None:
    recorder, held = Recorder(), [False]
    fenced: Any = Fenced(recorder, held=lambda: held[0])  # type: ignore[arg-type]
    if method in READS:
        await getattr(fenced, method)(**arguments(method))
    else:
        with pytest.raises(NotLeadingError, match="does not hold the lease"):
            await getattr(fenced, method)(**arguments(method))
        assert recorder.asked == []
        held[0] = True
        await getattr(fenced, method)(**arguments(method))
    assert recorder.asked == [method]


@pytest.mark.parametrize("text", ["operator", "a/b/c", "/operator", "system/", "Sys/operator"])
def test_a_setting_that_names_no_lease_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValidationError, match="is not NAMESPACE/NAME, such as"):
        Settings(lease=text)
    assert Settings(lease="system/operator").lease == "system/operator"
