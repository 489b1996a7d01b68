"""Where audit records go: a stream such as standard output, or a file that a restart goes on with."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ..domain.errors import InvalidInputError
from .record import MAX_LINE, Chain, hash_of, line_of, parse

_TAIL = 4 * MAX_LINE


class Sink(Protocol):
    """Takes records, each linked to the one before it in this sink."""

    @property
    def name(self) -> str:
        """Which, for metrics: ``stdout`` or ``file``."""
        ...

    def open(self, now: datetime, fields: Mapping[str, Any]) -> None:
        """Begin, or go on with what is there; raises ``OSError`` where it cannot be written."""
        ...

    def write(self, event: str, time: datetime, fields: Mapping[str, Any]) -> None:
        """Append a record wholly or not at all; raises ``OSError`` where it cannot."""
        ...

    def sync(self) -> None:
        """Make what was written last as long as this machine's disk; raises ``OSError`` where it cannot."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class StreamSink:
    """A descriptor that somebody else collects, such as standard output; each process begins a chain.

    Parameters
    ----------
    descriptor
        Open for writing; it is not closed.
    """

    name = "stdout"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._chain = Chain()

    def open(self, now: datetime, fields: Mapping[str, Any]) -> None:
        """Begin a chain."""
        self.write("Start", now, fields)

    def write(self, event: str, time: datetime, fields: Mapping[str, Any]) -> None:
        """Append a record."""
        record = self._chain.link(event, time, fields)
        left = memoryview(line_of(record))
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._chain.take(record)

    def sync(self) -> None:
        """Leave it to whoever collects."""

    def close(self) -> None:
        """Leave the descriptor to its owner."""


class FileSink:
    """A file that is appended to, by one process at a time; a restart goes on with its chain.

    A line that a kill left half written is set aside in a file of its own beside it, and recorded. A file
    that is moved away (rotation) is followed by a new one that goes on with the chain.

    Parameters
    ----------
    path
        The file; made where it is absent, readable by its owner alone.
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chain = Chain()
        self._descriptor = -1
        self._size = 0
        self._half = False

    def open(self, now: datetime, fields: Mapping[str, Any]) -> None:
        """Open the file, find where its chain stands, and record the start.

        Raises
        ------
        InvalidInputError
            Where another process writes it: two would fork the chain.
        """
        self._open()
        try:
            self._begin(now, fields)
        except OSError:
            # Whoever tries again finds it as it is now.
            self.close()
            raise

    def _begin(self, now: datetime, fields: Mapping[str, Any]) -> None:
        last, torn = self._last()
        found: dict[str, Any] = {}
        if torn:
            found["torn"] = self._set_aside(torn)
        if last is not None:
            self._chain.take(last)
        elif self._size:
            found["follows"] = "a file whose last line is no record of ours, or was changed"
        self.write("Start", now, {**fields, **found})

    def write(self, event: str, time: datetime, fields: Mapping[str, Any]) -> None:
        """Append a record."""
        self._follow()
        if self._half:
            # It could not be taken back when it failed, and would break this line.
            os.ftruncate(self._descriptor, self._size)
            self._half = False
        # Not what we count: whoever rotates may cut the file.
        self._size = os.fstat(self._descriptor).st_size
        record = self._chain.link(event, time, fields)
        data = line_of(record)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._half = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                self._half = False
            raise
        self._size += len(data)
        self._chain.take(record)

    def sync(self) -> None:
        """Make what was written durable."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Make what was written durable, and close the file."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _set_aside(self, torn: bytes) -> dict[str, Any]:
        """Move what stands after the last whole line to a file of its own; return what is to be recorded."""
        digest = hashlib.sha256(torn).hexdigest()
        aside = self._path.with_name(f"{self._path.name}.torn-{digest[:12]}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(aside, flags, 0o600), "wb") as file:
            file.write(torn)
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._descriptor, self._size - len(torn))
        self._size -= len(torn)
        return {"bytes": len(torn), "sha256": digest, "file": aside.name}

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise InvalidInputError(
                f"another process writes the audit file {self._path}.",
                fix="Give each operator a file of its own (SKILLWARDEN_AUDIT_FILE).",
            ) from error
        except OSError:
            self.close()
            raise
        self._size = os.fstat(self._descriptor).st_size

    def _follow(self) -> None:
        """Go on in a new file where ours was moved away."""
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            there = None
        ours = os.fstat(self._descriptor) if self._descriptor >= 0 else None
        if ours is None or there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            self.close()
            self._open()

    def _last(self) -> tuple[dict[str, Any] | None, bytes]:
        """Return the file's last record where it is whole, and what stands after its last line."""
        start = max(0, self._size - _TAIL)
        data = os.pread(self._descriptor, self._size - start, start)
        lines, _, torn = data.rpartition(b"\n")
        record = parse(lines.rpartition(b"\n")[2]) if lines else None
        whole = record is not None and hash_of(record) == record.get("hash")
        return (record if whole else None), torn
