"""The slow stages: whoever asks while one runs is told of its end, too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from skillwarden.depot.fetch import Fetcher
from skillwarden.depot.local import LocalDepot
from skillwarden.depot.store import DepotStore
from skillwarden.domain.lock import Lock, Platform
from skillwarden.services.stages import Stages

LOCK = Lock(platform=Platform(python="3.12", arch="amd64"), packages=())
CONTENT = "sha256:" + "0" * 64
NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def test_two_skills_of_one_content_are_both_told_that_it_is_fetched(tmp_path: Path) -> None:
    nobody = cast("Any", None)
    store = DepotStore(tmp_path)
    async with Fetcher(store) as fetcher:
        stages = Stages(resolver=nobody, scans=nobody, depot=LocalDepot(store, fetcher), now=lambda: NOW)
        opened, told = asyncio.Event(), list[str]()

        async def deliver() -> None:
            await opened.wait()

        for name in ("first", "second"):
            # As the reconcilers do: they ask only where it is said to be due.
            if stages.fetch_due(LOCK, CONTENT):
                stages.fetch(
                    LOCK, CONTENT, None, deliver=deliver, namespace="team", waiter=partial(told.append, name)
                )
            await asyncio.sleep(0)
        opened.set()
        await stages.drain()
        assert sorted(told) == ["first", "second"]
        assert stages.fetched(LOCK, CONTENT) is True
