"""Many Skills changed many times: the last state wins for each, and neither queue nor memory grows."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.measure import peak_mebibytes
from faults_support import OperatorProcess
from operator_world import Client, World, make_skill, settled

from skillwarden.kube.kinds import Kind

SKILLS, CHANGES = 100, 5
#: Characters of each Skill's file.
LARGE = 64 * 1024


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


async def test_memory_does_not_grow_with_the_number_of_changes(
    process: OperatorProcess, bare_world: World, user: Client
) -> None:
    """40 Skills of 64 KiB: 20 changes of each, 50 MiB in all, take no more than the first few."""
    await asyncio.to_thread(bare_world.run, bare_world.stop_operator())
    process.start()
    names = [f"large-{number}" for number in range(40)]

    async def change(rounds: range) -> None:
        for number in rounds:
            code = f"print({number})\n# " + str(number % 10) * LARGE
            await asyncio.gather(*(user.apply(make_skill(name, code=code)) for name in names))
        await user.until(seen, bool, "the operator has seen the last of each")

    async def seen() -> bool:
        return all(
            (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]
            for body in await user.items(Kind.SKILL)
        )

    await change(range(4))
    before = peak_mebibytes(str(process.pid))
    await change(range(4, 24))
    assert peak_mebibytes(str(process.pid)) - before < 35
