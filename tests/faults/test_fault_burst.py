"""Many Skills changed many times: the last state wins for each, and the queue holds each key once."""

from __future__ import annotations

import asyncio
from typing import Any

from faults_support import settled
from operator_world import Client, World, make_skill

from skillwarden.kube.kinds import Kind

SKILLS, CHANGES = 100, 5


async def test_the_last_of_many_changes_wins_for_each_of_100_skills(world: World, user: Client) -> None:
    assert world.core is not None
    queue = world.core.queue
    longest = 0
    names = [f"skill-{number}" for number in range(SKILLS)]

    async def change(name: str, number: int) -> None:
        # The last state of every other one is a denial.
        last = number == CHANGES - 1
        bad = ["-e ."] if (number % 2 == 0) != (last and names.index(name) % 2 == 0) else []
        await user.apply(make_skill(name, code=f"print({number})", packages=bad))

    for number in range(CHANGES):
        await asyncio.gather(*(change(name, number) for name in names))
        longest = max(longest, len(queue))
    await settled(world)

    async def look() -> dict[str, tuple[Any, ...]]:
        found = {}
        for body in await user.items(Kind.SKILL):
            status, meta = body.get("status") or {}, body["metadata"]
            reasons = {item["type"]: item["reason"] for item in status.get("conditions") or []}
            found[meta["name"]] = (
                status.get("observedGeneration") == meta["generation"],
                reasons.get("Accepted"),
            )
        return found

    wanted = {
        name: (True, "Valid" if number % 2 == 0 else "InvalidPackage") for number, name in enumerate(names)
    }
    await user.until(look, lambda found: found == wanted, "the last state of each")
    # Each key at most once: skills, and what else is there; never one entry a change.
    assert longest <= SKILLS + 20
