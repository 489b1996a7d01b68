"""The depot's disk: bounded, the least recently used goes first, and never what somebody uses."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from depot_support import SECRET, Wheel, make_lock, make_wheel, running_depot

from skillwarden.depot import files, room
from skillwarden.depot.client import DepotClient
from skillwarden.depot.local import store_failed
from skillwarden.depot.protocol import DepotFullError, InUse
from skillwarden.depot.room import Room, bounded
from skillwarden.depot.store import DepotStore
from skillwarden.depot.tokens import operator_token
from skillwarden.domain.artefact_facts import ArtefactFacts
from skillwarden.domain.errors import IntegrityError, InvalidInputError
from skillwarden.domain.finding import ScanResult
from skillwarden.domain.lock import Lock

BLOCK = 4096
DAY = 86400.0
KEY = "sha256:" + "b" * 64


def blocks(store: DepotStore) -> int:
    return store.room.usage.used // BLOCK


@pytest.fixture
def store(tmp_path: Path) -> DepotStore:
    """Room for twenty small files."""
    return DepotStore(tmp_path / "state", max_size=20 * BLOCK)


def keep(store: DepotStore, text: str) -> str:
    return store.put_input(text.encode())


def add_wheel(store: DepotStore, wheel: Wheel) -> Lock:
    with store.new_artefact(wheel.digest) as file:
        file.write(wheel.data)
        store.commit_artefact(file, digest=wheel.digest)
    lock = make_lock(wheel)
    store.put_lock(lock, key=KEY)
    store.put_scan(ScanResult(lock.digest, "r1", datetime(2026, 1, 1, tzinfo=UTC), ()))
    return lock


def age(store: DepotStore, seconds: float) -> None:
    """Let everything have been used so long ago."""
    then = time.time() - seconds
    for kind in room.KINDS:
        for folder, _, names in os.walk(store._root / kind):
            for name in names:
                os.utime(Path(folder) / name, (then, then))


def mark(store: DepotStore, **lists: frozenset[str]) -> None:
    store.mark("operator", InUse(**lists), seconds=DAY)


@contextlib.contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(DepotFullError, match=words):
        yield


def fill(store: DepotStore, count: int = 20) -> list[str]:
    return [keep(store, f"filler {number}") for number in range(count)]


def test_the_least_recently_used_goes_and_reading_is_use(store: DepotStore) -> None:
    kept = fill(store)
    mark(store)
    for number, digest in enumerate(kept):
        then = time.time() - DAY + number
        os.utime(store._bytes_path("inputs", digest), (then, then))
    assert store.get_input(kept[0]) is not None
    keep(store, "one more")
    assert store.get_input(kept[0]) == b"filler 0"
    assert [store.get_input(digest) is None for digest in kept[1:6]] == [True] * 2 + [False] * 3
    # A tenth was made free, not one file's room.
    assert blocks(store) == 19
    assert store.room.usage.deleted == 2


def test_what_is_in_use_never_goes(store: DepotStore) -> None:
    wheel = make_wheel("used")
    lock = add_wheel(store, wheel)
    store.put_facts(wheel.digest, {"": ArtefactFacts()})
    store.put_detections(wheel.digest, (), version="3.2.0/1")
    source = store.put_content(b"source")
    given = keep(store, "given")
    fill(store, 20 - blocks(store))
    mark(store, locks=frozenset({lock.digest}), contents=frozenset({source}), inputs=frozenset({given}))
    age(store, 100 * DAY)
    for number in range(40):
        keep(store, f"new {number}")
        age(store, 99 * DAY)
    assert store.has_artefact(wheel.digest)
    assert store.get_lock(lock.digest) == lock
    assert store.lock_for_key(KEY) == lock
    assert store.latest_scan(lock.digest) is not None
    assert store.get_facts(wheel.digest) is not None
    assert store.get_detections(wheel.digest, version="3.2.0/1") == ()
    assert store.get_content(source) == b"source"
    assert store.get_input(given) == b"given"


def test_with_everything_in_use_a_write_is_refused_and_says_so(store: DepotStore) -> None:
    mark(store, inputs=frozenset(fill(store)))
    age(store, 100 * DAY)
    with refused("everything in it is in use"):
        keep(store, "one more")
    assert store.room.usage.refused == 1
    assert list((store._root / "tmp").iterdir()) == []
    assert blocks(store) == 20


def test_what_was_used_within_the_hour_stays(store: DepotStore) -> None:
    fill(store)
    mark(store)
    age(store, room.GRACE_SECONDS - 60)
    with refused("within the last hour"):
        keep(store, "one more")


@pytest.mark.parametrize("says", ["nobody ever marked", "the mark's time is over"])
def test_without_a_mark_only_what_is_a_week_old_goes(says: str, store: DepotStore) -> None:
    fill(store)
    if "over" in says:
        store.mark("operator", InUse(), seconds=-1)
    age(store, room.UNMARKED_SECONDS - 60)
    with refused("no operator says what is in use"):
        keep(store, "one more")
    age(store, room.UNMARKED_SECONDS + 60)
    store.room._hopeless = (-1e9, "")
    keep(store, "one more")


def test_the_marks_of_two_operators_add_up(store: DepotStore) -> None:
    kept = fill(store)
    store.mark("one", InUse(inputs=frozenset(kept[:10])), seconds=DAY)
    store.mark("two", InUse(inputs=frozenset(kept[10:])), seconds=DAY)
    age(store, DAY)
    with refused("in use"):
        keep(store, "one more")


def test_a_mark_that_cannot_be_read_protects_everything(store: DepotStore) -> None:
    fill(store)
    mark(store)
    age(store, 100 * DAY)
    [path] = (store._root / room.MARKS).iterdir()
    path.write_bytes(path.read_bytes().replace(b"locks", b"lacks"))
    with refused("mark .* cannot be read"):
        keep(store, "one more")
    assert path.exists()


def test_a_lock_in_use_that_cannot_be_read_protects_everything(store: DepotStore) -> None:
    lock = add_wheel(store, make_wheel("used"))
    fill(store, 20 - blocks(store))
    mark(store, locks=frozenset({lock.digest}))
    age(store, 100 * DAY)
    [path] = (store._root / "locks").iterdir()
    path.write_bytes(path.read_bytes()[:-2])
    age(store, 100 * DAY)
    with refused("lock .* cannot be read"):
        keep(store, "one more")
    assert path.exists()


def test_a_mark_is_taken_where_there_is_no_room_at_all(store: DepotStore) -> None:
    kept = fill(store)
    mark(store, inputs=frozenset(kept))
    age(store, DAY)
    with refused("in use"):
        keep(store, "one more")
    mark(store)
    store.room._hopeless = (-1e9, "")
    keep(store, "one more")


def test_what_is_written_twice_or_over_is_counted_once(store: DepotStore) -> None:
    keep(store, "same")
    keep(store, "same")
    assert blocks(store) == 1
    lock = make_lock(make_wheel("one"))
    for other in (lock, make_lock(make_wheel("two")), lock):
        store.put_lock(other, key=KEY)
    assert blocks(store) == DepotStore(store._root, max_size=1 << 30).room.usage.used // BLOCK


def test_what_does_not_land_gives_its_room_back(store: DepotStore) -> None:
    wheel = make_wheel("broken")
    with pytest.raises(IntegrityError), store.new_artefact(wheel.digest) as file:
        file.write(b"other bytes")
        assert store.room.usage.used > 0
        store.commit_artefact(file, digest=wheel.digest)
    assert store.room.usage.used == 0


def test_writers_side_by_side_never_take_more_than_there_is(store: DepotStore) -> None:
    """Each has written half when the other begins: what is under way counts."""
    begun, over = (threading.Barrier(4, timeout=20) for _ in range(2))

    def write(number: int) -> bool:
        data = bytes([number]) * (4 * BLOCK)
        digest = make_wheel(f"w{number}").digest
        with store.new_artefact(digest) as file:
            file.write(data)
            begun.wait()
            try:
                file.write(data)
            except DepotFullError:
                return False
            finally:
                over.wait()
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(write, range(4)))
    # Four times four blocks fit into twenty, and four more: one can go on.
    assert sum(done) == 1
    assert store.room.usage.used == 0


def test_a_file_that_is_used_meanwhile_is_spared(store: DepotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fill(store)
    mark(store)
    age(store, DAY)
    first = next((store._root / "inputs").rglob(kept[0].removeprefix("sha256:")))
    keeps = room._InUse.keeps

    def look(self: room._InUse, entry: room._Entry) -> bool:
        # Between the list and the deletion somebody reads it.
        if entry.path == first:
            os.utime(first)
        return keeps(self, entry)

    monkeypatch.setattr(room._InUse, "keeps", look)
    keep(store, "one more")
    assert store.get_input(kept[0]) == b"filler 0"


def test_a_put_of_what_is_being_deleted_writes_it_again(
    store: DepotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = keep(store, "wanted")
    touch = Room.touch

    def gone(self: Room, path: Path) -> None:
        path.unlink()
        monkeypatch.setattr(Room, "touch", touch)
        touch(self, path)

    monkeypatch.setattr(Room, "touch", gone)
    assert keep(store, "wanted") == digest
    assert store.get_input(digest) == b"wanted"


def test_a_start_counts_what_is_there(store: DepotStore) -> None:
    fill(store, 7)
    assert DepotStore(store._root, max_size=1 << 30).room.usage.used == 7 * BLOCK


def test_the_file_system_bounds_it_too(tmp_path: Path) -> None:
    whole = os.statvfs(tmp_path)
    assert bounded(tmp_path, 1 << 60) == int(whole.f_blocks * whole.f_frsize * room.DISK_SHARE)
    assert bounded(tmp_path, 5 * BLOCK) == 5 * BLOCK
    assert bounded(tmp_path, None) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_full_depot(number: int) -> None:
    assert isinstance(store_failed(OSError(number, "full")), DepotFullError)


async def test_a_mark_and_a_refusal_through_the_served_depot(tmp_path: Path) -> None:
    async with (
        running_depot(tmp_path / "state", max_size=3 * BLOCK) as url,
        DepotClient(url, operator_token=operator_token(SECRET)) as client,
    ):
        digests = frozenset([await client.put_input(bytes([number])) for number in range(3)])
        usage = await client.mark("ns/lease", InUse(inputs=digests), seconds=60)
        assert (usage.used, usage.limit) == (3 * BLOCK, 3 * BLOCK)
        with refused("in use"):
            await client.put_input(b"one more")
        assert (await client.mark("ns/lease", InUse(), seconds=60)).refused == 1
        for wrong in ({"inputs": frozenset({"../../etc"})}, {"locks": frozenset({"sha256:zz"})}):
            with pytest.raises(InvalidInputError):
                await client.mark("ns/lease", InUse(**wrong), seconds=60)
        with pytest.raises(InvalidInputError, match="at most"):
            await client.mark("ns/lease", InUse(), seconds=1e9)


def inputs(root: Path) -> list[Path]:
    return [path for path in (root / "inputs").rglob("*") if path.is_file()]


def test_a_store_that_is_killed_at_any_byte_holds_whole_files_alone(tmp_path: Path) -> None:
    """Killed five times among its writes; each start finds every file with the hash of its name."""
    root = tmp_path / "state"
    code = f"""
        import os, itertools
        from pathlib import Path
        from skillwarden.depot.store import DepotStore
        from skillwarden.domain.lock import Lock, Platform
        store = DepotStore(Path({str(root)!r}), max_size=1 << 30)
        print("up", flush=True)
        for number in itertools.count():
            store.put_input(os.urandom(200_000))
            store.put_lock(Lock(Platform(python=f"3.{{number}}"), ()), key="sha256:" + "a" * 64)
    """
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        before = len(inputs(root))
        while len(inputs(root)) < before + 2:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        process.stdout.close()
    store = DepotStore(root, max_size=1 << 30)
    found = inputs(root)
    assert len(found) >= 10
    for path in found:
        assert store.get_input(f"sha256:{path.name}") is not None
    assert all(files.read_sealed(path) is not None for path in (root / "locks").iterdir())
    assert store.lock_for_key("sha256:" + "a" * 64) is not None
