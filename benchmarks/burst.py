"""Hundreds of Skills that change again and again: how queue and memory grow, and what wins in the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from operator_world import Client, make_skill

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

from .measure import Measurement
from .world import OperatorProcess, apply_all, new_user, running_operator, running_world

SKILLS, ROUNDS = 500, 60


async def measure() -> list[Measurement]:
    """Change every Skill once a round, as fast as the API server takes it and at most once a second."""
    with running_world() as world:
        async with (
            running_operator(world) as operator,
            await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="user") as gateway,
        ):
            user = await new_user(gateway, "busy")
            await _change(user, 0)
            await operator.settle(reconciled=SKILLS)
            before, started = operator.peak_mebibytes(), time.monotonic()
            async with _queue(operator) as lengths:
                for number in range(1, ROUNDS + 1):
                    await _change(user, number)
                    await asyncio.sleep(max(0.0, started + number - time.monotonic()))
                ended = time.monotonic()
                rest = await operator.settle() - ended
            grown = operator.peak_mebibytes() - before
            behind = await _behind(user)
    rate = SKILLS * ROUNDS / (ended - started)
    return [
        Measurement(
            f"{SKILLS} Skills changed {ROUNDS} times: growth of peak memory",
            grown,
            "MiB",
            40,
            note=f"{before:.0f} MiB before; {rate:,.0f} changes a second",
        ),
        Measurement("  keys in the queue at most", max(lengths), "keys", SKILLS + 50, note="each once"),
        Measurement("  Skills whose last state is not the one judged", behind, "Skills", 0),
        Measurement("  until it came to rest", max(0.0, rest), "s"),
    ]


async def _change(user: Client, number: int) -> None:
    await apply_all((user, make_skill(f"skill-{each}", code=f"print({number})")) for each in range(SKILLS))


@contextlib.asynccontextmanager
async def _queue(operator: OperatorProcess) -> AsyncIterator[list[float]]:
    """Look at the length of the operator's queue twice a second."""
    lengths = [0.0]

    async def look() -> None:
        while True:
            lengths.append(await operator.waiting())
            await asyncio.sleep(0.5)

    looking = asyncio.create_task(look())
    try:
        yield lengths
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _behind(user: Client) -> int:
    """Count the Skills whose status is not of their last state."""
    found = await user.items(Kind.SKILL)
    return SKILLS - sum(
        (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]
        for body in found
    )
