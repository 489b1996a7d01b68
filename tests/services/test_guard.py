"""Whether admission policies are in force: a no counts at once; no answer takes no yes back for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from skillwarden.api.v1alpha1.skill import GUARD_PROBE_AGENT
from skillwarden.kube.errors import ApiError, translate
from skillwarden.services.guard import Guard
from skillwarden.services.ports import Timing

TIMING = Timing(guard_ttl=timedelta(minutes=5), guard_retry=timedelta(seconds=30))
YES = translate(422, f"agent {GUARD_PROBE_AGENT} is reserved")
SILENCE = {
    "overloaded": translate(429, "too many requests"),
    "away": translate(503, "no endpoints available"),
    "refused for another reason": translate(403, "exceeded quota: skills"),
}


class World:
    """An API server that gives one answer, and a clock."""

    def __init__(self, answer: ApiError | None) -> None:
        self.answer = answer
        self.asked = 0
        self.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.guard = Guard(cast("Any", self), trust=False, timing=TIMING, now=lambda: self.now)

    async def create(self, *_: object, dry_run: bool) -> None:
        assert dry_run
        self.asked += 1
        if self.answer is not None:
            raise self.answer

    async def after(self, pause: timedelta, answer: ApiError | None) -> bool | None:
        self.now += pause
        self.answer = answer
        return await self.guard.in_force("team")


@pytest.fixture(params=SILENCE)
def silence(request: pytest.FixtureRequest) -> ApiError:
    return SILENCE[request.param]


async def test_a_yes_outlives_a_question_without_answer_and_is_asked_for_again(silence: ApiError) -> None:
    world = World(YES)
    assert await world.guard.in_force("team") is True
    assert not world.guard.unsure("team")
    # Nobody asked in between: it is from the first question without answer that it counts.
    assert await world.after(timedelta(hours=1), silence) is True
    assert world.guard.unsure("team")
    asked = world.asked
    assert await world.after(TIMING.guard_retry, YES) is True
    assert world.asked == asked + 1
    assert not world.guard.unsure("team")


async def test_a_yes_that_nobody_confirms_lapses(silence: ApiError) -> None:
    world = World(YES)
    await world.guard.in_force("team")
    seen = [await world.after(TIMING.guard_ttl, silence)]
    for _ in range(TIMING.guard_ttl // TIMING.guard_retry):
        seen.append(await world.after(TIMING.guard_retry, silence))
    assert seen == [True] * (len(seen) - 1) + [None]
    assert await world.after(TIMING.guard_retry, silence) is None, "and none that has lapsed comes back"


async def test_without_a_yes_no_answer_is_a_no(silence: ApiError) -> None:
    world = World(silence)
    assert await world.guard.in_force("team") is None
    assert world.guard.unsure("team")
    assert await world.after(TIMING.guard_retry, YES) is True


async def test_a_no_counts_at_once_and_is_no_yes_for_a_later_silence(silence: ApiError) -> None:
    world = World(YES)
    await world.guard.in_force("team")
    assert await world.after(TIMING.guard_ttl, silence) is True
    assert await world.after(TIMING.guard_retry, None) is False
    assert world.guard.last_answer("team") is False
    assert await world.after(TIMING.guard_retry, silence) is None


async def test_an_answer_is_asked_for_once_and_for_each_namespace() -> None:
    world = World(YES)
    for _ in range(3):
        assert await world.guard.in_force("team") is True
    assert world.asked == 1
    assert not world.guard.unsure("another"), "nobody asked there, so nobody waits for the answer"
