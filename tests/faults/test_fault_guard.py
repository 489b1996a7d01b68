"""Admission policies that answer late, or not at all, or are installed after the skills that need them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from faults_support import Answer, make_service
from operator_world import FAST, Client, World, condition, make_policy, make_run, make_skill, settled

from skillwarden.api.v1alpha1.skill import GUARD_PROBE_AGENT
from skillwarden.kube.kinds import Kind

Install = Callable[[Answer], None]
SLEEPS = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose operator trusts nobody, and asks often whether it may."""
    timing = replace(FAST, guard_ttl=timedelta(seconds=0.5), guard_retry=timedelta(seconds=0.2))
    world = World(tmp_path_factory.mktemp("world"), trust=False, timing=timing)
    world.trust_approvals = False
    world.start()
    world.advisories()
    world.index.wheel("greeter")
    yield world
    world.stop()


class Policies:
    """What the admission policies answer to a probe; the embedded API server evaluates none.

    Attributes
    ----------
    in_force
        Of which kinds they stand.
    silent
        How many probes still get no answer.
    asked
        How many there were.
    unanswered
        Which of them was the last without an answer.
    """

    def __init__(self, *in_force: Kind, silent: int = 0) -> None:
        self.in_force = set(in_force)
        self.silent = silent
        self.asked = self.unanswered = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        agent = request.headers.get("User-Agent", "")
        if not (agent.startswith("skillwarden/") and "dryRun" in request.query):
            return None
        self.asked += 1
        if self.silent:
            self.silent -= 1
            self.unanswered = self.asked
            return web.Response(status=503)
        if not any(request.path.endswith(f"/{kind.plural}") for kind in self.in_force):
            return None
        return web.Response(status=422, text=f"{GUARD_PROBE_AGENT} is reserved")

    async def until_asked(self, user: Client, times: int, *, since: int | None = None) -> None:
        before = self.asked if since is None else since

        async def look() -> int:
            return self.asked

        await user.until(look, lambda asked: asked >= before + times, "the guard is asked again")


async def test_a_probe_without_answer_stops_nothing_that_runs(
    world: World, user: Client, intercept: Install
) -> None:
    policies = Policies(Kind.SKILL)
    intercept(policies)
    await user.apply(make_service("greeter"), make_skill("task", code=SLEEPS), make_run(skill="task"))
    await user.until_skill("demo", Ready="Ready")
    await user.until_run("demo-1", "Running")
    before = {pod["metadata"]["uid"] for pod in await user.until_pods(2)}
    policies.silent = 1
    numbers = itertools.count()

    async def stirred() -> int:
        # Everything in the namespace is judged anew, and soon a probe is due.
        labels = {"stirred": f"{next(numbers)}"}
        await user.patch(Kind.NAMESPACE, user.namespace, {"metadata": {"labels": labels}})
        return policies.silent

    await user.until(stirred, lambda silent: silent == 0, "a probe gets no answer")
    await policies.until_asked(user, 1, since=policies.unanswered)
    await settled(world)
    assert {pod["metadata"]["uid"] for pod in await user.until_pods(2)} == before
    await user.until_skill("demo", Ready="Ready", Accepted="Valid")
    await user.until_run("demo-1", "Running")
    assert [item["reason"] for item in await user.events("demo")] == ["Allowed"]


async def test_an_operator_that_begins_while_no_probe_is_answered_ends_nothing_that_runs(
    world: World, user: Client, intercept: Install
) -> None:
    """As where its node and the API server's roll over together: a moment must not cost what ran well."""
    policies = Policies(Kind.SKILL)
    intercept(policies)
    task = make_skill("task", code=SLEEPS, packages=["greeter"])
    await user.apply(make_service("greeter"), task, make_run(skill="task"))
    await user.until_skill("demo", Ready="Ready")
    await user.until_run("demo-1", "Running")
    before = {pod["metadata"]["uid"] for pod in await user.until_pods(2)}
    await asyncio.to_thread(world.run, world.stop_operator())
    policies.silent = 10_000
    await asyncio.to_thread(world.run, world.start_operator())
    await user.apply(make_run("demo-2", skill="task"))
    status = await user.until_skill("demo", Accepted="AgentUnguarded", Compliant="NoVerdict")
    assert "could not be found out" in condition(status, "Compliant")["message"]
    await user.until(
        lambda: user.get(Kind.SKILL_RUN, "demo-2"), lambda run: bool(run.get("status")), "the run is seen"
    )
    await settled(world)
    assert {pod["metadata"]["uid"] for pod in await user.until_pods(2)} == before
    policies.silent = 0
    await user.until_skill("demo", Ready="Ready", Accepted="Valid")
    await user.until_run("demo-2", "Running")
    assert before < {pod["metadata"]["uid"] for pod in await user.until_pods(3)}


@pytest.mark.parametrize(
    ("silent", "reason"), [(0, "MaturityTooLow"), (10_000, "NoVerdict")], ids=["not installed", "no answer"]
)
async def test_agents_count_by_themselves_once_they_are_guarded(
    silent: int, reason: str, world: World, user: Client, intercept: Install
) -> None:
    policies = Policies(silent=silent)
    intercept(policies)
    await user.apply(make_service("greeter"))
    status = await user.until_skill("demo", Accepted="AgentUnguarded", Compliant=reason)
    assert status["maturity"] == "Student"
    await settled(world)
    mark = world.mark
    await policies.until_asked(user, 3)
    assert [str(item) for item in world.writes(mark)] == []
    policies.silent, policies.in_force = 0, {Kind.SKILL}
    await user.until_skill("demo", Accepted="Valid", Ready="Ready")


async def test_approvals_count_by_themselves_once_it_is_proven_who_gave_them(
    world: World, user: Client, intercept: Install
) -> None:
    policies = Policies(Kind.SKILL)
    intercept(policies)
    await user.apply(make_policy(rules=[], unlisted="RequireApproval"), make_skill(packages=["greeter"]))
    [pending] = (await user.until_skill("demo", Compliant="ApprovalRequired"))["pendingApprovals"]
    name = pending["name"]
    decision = {"verdict": "Approved", "approver": "reviewer", "reason": "looked at it"}
    await user.patch(Kind.PACKAGE_APPROVAL, name, {"status": {"decision": decision}}, subresource="status")

    async def until_effect(reason: str) -> None:
        def effect(body: dict[str, Any]) -> bool:
            found = body["status"].get("conditions") or [{}]
            return bool(found[0].get("reason") == reason)

        await user.until(lambda: user.get(Kind.PACKAGE_APPROVAL, name), effect, reason)

    await until_effect("Unguarded")
    policies.in_force.add(Kind.PACKAGE_APPROVAL)
    await until_effect("Approved")
    await user.until_skill("demo", Ready="Ready")
    # An operator that begins while nobody answers says nothing else of it, and decides nothing.
    await asyncio.to_thread(world.run, world.stop_operator())
    policies.silent = 10_000
    await asyncio.to_thread(world.run, world.start_operator())
    await user.until_skill("demo", Compliant="NoVerdict")
    await settled(world)
    await until_effect("Approved")
    policies.silent = 0
    await user.until_skill("demo", Ready="Ready")
