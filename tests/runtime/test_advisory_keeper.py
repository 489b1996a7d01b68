"""Advisories are kept fresh for as long as the process lasts, whatever a sync ends with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.runtime import advisories
from skillwarden.runtime.advisories import AdvisoryKeeper

RECORD = {
    "id": "PYSEC-1",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "widget"}, "versions": ["1.0"]}],
}


async def test_a_sync_that_breaks_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = advisories.sync, 0

    async def broken_at_first(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")
        return await real(*given, **named)

    monkeypatch.setattr(advisories, "sync", broken_at_first)
    monkeypatch.setattr(advisories, "FIRST_RETRY_SECONDS", 0.05)
    await kept_until_there(tmp_path, make_source(tmp_path))
    assert calls == 2


async def test_a_source_that_comes_up_late_is_found_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advisories, "FIRST_RETRY_SECONDS", 0.05)
    keeper = AdvisoryKeeper(str(tmp_path / "source"), into=tmp_path / "index", interval=3600)
    keeper.start()
    feed = AdvisoryFeed(tmp_path / "index")
    while not (tmp_path / "index").is_dir():
        await asyncio.sleep(0.01)
    make_source(tmp_path)
    await until_there(feed)
    await keeper.stop()


def make_source(folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    (source / "PYSEC-1.json").write_text(json.dumps(RECORD))
    return source


async def kept_until_there(folder: Path, source: Path) -> None:
    keeper = AdvisoryKeeper(str(source), into=folder / "index", interval=3600)
    keeper.start()
    await until_there(AdvisoryFeed(folder / "index"))
    await keeper.stop()


async def until_there(feed: AdvisoryFeed) -> None:
    async with asyncio.timeout(60):
        while feed.current() is None:
            await asyncio.sleep(0.05)
