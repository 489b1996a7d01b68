"""The store: whole files or none, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from depot_support import PLATFORM, make_lock, make_wheel

from skillwarden.depot.store import DepotStore
from skillwarden.domain.content import digest_of
from skillwarden.domain.errors import IntegrityError, InvalidInputError
from skillwarden.domain.finding import ScannerName, ScannerReport, ScanResult, ScanState
from skillwarden.domain.lock import Lock

KEY = "sha256:" + "a" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def keep(store: DepotStore, data: bytes) -> str:
    digest = digest_of(data)
    with store.new_artefact(digest) as file:
        file.write(data)
        store.commit_artefact(file, digest=digest)
    return digest


def only_file(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def make_scan(lock: Lock, revision: str = "r1", *, at: datetime = NOW) -> ScanResult:
    report = ScannerReport(ScannerName.OSV, ScanState.PASS, frozenset(item.id for item in lock.packages))
    return ScanResult(lock.digest, revision, at, (report,))


@pytest.mark.parametrize("kind", ["content", "input"])
def test_bytes_come_back_by_their_digest(store: DepotStore, kind: str) -> None:
    digest = getattr(store, f"put_{kind}")(b"some bytes")
    assert digest == digest_of(b"some bytes")
    assert getattr(store, f"get_{kind}")(digest) == b"some bytes"
    assert getattr(store, f"get_{kind}")(digest_of(b"other bytes")) is None


def test_contents_and_inputs_are_apart(store: DepotStore) -> None:
    assert store.get_input(store.put_content(b"source")) is None


def test_a_lock_comes_back_by_digest_and_by_resolution_key(store: DepotStore) -> None:
    lock = make_lock(make_wheel())
    store.put_lock(lock, key=KEY)
    assert store.get_lock(lock.digest) == lock
    assert store.lock_for_key(KEY) == lock
    assert store.lock_for_key("sha256:" + "b" * 64) is None


def test_a_key_leads_to_the_lock_that_was_put_last(store: DepotStore) -> None:
    store.put_lock(make_lock(make_wheel(version="1.0")), key=KEY)
    newer = make_lock(make_wheel(version="2.0"))
    store.put_lock(newer, key=KEY)
    assert store.lock_for_key(KEY) == newer


def test_the_empty_lock_is_a_lock(store: DepotStore) -> None:
    store.put_lock(Lock(PLATFORM, ()))
    assert store.get_lock(Lock(PLATFORM, ()).digest) == Lock(PLATFORM, ())


def test_scans_are_kept_by_lock_and_revision(store: DepotStore) -> None:
    lock = make_lock(make_wheel())
    first, second = make_scan(lock, "r1"), make_scan(lock, "r2", at=NOW + timedelta(hours=1))
    store.put_scan(second)
    store.put_scan(first)
    assert store.get_scan(lock.digest, "r1") == first
    assert store.get_scan(lock.digest, "r2") == second
    assert store.get_scan(lock.digest, "r3") is None
    assert store.latest_scan(lock.digest) == second, "the one completed last, not the one written last"
    assert store.latest_scan(make_lock().digest) is None


@pytest.mark.parametrize("evil", ["sha256:../../etc/passwd", "sha256:" + "A" * 64, "md5:abc", "", "a" * 64])
def test_what_is_no_digest_never_becomes_a_file_name(store: DepotStore, evil: str) -> None:
    for read in (store.get_content, store.get_input, store.get_lock, store.lock_for_key, store.latest_scan):
        with pytest.raises(InvalidInputError):
            read(evil)


@pytest.mark.parametrize("evil", ["../../etc/passwd", "A" * 64, ""])
def test_what_is_no_hash_never_becomes_an_artefact(store: DepotStore, evil: str) -> None:
    with pytest.raises(InvalidInputError):
        store.open_artefact(evil)


def test_an_artefact_with_another_hash_never_lands(store: DepotStore, tmp_path: Path) -> None:
    wanted = digest_of(b"wanted")
    with store.new_artefact(wanted) as file:
        file.write(b"something else")
        with pytest.raises(IntegrityError, match=wanted):
            store.commit_artefact(file, digest=wanted)
    assert not store.has_artefact(wanted)
    assert not list((tmp_path / "state" / "tmp").iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"X" + data[1:], id="one byte is flipped"),
        pytest.param(lambda data: data[:-1], id="the last byte is lost"),
        pytest.param(lambda data: b"", id="the file is empty"),
        pytest.param(lambda data: data + b"!", id="a byte is added"),
    ],
)
@pytest.mark.parametrize("folder", ["artefacts", "contents", "inputs", "locks", "keys", "scans"])
def test_a_corrupt_file_is_removed_and_never_served(
    store: DepotStore, tmp_path: Path, folder, damage
) -> None:
    lock = make_lock(make_wheel())
    reads = {
        "artefacts": lambda: store.open_artefact(keep_result),
        "contents": lambda: store.get_content(digest_of(b"data of some length")),
        "inputs": lambda: store.get_input(digest_of(b"data of some length")),
        "locks": lambda: store.get_lock(lock.digest),
        "keys": lambda: store.lock_for_key(KEY),
        "scans": lambda: store.latest_scan(lock.digest),
    }
    keep_result = keep(store, b"data of some length")
    store.put_content(b"data of some length")
    store.put_input(b"data of some length")
    store.put_lock(lock, key=KEY)
    store.put_scan(make_scan(lock))
    root = tmp_path / "state" / folder
    path = root / lock.digest.removeprefix("sha256:") / "latest" if folder == "scans" else only_file(root)
    assert reads[folder]() is not None
    path.write_bytes(damage(path.read_bytes()))
    assert reads[folder]() is None
    assert not path.exists()


def test_a_file_that_changed_after_it_was_verified_is_verified_anew(
    store: DepotStore, tmp_path: Path
) -> None:
    digest = keep(store, b"good bytes")
    assert store.has_artefact(digest)
    path = only_file(tmp_path / "state" / "artefacts")
    path.write_bytes(b"evil bytes")
    assert not store.has_artefact(digest)


def test_a_record_of_another_lock_under_a_locks_name_is_not_served(store: DepotStore, tmp_path: Path) -> None:
    mine, other = make_lock(make_wheel(version="1.0")), make_lock(make_wheel(version="2.0"))
    store.put_lock(mine)
    store.put_lock(other)
    folder = tmp_path / "state" / "locks"
    (folder / other.digest.removeprefix("sha256:")).rename(folder / mine.digest.removeprefix("sha256:"))
    assert store.get_lock(mine.digest) is None


WRITER = """
import os, signal, sys
from pathlib import Path
from skillwarden.depot import files
from skillwarden.depot.store import DepotStore

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

store, moment = DepotStore(Path(sys.argv[1])), sys.argv[2]
if moment == "fsync":
    os.fsync = die
elif moment == "rename":
    Path.replace = die
elif moment == "folder sync":
    files.sync_folder = die
data = b"0123456789" * 1000
with store.new_artefact(sys.argv[3]) as file:
    file.write(data[:5000])
    file._file.flush()
    if moment == "half written":
        die()
    file.write(data[5000:])
    store.commit_artefact(file, digest=sys.argv[3])
"""


@pytest.mark.parametrize("moment", ["half written", "fsync", "rename", "folder sync"])
def test_a_writer_killed_at_any_point_leaves_the_whole_file_or_none(tmp_path: Path, moment: str) -> None:
    data = b"0123456789" * 1000
    digest = digest_of(data)
    state = tmp_path / "state"
    command = [sys.executable, "-c", WRITER, str(state), moment, digest]
    killed = subprocess.run(command, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    left = list((state / "tmp").iterdir())
    landed = moment == "folder sync"
    assert len(left) == (0 if landed else 1)
    for path in left:
        os.utime(path, (time.time() - 3600,) * 2)
    store = DepotStore(state)
    assert store.has_artefact(digest) is landed
    assert not list((state / "tmp").iterdir()), "the next start sweeps what the killed writer left"
    assert keep(store, data) == digest
    assert store.has_artefact(digest)


def test_the_sweep_leaves_what_a_living_writer_holds(tmp_path: Path) -> None:
    store = DepotStore(tmp_path / "state")
    data = b"slow but alive"
    digest = digest_of(data)
    with store.new_artefact(digest) as file:
        file.write(data)
        (path,) = (tmp_path / "state" / "tmp").iterdir()
        os.utime(path, (time.time() - 3600,) * 2)
        DepotStore(tmp_path / "state")
        store.commit_artefact(file, digest=digest)
    assert store.has_artefact(digest)


def test_the_same_bytes_are_written_once(store: DepotStore, tmp_path: Path) -> None:
    store.put_content(b"same")
    path = only_file(tmp_path / "state" / "contents")
    before = path.stat().st_mtime_ns, path.stat().st_ino
    store.put_content(b"same")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
