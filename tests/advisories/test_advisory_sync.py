"""Syncing from folders: layouts, refusals, and that the last good index stands."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from skillwarden.advisories.dumps import Limits
from skillwarden.advisories.errors import SyncError
from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.sync import SyncProgress, SyncStage, sync
from skillwarden.domain.package import Ecosystem, PackageId

Document = dict[str, Any]
Make = Callable[..., Document]
MakeSource = Callable[..., Path]
WIDGET = PackageId.of(Ecosystem.PYPI, "widget", "1.0")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "state" / "advisories"


def leftovers(folder: Path) -> set[str]:
    return {item.name for item in folder.iterdir()} - {"index.sqlite", "sync.json", ".lock"}


@pytest.mark.parametrize("layout", ["folder", "ecosystem folder", "zip"])
async def test_every_layout_of_a_source_gives_the_same_index(
    layout: str, make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record("PYSEC-1"), make_record("PYSEC-2", package="other"), layout=layout)
    report = await sync(source, into=into)
    index = AdvisoryIndex.open(into)
    assert [advisory.id for advisory in index.affecting(WIDGET)] == ["PYSEC-1"]
    assert report.revision == index.revision
    assert report.synced_at == index.synced_at
    assert report.counts[Ecosystem.PYPI].records == 2
    assert leftovers(into) == set()


async def test_the_same_content_is_the_same_revision_whatever_the_layout_and_spelling(
    make_record: Make, make_source: MakeSource, tmp_path: Path
) -> None:
    first, second = make_record("PYSEC-1"), make_record("PYSEC-2")
    turned = {key: second[key] for key in reversed(second)}
    one = await sync(make_source(first, second, name="a"), into=tmp_path / "one")
    two = await sync(make_source(turned, first, name="b", layout="zip"), into=tmp_path / "two")
    other = await sync(
        make_source(first, make_record("PYSEC-2", summary="changed"), name="c"), into=tmp_path / "c"
    )
    assert one.revision == two.revision != other.revision


async def test_a_sync_that_finds_nothing_new_moves_the_time_and_not_the_index(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record())
    first = await sync(source, into=into)
    before = (into / "index.sqlite").stat()
    second = await sync(source, into=into)
    assert (first.changed, second.changed) == (True, False)
    assert (into / "index.sqlite").stat().st_ino == before.st_ino
    synced_at = AdvisoryIndex.open(into).synced_at
    assert synced_at == second.synced_at
    assert second.synced_at > first.synced_at


async def test_an_unknown_ecosystem_is_ignored_and_said(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record(), layout="zip")
    (source / "Debian").mkdir()
    assert (await sync(source, into=into)).ignored == ("Debian",)


async def test_progress_tells_how_many_records_were_read(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    seen: list[SyncProgress] = []
    await sync(make_source(make_record("A"), make_record("B")), into=into, on_progress=seen.append)
    assert seen[-1] == SyncProgress(SyncStage.READ, 2, 2)


def truncated_zip(folder: Path) -> None:
    archive = folder / "PyPI" / "all.zip"
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])


def damaged_zip(folder: Path) -> None:
    archive = folder / "PyPI" / "all.zip"
    with zipfile.ZipFile(archive) as opened:
        offset = opened.infolist()[0].header_offset
    data = bytearray(archive.read_bytes())
    for at in range(offset + 60, offset + 80):
        data[at] ^= 0xFF
    archive.write_bytes(bytes(data))


def zip_of(**entries: bytes | tuple[zipfile.ZipInfo, bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "PyPI" / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, value in entries.items():
                if isinstance(value, tuple):
                    archive.writestr(*value)
                else:
                    archive.writestr(name, value)

    return write


def bomb(folder: Path) -> None:
    zip_of(**{"a.json": b" " * (64 * 1024 * 1024)})(folder)


def lying_bomb(folder: Path) -> None:
    """Say 10 bytes in the directory and in the header, and unpack to 64 MiB."""
    bomb(folder)
    archive = folder / "PyPI" / "all.zip"
    size = (64 * 1024 * 1024).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (10).to_bytes(4, "little")))


def symlink() -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("link.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, b"/etc/passwd"


def encrypted(folder: Path) -> None:
    zip_of(**{"a.json": b"{}"})(folder)
    archive = folder / "PyPI" / "all.zip"
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(bytes(data))


def remove(folder: Path) -> None:
    (folder / "PyPI" / "all.zip").unlink()


def garbage(folder: Path) -> None:
    (folder / "PyPI" / "all.zip").write_bytes(b"<html>not found</html>")


def all_withdrawn(folder: Path) -> None:
    record = {
        "id": "PYSEC-1",
        "withdrawn": "2024-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "widget"}, "versions": ["1.0"]}],
    }
    zip_of(**{"PYSEC-1.json": json.dumps(record).encode()})(folder)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a truncated archive": (truncated_zip, "not a whole zip"),
    "a damaged archive": (damaged_zip, "damaged"),
    "an archive that is a web page": (garbage, "not a whole zip"),
    "an archive without entries": (zip_of(), "is empty"),
    "a folder without records": (remove, "holds no records"),
    "a zip bomb": (bomb, "zip bomb"),
    "a zip bomb whose directory lies": (lying_bomb, "damaged|more than its directory says"),
    "an entry that climbs out": (zip_of(**{"../../evil.json": b"{}"}), "points outside"),
    "an entry with an absolute path": (zip_of(**{"/etc/evil.json": b"{}"}), "points outside"),
    "an entry with a backslash": (zip_of(**{"..\\evil.json": b"{}"}), "points outside"),
    "a symbolic link": (zip_of(link=symlink()), "not a regular file"),
    "an encrypted entry": (encrypted, "an encrypted entry"),
    "an entry that is no record": (zip_of(**{"setup.py": b"{}"}), "no OSV record"),
    "records that are not OSV": (zip_of(**{"a.json": b"[]", "b.json": b"{"}), "2 of 2 advisory records"),
    "records about other ecosystems only": (
        zip_of(**{"a.json": b'{"id": "X"}'}),
        "no record about a package",
    ),
    "records that are all withdrawn": (all_withdrawn, "no record about a package"),
}


@pytest.mark.parametrize("sentence", REFUSED)
async def test_a_bad_source_is_refused_and_the_last_good_index_stands(
    sentence: str, make_record: Make, make_source: MakeSource, into: Path
) -> None:
    good = await sync(make_source(make_record(), make_record("PYSEC-2")), into=into)
    bad = make_source(make_record(), make_record("PYSEC-2"), layout="zip", name="bad")
    spoil, message = REFUSED[sentence]
    spoil(bad)
    with pytest.raises(SyncError, match=message):
        await sync(bad, into=into)
    index = AdvisoryIndex.open(into)
    assert (index.revision, index.synced_at) == (good.revision, good.synced_at)
    assert len(index.affecting(WIDGET)) == 2
    assert leftovers(into) == set()


async def test_a_missing_source_and_a_file_are_clear_errors(tmp_path: Path, into: Path) -> None:
    with pytest.raises(SyncError, match="does not exist"):
        await sync(tmp_path / "nowhere", into=into)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(SyncError, match="is not a folder"):
        await sync(str(file), into=into)
    with pytest.raises(SyncError, match="neither a folder nor an http"):
        await sync("ftp://example.invalid/x", into=into)
    with pytest.raises(SyncError, match="cannot be written"):
        await sync(tmp_path, into=file)


def dated(make_record: Make, *days: str) -> list[Any]:
    return [
        make_record(f"PYSEC-{number}", modified=f"{day}T12:00:00Z")
        for number, day in enumerate(days, start=1)
    ]


async def test_a_source_that_went_back_in_time_is_refused_unless_forced(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    new = await sync(make_source(*dated(make_record, "2024-03-01", "2024-03-09"), name="new"), into=into)
    old = make_source(*dated(make_record, "2024-03-01", "2024-03-07"), name="old")
    with pytest.raises(SyncError, match=r"went back in time for PyPI.*2024-03-07 12:00.*2024-03-09 12:00"):
        await sync(old, into=into)
    assert AdvisoryIndex.open(into).revision == new.revision
    assert (await sync(old, into=into, force=True)).changed


async def test_one_record_that_is_taken_back_is_no_going_back_in_time(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    await sync(make_source(*dated(make_record, "2024-03-08", "2024-03-09"), name="new"), into=into)
    assert (await sync(make_source(*dated(make_record, "2024-03-08"), name="less"), into=into)).changed


async def test_a_record_from_the_future_makes_no_later_dump_old(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    await sync(make_source(*dated(make_record, "2024-03-08", "2999-01-01"), name="future"), into=into)
    assert (await sync(make_source(*dated(make_record, "2024-03-09"), name="now"), into=into)).changed


async def test_a_dump_that_lost_more_than_half_is_refused_unless_forced(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    many = [make_record(f"PYSEC-{number}") for number in range(10)]
    await sync(make_source(*many), into=into)
    few = make_source(*many[:4], name="few")
    with pytest.raises(SyncError, match=r"has 4 records for PyPI; the index has 10.*--force"):
        await sync(few, into=into)
    assert len(AdvisoryIndex.open(into).affecting(WIDGET)) == 10
    half = await sync(make_source(*many[:5], name="half"), into=into)
    assert half.counts[Ecosystem.PYPI].records == 5
    assert (await sync(make_source(many[0], name="one"), into=into, force=True)).changed


async def test_a_few_unreadable_records_are_counted_and_named(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(*[make_record(f"PYSEC-{number}") for number in range(400)])
    (source / "broken.json").write_bytes(b"{")
    report = await sync(source, into=into)
    assert report.unreadable == AdvisoryIndex.open(into).unreadable == 1
    assert "broken.json" in report.examples[0]


async def test_a_record_that_is_too_large_is_unreadable_and_not_read_whole(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record("PYSEC-1"), make_record("PYSEC-2", details="x" * 20_000_000))
    with pytest.raises(SyncError, match="1 of 2 advisory records"):
        await sync(source, into=into)


LIMITS: dict[str, Limits] = {
    "at most 64 are taken": Limits(archive_bytes=64),
    "holds 2 entries": Limits(records=1),
    "unpacks to": Limits(total_bytes=100),
}


@pytest.mark.parametrize("message", LIMITS)
async def test_an_archive_above_a_limit_is_refused(
    message: str, make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record("PYSEC-1"), make_record("PYSEC-2"), layout="zip")
    with pytest.raises(SyncError, match=message):
        await sync(source, into=into, limits=LIMITS[message])


async def test_two_records_of_one_id_that_differ_both_count(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record("PYSEC-1", versions=["1.0"]))
    (source / "again.json").write_text(json.dumps(make_record("PYSEC-1", versions=["5.0"])))
    await sync(source, into=into)
    index = AdvisoryIndex.open(into)
    assert index.affecting(WIDGET)
    assert index.affecting(PackageId.of(Ecosystem.PYPI, "widget", "5.0"))


async def test_a_second_sync_at_the_same_time_is_refused(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(*[make_record(f"PYSEC-{number}") for number in range(50)])
    outcomes = await asyncio.gather(sync(source, into=into), sync(source, into=into), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, SyncError)]
    assert len(refused) == 1
    assert "Another sync" in str(refused[0])


async def test_a_deadline_ends_the_sync_and_leaves_nothing(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(*[make_record(f"PYSEC-{number}") for number in range(50)])
    with pytest.raises(SyncError, match="longer than"):
        await sync(source, into=into, deadline_seconds=0.01)
    assert leftovers(into) == set()


async def test_what_a_killed_sync_left_is_cleared_away(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    (into / ".sync-dead").mkdir(parents=True)
    (into / ".sync-dead" / "index.sqlite").write_bytes(b"half")
    await sync(make_source(make_record()), into=into)
    assert leftovers(into) == set()


async def test_a_corrupt_index_is_replaced_by_a_sync(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    source = make_source(make_record())
    await sync(source, into=into)
    (into / "index.sqlite").write_bytes(b"garbage")
    assert (await sync(source, into=into)).changed
    assert AdvisoryIndex.open(into).affecting(WIDGET)


async def test_a_feed_sees_a_new_index_and_a_new_time(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    feed = AdvisoryFeed(into)
    assert (feed.current(), feed.revision, feed.synced_at) == (None, "", None)
    assert "No advisories have been synced" in str(feed.problem)
    source = make_source(make_record("PYSEC-1"))
    first = await sync(source, into=into)
    old = feed.current()
    assert old is not None and feed.current() is old
    assert (feed.revision, feed.synced_at) == (first.revision, first.synced_at)
    again = await sync(source, into=into)
    assert feed.synced_at == again.synced_at
    await sync(make_source(make_record("PYSEC-1"), make_record("PYSEC-2"), name="more"), into=into)
    new = feed.current()
    assert new is not None and len(new.affecting(WIDGET)) == 2
    assert len(old.affecting(WIDGET)) == 1, "what was handed out goes on answering"
    os.truncate(into / "index.sqlite", 1000)
    assert feed.current() is None
    assert "cannot be read" in str(feed.problem)


async def test_the_time_of_another_revision_counts_for_nothing(
    make_record: Make, make_source: MakeSource, into: Path
) -> None:
    await sync(make_source(make_record()), into=into)
    state = json.loads((into / "sync.json").read_text())
    assert datetime.fromisoformat(state["syncedAt"])
    state["revision"] = "sha256:other"
    (into / "sync.json").write_text(json.dumps(state))
    assert AdvisoryIndex.open(into).synced_at is None
    (into / "sync.json").write_text("{")
    assert AdvisoryIndex.open(into).synced_at is None
