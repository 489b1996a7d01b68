"""The work queue: no key is lost, none is worked on twice at a time, failures back off."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from skillwarden.services.workqueue import WorkQueue

KEYS = st.sampled_from("abc")
STEPS = st.lists(st.tuples(st.sampled_from(["add", "add", "get", "done"]), KEYS), max_size=60)


async def next_key(queue: WorkQueue[str]) -> str:
    return await asyncio.wait_for(queue.get(), 5)


@given(STEPS)
def test_against_a_model_no_key_is_lost_and_none_is_active_twice(steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        queue: WorkQueue[str] = WorkQueue()
        owed: set[str] = set()  # added since it was last handed out
        active: list[str] = []
        for step, key in steps:
            if step == "add":
                queue.add(key)
                owed.add(key)
            elif step == "get" and len(queue):
                taken = await next_key(queue)
                assert taken not in active
                active.append(taken)
                owed.discard(taken)
            elif step == "done" and active:
                queue.done(active.pop(0))
            assert len(queue) == len(owed - set(active))
            assert queue.idle == (not active and not len(queue))
        while active or len(queue):
            while len(queue):
                active.append(await next_key(queue))
                owed.discard(active[-1])
            queue.done(active.pop(0))
        assert not owed

    asyncio.run(play())


async def test_many_workers_never_share_a_key_and_see_the_last_addition() -> None:
    queue: WorkQueue[str] = WorkQueue()
    world = Counter[str]()
    seen = Counter[str]()
    active: set[str] = set()

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in active
            active.add(key)
            value = world[key]
            await asyncio.sleep(0)
            seen[key] = value
            active.discard(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for n in range(300):
        key = "abcdefg"[n % 7]
        world[key] += 1
        queue.add(key)
        if n % 5 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while not queue.idle:
            await asyncio.sleep(0.01)
    assert seen == world
    assert not any(worker.done() for worker in workers)
    for worker in workers:
        worker.cancel()


async def test_a_key_that_waits_is_held_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(10):
        queue.add("a")
    assert len(queue) == 1


async def test_a_key_that_is_added_while_it_is_worked_on_comes_again_afterwards_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await next_key(queue) == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    assert await next_key(queue) == "a"
    queue.done("a")
    assert queue.idle


async def test_back_off_doubles_up_to_its_limit_and_begins_anew_after_success() -> None:
    queue: WorkQueue[str] = WorkQueue(base_delay=1.0, max_delay=10.0)
    assert [queue.retry("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue.failures("a") == 6
    assert queue.retry("b") == 1
    queue.forget("a")
    assert queue.failures("a") == 0
    assert queue.retry("a") == 1
    for _ in range(2000):
        queue.retry("a")  # no overflow
    queue.close()


async def test_the_earliest_of_several_wishes_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 3600)
    queue.add_after("a", 0.01)
    queue.add_after("a", 1800)
    assert await next_key(queue) == "a"
    queue.done("a")
    assert len(queue) == 0
    queue.close()


async def test_a_closed_queue_has_no_timer_left() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.01)
    queue.close()
    await asyncio.sleep(0.05)
    assert len(queue) == 0
