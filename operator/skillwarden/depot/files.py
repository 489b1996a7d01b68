"""Files that are whole or absent: temp file, fsync, rename, and a hash that is checked on every read.

A process may be killed at any byte. What it leaves then is a temp file, which the next start sweeps away;
a name in the store only ever stands for bytes that had the right hash when they were renamed to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..domain.errors import IntegrityError
from .room import Room

CHUNK = 1 << 20
#: A temp file younger than this may belong to a writer that has not taken its lock yet.
_SWEEP_AFTER_SECONDS = 60


class PendingFile:
    """A file being written in the temp folder; it gets its name only when its hash is the promised one."""

    def __init__(self, folder: Path, *, room: Room, algorithm: str = "sha256") -> None:
        self._room = room
        self._landed = False
        self._path = folder / uuid.uuid4().hex
        self._file = self._path.open("xb")
        # Held until close: the sweep of another process takes only what nobody holds.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._hash = hashlib.new(algorithm)
        self.size = 0
        self._taken = 0

    def write(self, data: bytes) -> None:
        """Append and hash; raises ``DepotFullError`` where there is no room."""
        self._room.take(len(data))
        self._taken += len(data)
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def commit(self, target: Path, *, digest: str) -> None:
        """Make the bytes durable and give them their name.

        Parameters
        ----------
        target
            Their name.
        digest
            ``algorithm:hexadecimal``, of the algorithm that the file was opened with.

        Raises
        ------
        IntegrityError
            Where the bytes written do not have the digest; nothing lands.
        """
        found = f"{self._hash.name}:{self._hash.hexdigest()}"
        if found != digest:
            raise IntegrityError(f"{self.size} bytes were received with {found}, but {digest} was promised.")
        self._file.flush()
        os.fsync(self._file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._room.landing(target, self.size):
            self._path.replace(target)
        self._landed = True
        sync_folder(target.parent)

    def close(self) -> None:
        """Drop what was not committed."""
        if not self._landed:
            self._room.drop(self._taken)
        self._path.unlink(missing_ok=True)
        self._file.close()


@contextlib.contextmanager
def pending(folder: Path, *, room: Room, algorithm: str = "sha256") -> Iterator[PendingFile]:
    """Open a pending file and drop it at the end, unless it was committed."""
    file = PendingFile(folder, room=room, algorithm=algorithm)
    try:
        yield file
    finally:
        file.close()


def sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> int:
    """Remove temp files whose writers are gone; return how many."""
    removed = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - path.stat().st_mtime >= _SWEEP_AFTER_SECONDS:
                path.unlink()
                removed += 1
    return removed


def hash_file(file: BinaryIO, *, algorithm: str) -> str:
    """Return ``algorithm:hexadecimal`` of the rest of a file, and rewind it."""
    digest = hashlib.new(algorithm)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    file.seek(0)
    return f"{algorithm}:{digest.hexdigest()}"


def remove_if_same(path: Path, file: BinaryIO) -> None:
    """Remove a corrupt file, unless a good one has taken its name since it was opened."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), os.fstat(file.fileno())):
            path.unlink()


def write_sealed(path: Path, data: bytes, *, temp: Path, room: Room) -> None:
    """Write a record that is not known by its own hash, with a seal: its hash in the first line."""
    sealed = hashlib.sha256(data).hexdigest().encode() + b"\n" + data
    with pending(temp, room=room) as file:
        file.write(sealed)
        file.commit(path, digest=f"sha256:{hashlib.sha256(sealed).hexdigest()}")


def read_sealed(path: Path) -> bytes | None:
    """Read a sealed record; a broken one is removed and reads as absent."""
    try:
        with path.open("rb") as file:
            seal, _, data = file.read().partition(b"\n")
            if hashlib.sha256(data).hexdigest().encode() == seal:
                return data
            remove_if_same(path, file)
    except FileNotFoundError:
        pass
    return None
