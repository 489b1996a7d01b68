"""How much the store may hold, and what goes where there is no room: what was used least recently.

What is used, operators say: a mark names locks, contents and inputs, and holds until its time is over.
Deleting is refused wherever that is in doubt. Every byte that is written is taken here first, also by writers
that run side by side; every deletion looks at the file once more under the same lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.lock import Lock
from .digests import hex_of, split_artefact_digest
from .protocol import DepotFullError, Usage

log = logging.getLogger("skillwarden.depot.room")

#: Younger content may belong to a lock or a run that no mark names yet.
GRACE_SECONDS = 3600.0
#: Where nobody says what is used, somebody may be down who will need it again.
UNMARKED_SECONDS = 7 * 86400.0
#: A collection makes room for more than the one write that asked.
LOW_WATER = 0.9
#: Of the file system at most: a full disk breaks more than the depot.
DISK_SHARE = 0.95
#: How old a file's time of use must be before it is written anew.
TOUCH_SECONDS = 300.0
_HOPELESS_SECONDS = 10.0
_BLOCK = 4096
MARKS = "marks"
#: What a collection may delete from.
KINDS = ("artefacts", "contents", "inputs", "locks", "keys", "scans", "facts", "malware")


class _InDoubtError(Exception):
    """What is in use cannot be told, so nothing may go."""


@dataclass(frozen=True, slots=True)
class _Entry:
    used_at: float
    path: Path
    cost: int


class Room:
    """Counts and bounds what a store holds; safe to use from many threads of one process.

    Parameters
    ----------
    root
        Of the store.
    limit
        Bytes, in whole blocks; ``None``: no bound, and nothing is ever deleted.
    clock
        Seconds since the epoch, as files have them.
    """

    def __init__(
        self, root: Path, *, limit: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._root = root
        self.limit = limit
        self._clock = clock
        self.lock = threading.RLock()
        self._kept = sum(entry.cost for entry in self._entries()) if limit is not None else 0
        self._pending = 0
        self._deleted = 0
        self._refused = 0
        self._hopeless = (-_HOPELESS_SECONDS, "")

    @property
    def usage(self) -> Usage:
        """What is held, and what became of writes."""
        with self.lock:
            return Usage(self._kept + self._pending, self.limit, self._deleted, self._refused)

    def take(self, size: int) -> None:
        """Take room for bytes about to be written.

        Raises
        ------
        DepotFullError
            Where there is none and nothing may be deleted; it says why.
        """
        if self.limit is None:
            return
        with self.lock:
            if self._kept + self._pending + size > self.limit:
                why = self._collect(size)
                if self._kept + self._pending + size > self.limit:
                    self._refused += 1
                    raise DepotFullError(
                        f"the depot is full ({self._kept + self._pending} of {self.limit} bytes): {why}.",
                        fix="Give it a larger volume and --max-size, or remove skills.",
                    )
            self._pending += size

    def drop(self, size: int) -> None:
        """Give back what was taken for a file that does not land."""
        if self.limit is not None:
            with self.lock:
                self._pending -= size

    @contextlib.contextmanager
    def landing(self, target: Path, size: int) -> Iterator[None]:
        """Let a file of some bytes take its name; what it replaces is not counted twice."""
        with self.lock:
            replaced = _cost_of(target) if self.limit is not None else 0
            yield
            if self.limit is not None:
                self._pending -= size
                self._kept += _cost(size) - replaced

    def touch(self, path: Path) -> None:
        """Note that a file is used; raises ``FileNotFoundError`` where it is gone."""
        with self.lock:
            now = self._clock()
            if now - path.stat().st_mtime > TOUCH_SECONDS:
                os.utime(path, (now, now))

    def _entries(self) -> Iterator[_Entry]:
        for kind in KINDS:
            for folder, _, names in os.walk(self._root / kind):
                for name in names:
                    path = Path(folder) / name
                    with contextlib.suppress(FileNotFoundError):
                        state = path.stat()
                        yield _Entry(state.st_mtime, path, _cost(state.st_size))

    def _collect(self, size: int) -> str:
        """Make room for some bytes and more, the lock held; return why there is not enough, if so."""
        assert self.limit is not None  # noqa: S101 - asked by take alone
        since, known = self._hopeless
        if time.monotonic() - since < _HOPELESS_SECONDS:
            return known
        entries = sorted(self._entries(), key=lambda entry: entry.used_at)
        self._kept = sum(entry.cost for entry in entries)
        wanted = min(int(self.limit * LOW_WATER), self.limit - size) - self._pending
        try:
            in_use = _InUse(self._root, now=self._clock())
        except _InDoubtError as doubt:
            why = str(doubt)
        else:
            self._delete(entries, in_use, wanted)
            why = in_use.why
        if self._kept + self._pending + size > self.limit:
            self._hopeless = (time.monotonic(), why)
        return why

    def _delete(self, entries: list[_Entry], in_use: _InUse, wanted: int) -> None:
        before = self._deleted
        for entry in entries:
            if self._kept <= wanted:
                break
            if in_use.keeps(entry):
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.path.stat().st_mtime == entry.used_at:
                    entry.path.unlink()
                    self._kept -= entry.cost
                    self._deleted += 1
        if self._deleted > before:
            log.info("%d files that nobody uses were deleted", self._deleted - before)


class _InUse:
    """What may not be deleted, by the marks that hold.

    Raises
    ------
    _InDoubtError
        Where a mark, or the record of a lock that one names, cannot be read.
    """

    def __init__(self, root: Path, *, now: float) -> None:
        self._root = root
        self._now = now
        self._locks: set[str] = set()
        self._paths: set[Path] = set()
        marks = [mark for mark in _marks(root) if mark["expires"] > now]
        self._patience = GRACE_SECONDS if marks else UNMARKED_SECONDS
        self.why = (
            "everything in it is in use, or was within the last hour"
            if marks
            else "no operator says what is in use, so that only what nobody used for 7 days may go"
        )
        for mark in marks:
            self._locks |= {hex_of(digest) for digest in mark["locks"]}
            for kind in ("contents", "inputs"):
                names = (hex_of(digest) for digest in mark[kind])
                self._paths |= {root / kind / name[:2] / name for name in names}
        for name in self._locks:
            self._add_lock(name)

    def _add_lock(self, name: str) -> None:
        path = self._root / "locks" / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        try:
            lock = Lock.from_json(_unsealed(data))
            artefacts = [split_artefact_digest(package.artefact.digest) for package in lock.packages]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _InDoubtError(f"the lock {name} is in use and its record cannot be read") from error
        self._paths.add(path)
        for algorithm, digest in artefacts:
            self._paths.add(self._root / "artefacts" / algorithm / digest[:2] / digest)
            self._paths |= {self._root / kind / f"{algorithm}-{digest}" for kind in ("facts", "malware")}

    def keeps(self, entry: _Entry) -> bool:
        """Whether a file is in use or may be; looks into a resolution's key for the lock that it leads to."""
        if self._now - entry.used_at < self._patience or entry.path in self._paths:
            return True
        kind, *_ = entry.path.relative_to(self._root).parts
        match kind:
            case "scans":
                return entry.path.parent.name in self._locks
            case "keys":
                try:
                    return hex_of(_unsealed(entry.path.read_bytes())["lockDigest"]) in self._locks
                except FileNotFoundError:
                    return False
                except (ValueError, KeyError, TypeError, AttributeError):
                    return True
            case _:
                return False


def write_mark(
    root: Path, holder: str, mark: Mapping[str, Any], write: Callable[[Path, bytes], None]
) -> None:
    """Keep a mark; the holder's text is no file name."""
    path = root / MARKS / hashlib.sha256(holder.encode()).hexdigest()
    write(path, json.dumps({"holder": holder, **mark}, sort_keys=True).encode())


def _marks(root: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((root / MARKS).iterdir()):
        try:
            mark = _unsealed(path.read_bytes())
            lists = [mark["locks"], mark["contents"], mark["inputs"]]
            for digest in (digest for items in lists for digest in items):
                hex_of(digest)
            mark["expires"] = float(mark["expires"])
        except Exception as error:
            raise _InDoubtError(f"the mark {path.name[:12]} of an operator cannot be read") from error
        yield mark


def _unsealed(data: bytes) -> dict[str, Any]:
    seal, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != seal:
        raise ValueError("the seal is broken")
    record: dict[str, Any] = json.loads(body)
    return record


def _cost(size: int) -> int:
    """Return what a file takes on the disk."""
    return -(-size // _BLOCK) * _BLOCK


def _cost_of(path: Path) -> int:
    try:
        return _cost(path.stat().st_size)
    except FileNotFoundError:
        return 0


def bounded(root: Path, max_size: int | None) -> int | None:
    """Return the limit for a store: what was asked for, or most of its file system if that is less."""
    if max_size is None:
        return None
    system = os.statvfs(root)
    return min(max_size, int(system.f_blocks * system.f_frsize * DISK_SHARE))
