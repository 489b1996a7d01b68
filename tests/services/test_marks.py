"""What the depot is told to keep: all that a Skill, a run or a Pod still needs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from skillwarden.depot.protocol import InUse, Usage
from skillwarden.domain.errors import UnavailableError
from skillwarden.services.marks import Marker, in_use
from skillwarden.services.store import Store


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def make_store(**tables: list[dict[str, Any]]) -> Any:
    records = {
        name: SimpleNamespace(values=lambda rows=rows: tuple(SimpleNamespace(**row) for row in rows))
        for name, rows in tables.items()
    }
    return SimpleNamespace(
        **{**{"skills": Store().skills, "runs": Store().runs, "pods": Store().pods}, **records}
    )


async def test_everything_that_is_needed_is_named() -> None:
    store = make_store(
        skills=[
            {
                "status": {"lock": {"digest": digest("a")}, "contentDigest": digest("b")},
                "content_digest": digest("c"),
            },
            {"status": {}, "content_digest": None},
        ],
        runs=[
            {
                "status": {"lockDigest": digest("d"), "contentDigest": digest("e")},
                "input_digest": digest("f"),
            }
        ],
        pods=[{"pod": SimpleNamespace(lock_digest=digest("1"), content_digest=digest("2"))}],
    )
    found = await in_use(store)
    assert found == InUse(
        locks=frozenset(map(digest, "ad1")),
        contents=frozenset(map(digest, "bce2")),
        inputs=frozenset({digest("f")}),
    )


@pytest.mark.parametrize("text", ["", "../../etc", digest("A"), digest("z"), digest("/"), digest("a") + "a"])
async def test_what_is_no_digest_marks_nothing(text: str) -> None:
    store = make_store(pods=[{"pod": SimpleNamespace(lock_digest=text, content_digest=None)}])
    assert (await in_use(store)).locks == frozenset()


async def test_a_mark_that_does_not_get_through_is_sent_again() -> None:
    asked: list[str] = []
    through = asyncio.Event()

    async def mark(holder: str, what: InUse, *, seconds: float) -> Usage:
        asked.append(holder)
        if len(asked) < 3:
            raise UnavailableError("the depot does not answer")
        return Usage(1, 2)

    marker = Marker(
        Store(),
        SimpleNamespace(mark=mark),  # type: ignore[arg-type]
        holder="ns/lease",
        interval=timedelta(hours=1),
        retry=timedelta(seconds=0.01),
        on_usage=lambda usage: through.set() if usage == Usage(1, 2) else None,
    )
    task = asyncio.create_task(marker.run())
    await asyncio.wait_for(through.wait(), 20)
    task.cancel()
    assert asked == ["ns/lease"] * 3
