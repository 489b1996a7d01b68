"""The server of a cluster: what operators sync from it is what it holds, and as old as it says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skillwarden.advisories.build import build_index
from skillwarden.advisories.errors import SourceUnavailableError
from skillwarden.advisories.export import Exports, export
from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.record import parse_record
from skillwarden.advisories.server import build_app
from skillwarden.advisories.state import SyncState, read_state, write_state
from skillwarden.advisories.store import INDEX_NAME, IndexWriter
from skillwarden.advisories.sync import sync

Client = TestClient[web.Request, web.Application]
NPM = {"package": {"ecosystem": "npm", "name": "left-pad"}, "versions": ["1.0.0"]}


class Served:
    """A server over a folder that a test syncs into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counted: list[tuple[str, int]] = []
        exports = Exports(folder / "dumps")
        self.app = build_app(AdvisoryFeed(folder), exports, count=lambda *row: self.counted.append(row))
        self.client: Client = TestClient(TestServer(self.app))

    @property
    def url(self) -> str:
        return str(self.client.make_url("/")).rstrip("/")

    def age(self, by: timedelta) -> None:
        """Have the last sync be as long ago."""
        state = read_state(self.folder)
        assert state is not None
        then = datetime.now(UTC) - by
        write_state(self.folder, SyncState(revision=state.revision, synced_at=then, source=state.source))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    server = Served(tmp_path / "server")
    await server.client.start_server()
    yield server
    await server.client.close()


async def test_who_syncs_from_it_has_what_it_has(
    served: Served, make_source: Any, make_record: Any, tmp_path: Path
) -> None:
    both = make_record("GHSA-both", affected=[make_record()["affected"][0], NPM])
    gone = make_record("PYSEC-gone", withdrawn="2024-02-01T00:00:00Z")
    odd = make_record("odd/../id", affected=[NPM])
    source = make_source(make_record("PYSEC-1"), gone, name="s")
    (source / "both.json").write_text(json.dumps(both))
    (source / "odd.json").write_text(json.dumps(odd))
    own = await sync(source, into=served.folder)
    got = await sync(served.url, into=tmp_path / "operator")
    assert got.revision == own.revision
    assert got.counts == own.counts
    again = await sync(served.url, into=tmp_path / "operator")
    assert not again.changed
    assert ("dump", 304) in served.counted


async def test_a_new_revision_reaches_who_synced_before(
    served: Served, make_source: Any, make_record: Any, tmp_path: Path
) -> None:
    await sync(make_source(make_record("PYSEC-1"), name="one"), into=served.folder)
    first = await sync(served.url, into=tmp_path / "operator")
    own = await sync(
        make_source(make_record("PYSEC-1"), make_record("PYSEC-2"), name="two"), into=served.folder
    )
    second = await sync(served.url, into=tmp_path / "operator")
    assert second.revision == own.revision != first.revision


@pytest.mark.parametrize("known", [False, True], ids=["fetched", "unchanged"])
async def test_what_is_synced_from_a_server_that_was_cut_off_is_as_old_as_it(
    served: Served, make_source: Any, make_record: Any, tmp_path: Path, known: bool
) -> None:
    await sync(make_source(make_record("PYSEC-1")), into=served.folder)
    if known:
        # The operator's own folder says less than the server: nothing of it may look fresher.
        await sync(served.url, into=tmp_path / "operator")
        state = read_state(tmp_path / "operator")
        assert state is not None
        old = datetime.now(UTC) - timedelta(days=9)
        write_state(
            tmp_path / "operator",
            SyncState(revision=state.revision, synced_at=old, source=state.source, etags=state.etags),
        )
    served.age(timedelta(days=3))
    report = await sync(served.url, into=tmp_path / "operator")
    age = datetime.now(UTC) - report.synced_at
    assert timedelta(days=3) <= age < timedelta(days=3, minutes=5)
    assert AdvisoryIndex.open(tmp_path / "operator").synced_at == report.synced_at
    assert ("dump", 304 if known else 200) in served.counted


async def test_what_was_known_to_be_current_stays_so_when_a_cache_answers_for_an_earlier_time(
    served: Served, make_source: Any, make_record: Any, tmp_path: Path
) -> None:
    await sync(make_source(make_record("PYSEC-1")), into=served.folder)
    before = await sync(served.url, into=tmp_path / "operator")
    served.age(timedelta(days=3))
    after = await sync(served.url, into=tmp_path / "operator")
    assert after.synced_at == before.synced_at


async def test_a_server_that_knows_nothing_is_no_source_and_no_world_without_advisories(
    served: Served, make_source: Any, make_record: Any, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnavailableError, match="503"):
        await sync(served.url, into=tmp_path / "operator")
    await sync(make_source(make_record("PYSEC-1")), into=served.folder)
    (served.folder / "sync.json").unlink()
    with pytest.raises(SourceUnavailableError, match="503"):
        await sync(served.url, into=tmp_path / "operator")
    absent = await served.client.get("/npm/all.zip")
    assert absent.status == 503


async def test_a_dump_that_cannot_be_made_is_no_dump(
    served: Served, make_source: Any, make_record: Any, tmp_path: Path
) -> None:
    await sync(make_source(make_record("PYSEC-1")), into=served.folder)
    (served.folder / "dumps").write_text("a file where a folder should be")
    answer = await served.client.get("/PyPI/all.zip")
    assert answer.status == 503
    assert "cannot be made" in (await answer.json())["message"]
    asked = {"package": {"name": "widget", "ecosystem": "PyPI"}, "version": "1.0"}
    assert (await served.client.post("/v1/query", json=asked)).status == 200


async def test_an_ecosystem_that_the_source_has_not_is_absent(
    served: Served, make_source: Any, make_record: Any
) -> None:
    await sync(make_source(make_record("PYSEC-1")), into=served.folder)
    assert (await served.client.get("/npm/all.zip")).status == 404
    assert (await served.client.get("/Go/all.zip")).status == 404
    assert [row for row in served.counted if row[1] == 404] == [("dump", 404), ("other", 404)]


async def test_no_more_than_two_revisions_of_dumps_are_kept(
    served: Served, make_source: Any, make_record: Any
) -> None:
    for number in range(4):
        records = [make_record(f"PYSEC-{item}") for item in range(number + 1)]
        await sync(make_source(*records, name=f"source-{number}"), into=served.folder)
        (served.folder / "dumps" / ".new-left").mkdir(parents=True, exist_ok=True)
        assert (await served.client.get("/PyPI/all.zip")).status == 200
    kept = sorted(item.name for item in (served.folder / "dumps").iterdir())
    assert len(kept) == 2
    assert not any(name.startswith(".") for name in kept)


IDS = st.text(min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(IDS, min_size=1, max_size=5), data=st.data())
def test_any_index_and_its_dumps_have_one_revision(
    ids: list[str], data: st.DataObject, make_record: Callable[..., Any], tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("index")
    writer = IndexWriter(folder / INDEX_NAME)
    places = [[NPM], make_record()["affected"], [NPM, *make_record()["affected"]], [{"ranges": []}]]
    for position, identity in enumerate(ids):
        affected = data.draw(st.sampled_from(places)) if position else make_record()["affected"]
        record = make_record(identity, affected=affected, details=data.draw(st.text(max_size=5)))
        writer.add(parse_record(json.dumps(record).encode()))
    summary = writer.finish()
    export(AdvisoryIndex.open(folder), folder)
    copy = build_index(folder, folder / "copy.sqlite", progress=lambda *_: None)
    assert copy["revision"] == summary.revision
