"""Fair shares: nothing is lost, a lane keeps its order, and no lane waits for another's whole queue."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.services.fairness import Lanes, Slots
from skillwarden.services.requeue import Key, namespace_of
from skillwarden.services.workqueue import WorkQueue

lanes = st.sampled_from("abcd")


@given(st.lists(lanes, max_size=60))
def test_each_lane_keeps_its_order_and_takes_its_turn(arrivals: list[str]) -> None:
    queue: Lanes[tuple[str, int]] = Lanes()
    for number, lane in enumerate(arrivals):
        queue.put(lane, (lane, number))
    taken = [queue.take() for _ in range(len(queue))]
    assert sorted(taken) == sorted((lane, number) for number, lane in enumerate(arrivals))
    for lane in set(arrivals):
        places = [place for place, item in enumerate(taken) if item[0] == lane]
        assert [taken[place] for place in places] == sorted(taken[place] for place in places)
        between = [taken[left + 1 : right] for left, right in pairwise(places)]
        assert all(len({item[0] for item in gap}) == len(gap) for gap in between), "one of each other lane"
    with pytest.raises(IndexError):
        queue.take()


@given(st.lists(st.one_of(lanes, st.none()), max_size=60))
def test_a_newcomer_waits_for_one_item_of_each_other_lane(steps: list[str | None]) -> None:
    queue: Lanes[str] = Lanes()
    for step in steps:
        if step is not None:
            queue.put(step, step)
        elif len(queue):
            queue.take()
    queue.put("new", "new")
    ahead = []
    while (item := queue.take()) != "new":
        ahead.append(item)
    assert len(set(ahead)) == len(ahead)


async def test_a_namespace_with_thousands_of_keys_does_not_hold_up_another() -> None:
    queue: WorkQueue[Key] = WorkQueue(lane=namespace_of)
    for number in range(2_000):
        queue.add(("Skill", "crowded", f"skill-{number}"))
    queue.add(("Skill", "quiet", "only"))
    first = [await queue.get() for _ in range(2)]
    assert ("Skill", "quiet", "only") in first


class Crowd:
    """Keys that ask for a place, and the order in which they got it."""

    def __init__(self, number: int) -> None:
        self.slots = Slots(number)
        self.order: list[str] = []
        self.busy = self.most = 0
        self.gate = asyncio.Event()

    async def work(self, key: str, lane: str) -> None:
        async with self.slots.slot(key, lane):
            self.busy += 1
            self.most = max(self.most, self.busy)
            self.order.append(key)
            try:
                await self.gate.wait()
                await asyncio.sleep(0)
            finally:
                self.busy -= 1

    async def start(self, *keys: tuple[str, str]) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.work(key, lane)) for key, lane in keys]
        await asyncio.sleep(0)
        return tasks


async def test_slow_stages_are_shared_between_namespaces() -> None:
    crowd = Crowd(1)
    tasks = await crowd.start(*((f"a{number}", "a") for number in range(50)), ("b0", "b"))
    crowd.gate.set()
    await asyncio.gather(*tasks)
    assert crowd.most == 1
    assert crowd.order.index("b0") <= 2


async def test_who_joins_what_waits_brings_it_forward() -> None:
    crowd = Crowd(1)
    tasks = await crowd.start(*((f"a{number}", "a") for number in range(50)))
    crowd.slots.join("a49", "b")
    crowd.gate.set()
    await asyncio.gather(*tasks)
    assert crowd.order.index("a49") <= 2
    assert sorted(crowd.order) == sorted(f"a{number}" for number in range(50)), "each had one place"


@given(cancelled=st.sets(st.integers(0, 9)), places=st.integers(1, 3))
def test_what_is_cancelled_gives_its_place_back(cancelled: set[int], places: int) -> None:
    async def play() -> None:
        crowd = Crowd(places)
        tasks = await crowd.start(*((f"k{number}", f"lane-{number % 2}") for number in range(10)))
        for number in cancelled:
            tasks[number].cancel()
        crowd.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert crowd.most <= places
        again = await crowd.start(*((f"n{number}", "lane") for number in range(places)))
        assert len([key for key in crowd.order if key.startswith("n")]) == places, "every place is free"
        await asyncio.gather(*again)

    asyncio.run(play())


async def test_joining_often_costs_no_turn_and_no_memory() -> None:
    crowd = Crowd(1)
    tasks = await crowd.start(("a0", "a"), ("a1", "a"), ("b0", "b"), ("b1", "b"))
    for _ in range(100):
        crowd.slots.join("a1", "b")
    assert len(crowd.slots._lanes) <= 4
    crowd.gate.set()
    await asyncio.gather(*tasks)
    assert crowd.order == ["a0", "a1", "b0", "b1"]
