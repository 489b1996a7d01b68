"""The operator is killed at each of its writes and started again: nothing twice, and the same end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from faults_support import (
    Answer,
    OperatorProcess,
    answered,
    final_state,
    is_operators,
    is_write_in,
    make_service,
)
from operator_world import Client, World, make_run, make_skill

from skillwarden.kube.kinds import Kind

Install = Callable[[Answer], None]
#: Of a Service with packages: deny-all, NetworkPolicy, ServiceAccount, Pod, Event and the statuses.
SERVICE_WRITES = 6
RUN_WRITES = 3


class Killer:
    """Kills the operator at its Nth write in a namespace, and counts the Pods that it launched."""

    def __init__(
        self, world: World, process: OperatorProcess, namespace: str, *, at: int | None, before: bool = False
    ) -> None:
        self._world, self._process, self._namespace = world, process, namespace
        self._at, self._before = at, before
        self.writes: list[str] = []
        self.launched: list[str] = []
        self.struck = False

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if not is_write_in(request, self._namespace):
            return None
        if self.struck and not self._process_is_new:
            # Of the process that is dead already: it never left that machine.
            return web.Response(status=503)
        self.writes.append(f"{request.method} {request.path}")
        due = not self.struck and len(self.writes) == self._at
        if due and self._before:
            self._strike()
            return web.Response(status=503)
        answer = await answered(self._world, request)
        if request.method == "POST" and request.path.endswith("/pods") and answer.status == 201:
            self.launched.append(request.path)
        if due:
            self._strike()
        return answer

    def _strike(self) -> None:
        self.struck, self._process_is_new = True, False
        self._process.strike()

    _process_is_new = True

    def revived(self) -> None:
        self._process_is_new = True


async def killed_and_started_again(process: OperatorProcess, killer: Killer, user: Client) -> None:
    async def look() -> bool:
        return killer.struck

    await user.until(look, bool, f"the kill, after {killer.writes}")
    assert await asyncio.to_thread(process.wait) == -9
    killer.revived()
    process.start()


async def service_ends(user: Client) -> dict[str, Any]:
    await user.until_skill("demo", Ready="Ready")
    await user.until_pods(1, ready=True)
    return await final_state(user, Kind.SKILL, "demo")


async def run_ends(user: Client) -> dict[str, Any]:
    await user.until_run("demo-1", "Succeeded")
    return await final_state(user, Kind.SKILL_RUN, "demo-1")


_UNDISTURBED: dict[str, dict[str, Any]] = {}


async def test_undisturbed_it_makes_at_least_the_writes_at_which_it_is_killed(
    bare_world: World, process: OperatorProcess, user: Client, intercept: Install
) -> None:
    process.start()
    killer = Killer(bare_world, process, user.namespace, at=None)
    intercept(killer)
    await user.apply(make_service("greeter"))
    _UNDISTURBED["service"] = await service_ends(user)
    assert len(killer.writes) >= SERVICE_WRITES, killer.writes
    assert len(killer.launched) == 1
    await user.delete(Kind.SKILL, "demo")
    await user.until_pods(0)
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")
    killer.writes.clear()
    await user.apply(make_run())
    _UNDISTURBED["run"] = await run_ends(user)
    assert len(killer.writes) >= RUN_WRITES, killer.writes


# Before a write is after the one before it, but for what lies between: every other one is enough.
@pytest.mark.parametrize(
    ("moment", "number"),
    [("after", number) for number in range(1, SERVICE_WRITES + 1)]
    + [("before", number) for number in range(1, SERVICE_WRITES + 1, 2)],
)
async def test_a_service_ends_the_same_when_the_operator_is_killed_at_a_write(
    number: int,
    moment: str,
    bare_world: World,
    process: OperatorProcess,
    user: Client,
    intercept: Install,
) -> None:
    process.start()
    killer = Killer(bare_world, process, user.namespace, at=number, before=moment == "before")
    intercept(killer)
    await user.apply(make_service("greeter"))
    await killed_and_started_again(process, killer, user)
    assert await service_ends(user) == _UNDISTURBED["service"]
    assert len(killer.launched) == 1, killer.writes
    assert len(await user.events("demo")) <= 1


@pytest.mark.parametrize(
    ("moment", "number"), [("before", 2), *(("after", number) for number in range(1, RUN_WRITES + 1))]
)
async def test_a_run_has_one_pod_when_the_operator_is_killed_at_a_write(
    number: int,
    moment: str,
    bare_world: World,
    process: OperatorProcess,
    user: Client,
    intercept: Install,
) -> None:
    process.start()
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")
    await user.until(lambda: user.events("demo"), bool, "the Event of the verdict")
    killer = Killer(bare_world, process, user.namespace, at=number, before=moment == "before")
    intercept(killer)
    await user.apply(make_run())
    await killed_and_started_again(process, killer, user)
    assert await run_ends(user) == _UNDISTURBED["run"]
    assert len(killer.launched) == 1, killer.writes


async def test_it_ends_the_same_when_it_is_killed_while_its_resolver_runs(
    bare_world: World, process: OperatorProcess, user: Client, intercept: Install
) -> None:
    process.start()
    bare_world.index.wheel("halfway")
    killer = Killer(bare_world, process, user.namespace, at=None)
    intercept(killer)
    gate = bare_world.index.gate = threading.Event()
    asked = len(bare_world.index.asked)
    try:
        await user.apply(make_service("halfway"))

        async def look() -> list[str]:
            return bare_world.index.asked[asked:]

        await user.until(look, bool, "the index is asked")
        process.strike()
        await asyncio.to_thread(process.wait)
    finally:
        gate.set()
        bare_world.index.gate = None
    process.start()
    end = await service_ends(user)
    assert {**end, "lock": None} == {**_UNDISTURBED["service"], "lock": None}
    assert len(killer.launched) == 1


@pytest.mark.parametrize("doing", ["nothing", "a write that hangs", "a resolution that hangs"])
async def test_sigterm_ends_it_within_its_grace_period_while_it_does(
    doing: str, bare_world: World, process: OperatorProcess, user: Client, intercept: Install
) -> None:
    process.start()
    await user.apply(make_skill("calm"))
    await user.until_skill("calm", Ready="Ready")
    gate, stuck = threading.Event(), []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if is_operators(request) and request.method in {"POST", "PATCH"}:
            stuck.append(request.path)
            while not gate.is_set():
                await asyncio.sleep(0.05)
        return None

    asked = len(bare_world.index.asked)

    async def busy() -> list[str]:
        return stuck if doing == "a write that hangs" else bare_world.index.asked[asked:]

    try:
        if doing == "a write that hangs":
            intercept(answer)
            await user.apply(make_skill())
        elif doing == "a resolution that hangs":
            bare_world.index.wheel("hanging")
            bare_world.index.gate = gate
            await user.apply(make_skill(packages=["hanging"]))
        if doing != "nothing":
            await user.until(busy, bool, "it is busy")
        process.terminate()
        # Half of the default terminationGracePeriodSeconds; it fails by the timeout of `wait`.
        assert await asyncio.wait_for(asyncio.to_thread(process.wait), 15) == 0
    finally:
        gate.set()
        bare_world.index.gate = None
