"""Kinds that go and come back while the operator runs, and what its probes say of its watch."""

from __future__ import annotations

import asyncio

import pytest
from operator_world import Client, World, make_skill

from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.kinds import KINDS
from skillwarden.domain.errors import UnavailableError
from skillwarden.handlers.watch import Watcher, WatchPlan
from skillwarden.kube.kinds import Kind
from skillwarden.runtime.kinds import KindFollower


@pytest.mark.embedded_only("its log of requests")
async def test_a_kind_that_was_deleted_and_came_back_is_watched_again(world: World, user: Client) -> None:
    definition = next(kind for kind in KINDS if kind.kind == "SkillRun")
    name = f"{definition.plural}.skillwarden.io"
    await user.gateway.delete(Kind.CUSTOM_RESOURCE_DEFINITION, name=name)

    async def served() -> frozenset[str]:
        return await user.gateway.served("skillwarden.io", "v1alpha1")

    mark = world.mark

    async def looked() -> list[str]:
        return [item.path for item in list(world.cluster.server.requests)[mark:] if item.method == "GET"]

    await user.until(served, lambda kinds: definition.plural not in kinds, "the kind is gone")
    # The operator has seen that it is gone before it comes back.
    await user.until(looked, lambda paths: "/apis/skillwarden.io/v1alpha1" in paths, "the operator looked")
    await user.gateway.apply(Kind.CUSTOM_RESOURCE_DEFINITION, crd(definition))
    await user.until(served, lambda kinds: definition.plural in kinds, "the kind is back")
    await user.apply(
        make_skill(),
        {
            "apiVersion": "skillwarden.io/v1alpha1",
            "kind": "SkillRun",
            "metadata": {"name": "after"},
            "spec": {"skillRef": {"name": "demo"}},
        },
    )
    await user.until_run("after", "Succeeded")


async def test_only_a_kind_that_comes_back_is_told() -> None:
    answers = [
        frozenset({"skills", "skillruns"}),
        frozenset({"skills", "skillruns"}),
        frozenset({"skills"}),
        UnavailableError("no answer"),
        frozenset({"skills", "skillruns"}),
    ]
    told = asyncio.Event()
    seen: list[int] = []

    async def served() -> frozenset[str]:
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, UnavailableError):
            raise answer
        return answer

    def returned() -> None:
        seen.append(len(answers))
        told.set()

    follower = KindFollower(served, returned=returned, look_seconds=0)
    follower.start()
    async with asyncio.timeout(30):
        await told.wait()
    await follower.stop()
    assert seen == [1]


@pytest.mark.parametrize("mode", ["Service", "Task"])
async def test_children_that_a_cascade_left_behind_are_removed(mode: str, world: World, user: Client) -> None:
    await user.apply(make_skill(mode=mode, **({"replicas": 0} if mode == "Service" else {})))
    await user.until_skill("demo", Ready="Ready")
    await user.orphan(Kind.SKILL, "demo")

    async def left() -> list[str]:
        policies = await user.gateway.list(Kind.NETWORK_POLICY, namespace=user.namespace)
        accounts = await user.gateway.list(Kind.SERVICE_ACCOUNT, namespace=user.namespace)
        return [item["metadata"]["name"] for item in (*policies.items, *accounts.items)]

    await user.until(left, lambda names: names == ["default"], "nothing is left")


async def test_a_watch_is_ready_while_it_runs_and_not_before_or_after(world: World, user: Client) -> None:
    async def begin(kind: Kind, _: str | None) -> str:
        return (await user.gateway.list(kind)).resource_version

    watcher = Watcher(
        WatchPlan(
            selectors={Kind.SKILL: ""},
            observe=lambda *_: None,
            begin=begin,
            loop=asyncio.get_running_loop(),
            connection=user.gateway.connection_details,
            silence=90,
        )
    )
    assert not watcher.watching
    watcher.start()

    async def watching() -> bool:
        return watcher.watching

    await user.until(watching, bool, "the watch runs")
    await watcher.stop()
    assert not watcher.watching
