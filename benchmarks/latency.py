"""From apply to verdict and to Ready: how long it takes, and how often the operator writes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from operator_world import SERVICE, VERSION, Client, World, make_skill

from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.domain.lock import Platform
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.python import PythonResolver
from skillwarden.runtime.configured import resolver_settings
from skillwarden.scan.pip_audit import PipAuditScanner

from .measure import Measurement, percentile
from .world import OperatorProcess, Writes, new_user, running_operator, running_world

#: Any four of these make a closure of their own; each pulls in two more.
PACKAGES = tuple(f"part-{letter}" for letter in "abcdefgh")
COLD_ROUNDS = 10
NAMESPACE = "team"


async def measure(known: int) -> list[Measurement]:
    """Measure all of it in one world.

    Parameters
    ----------
    known
        How many Skills with a known lock are applied, one after the other.
    """
    with running_world() as world, Writes(world) as writes:
        for name in PACKAGES:
            world.index.wheel(name, requires=["shared-base", f"{name}-core"])
            world.index.wheel(f"{name}-core")
        world.index.wheel("shared-base")
        async with running_operator(world) as operator, benchmark_user(world) as user:
            await verdict_after(user, make_skill("warm", packages=PACKAGES))
            await operator.settle()
            cold = await _cold(world, user)
            warm = [
                await verdict_after(user, make_skill(f"known-{number}", packages=PACKAGES[:4]))
                for number in range(known + 5)
            ][5:]
            echo = [await _echo(user, number) for number in range(30)]
            counts = await _writes(operator, writes, user)
        async with running_operator(world) as operator:
            await operator.settle(reconciled=known)
            counts["second"] = writes.take()
    return [
        Measurement(
            "apply to verdict, known lock: p50",
            percentile(warm, 0.5),
            "ms",
            50,
            peer="apply to watch, no operator",
            peer_value=percentile(echo, 0.5),
        ),
        Measurement("  p99", percentile(warm, 0.99), "ms", 150),
        *cold,
        *_count_rows(counts),
    ]


# -- time ----------------------------------------------------------------------------------------------


async def _cold(world: World, user: Client) -> list[Measurement]:
    """Apply Skills whose lock nobody has made, beside the resolver and pip-audit on their own."""
    settings = resolver_settings(world.settings())
    # A cache of its own, so that neither side warms the other's.
    resolver = PythonResolver(replace(settings, cache_dir=world.root / "own-cache"))
    own = world.settings()
    platform = Platform(VERSION, own.libc, own.arch)
    feed = AdvisoryFeed(own.advisories)
    await resolver.resolve(parse_python(PACKAGES).declared, platform=platform)
    alone, audited, whole = [], [], []
    for number, packages in enumerate(
        itertools.islice(itertools.combinations(PACKAGES, 4), 1, COLD_ROUNDS + 1)
    ):
        started = time.perf_counter()
        lock = await resolver.resolve(parse_python(packages).declared, platform=platform)
        alone.append(1e3 * (time.perf_counter() - started))
        started = time.perf_counter()
        # A new one: it remembers what it was told.
        await PipAuditScanner(feed.current).scan(lock)
        audited.append(1e3 * (time.perf_counter() - started))
        whole.append(await verdict_after(user, make_skill(f"cold-{number}", packages=packages)))
    total, own_time, audit_time = (percentile(values, 0.5) for values in (whole, alone, audited))
    note = f"{total:.0f} ms; resolver {own_time:.0f} ms, pip-audit {audit_time:.0f} ms alone (p50)"
    return [
        Measurement("apply to verdict, cold, times the resolver", total / own_time, "x", 1.10, note=note),
        Measurement("  times the resolver and pip-audit", total / (own_time + audit_time), "x"),
    ]


async def verdict_after(user: Client, skill: dict[str, Any]) -> float:
    """Apply a Skill; return after how many milliseconds a watch shows its verdict."""
    name = skill["metadata"]["name"]
    listing = await user.gateway.list(Kind.SKILL, namespace=user.namespace)
    seen = asyncio.create_task(_judged(user, name, listing.resource_version))
    started = time.perf_counter()
    await user.apply(skill)
    async with asyncio.timeout(60):
        return 1e3 * (await seen - started)


async def _echo(user: Client, number: int) -> float:
    """Apply what the operator has no part in; return after how many milliseconds a watch shows it."""
    name = f"echo-{number}"
    listing = await user.gateway.list(Kind.CONFIG_MAP, namespace=user.namespace)
    version = listing.resource_version

    async def first() -> float:
        watch = user.gateway.watch(
            Kind.CONFIG_MAP, namespace=user.namespace, name=name, resource_version=version
        )
        async for _ in watch:
            return time.perf_counter()
        raise RuntimeError("the watch ended")

    seen = asyncio.create_task(first())
    started = time.perf_counter()
    await user.apply({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
    async with asyncio.timeout(60):
        return 1e3 * (await seen - started)


async def _judged(user: Client, name: str, version: str) -> float:
    watch = user.gateway.watch(Kind.SKILL, namespace=user.namespace, name=name, resource_version=version)
    async for _, body in watch:
        verdict = (body.get("status") or {}).get("verdict")
        if verdict == "Allowed":
            return time.perf_counter()
        if verdict == "Denied":
            raise RuntimeError(f"the benchmark's own Skill is denied: {body['status']}")
    raise RuntimeError("the watch ended")


# -- writes --------------------------------------------------------------------------------------------


async def _writes(operator: OperatorProcess, writes: Writes, user: Client) -> dict[str, Counter[str]]:
    """Count the operator's writes for Services from apply to Ready and rest."""
    counts = {}
    for case, packages in (("cold", PACKAGES[4:6]), ("known", PACKAGES[4:6])):
        await operator.settle()
        writes.take()
        name = f"{case}-service"
        await user.apply(make_skill(name, code=SERVICE, mode="Service", packages=packages, replicas=1))
        await user.until_skill(name, Ready="Ready")
        await operator.settle()
        counts[case] = writes.take()
    return counts


def _count_rows(counts: dict[str, Counter[str]]) -> Iterable[Measurement]:
    for case, most in (("cold", 3), ("known", 2)):
        seen = counts[case]
        note = ", ".join(f"{count} {name}" for name, count in sorted(seen.items()))
        yield Measurement(
            f"status writes, apply to Ready, {case} lock", seen["status"], "writes", most, note=note
        )
    total = counts["second"].total()
    yield Measurement("  writes of a second reconcile of everything", total, "writes", 0)


@asynccontextmanager
async def benchmark_user(world: World) -> AsyncIterator[Client]:
    """Return a user for as long as the context is open."""
    gateway = await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="user")
    async with gateway:
        yield await new_user(gateway, NAMESPACE)
