"""Container logs: lines with a time, in files with a bound, readable while they grow.

A line is ``<RFC 3339 time> <stream> <F|P> <text>`` as a CRI runtime writes it: F ends a line, P is a piece of
one.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What a reader asks: the query of ``pods/{name}/log``."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry of a log file."""

    time: str
    full: bool
    text: bytes

    def rendered(self, *, timestamps: bool) -> bytes:
        stamp = f"{self.time} ".encode() if timestamps else b""
        return stamp + self.text + (b"\n" if self.full else b"")


class ContainerLog:
    """The log of one start of a container: one writer, any number of readers."""

    def __init__(self, path: Path, *, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._size = 0
        self._rotations = 0
        self._closed = False
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()

    @property
    def rotated(self) -> Path:
        """The one older file that is kept."""
        return self._path.with_suffix(self._path.suffix + ".1")

    async def pump(self, stream: asyncio.StreamReader, *, name: str) -> None:
        """Write what a container says on one stream until its end."""
        rest = b""
        while chunk := await stream.read(_PIECE_BYTES * 4):
            rest += chunk
            *lines, rest = rest.split(b"\n")
            entries = [entry for line in lines for entry in _pieces(line, full=True)]
            while len(rest) >= _PIECE_BYTES:
                entries.append((False, rest[:_PIECE_BYTES]))
                rest = rest[_PIECE_BYTES:]
            await self._append(name, entries)
        if rest:
            await self._append(name, [(True, rest)])

    async def _append(self, name: str, entries: list[tuple[bool, bytes]]) -> None:
        if not entries:
            return
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        prefix = f"{stamp} {name} ".encode()
        data = b"".join(prefix + (b"F " if full else b"P ") + text + b"\n" for full, text in entries)
        async with self._lock:
            await asyncio.to_thread(self._write, data)
        async with self._changed:
            self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        if self._size + len(data) > self._limit and self._size:
            self._path.replace(self.rotated)
            self._size = 0
            self._rotations += 1
        with self._path.open("ab") as file:
            file.write(data)
        self._size += len(data)

    async def close(self) -> None:
        """No more will be written: readers that follow come to their end."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def tail(self, limit: int, *, lines: int) -> str:
        """The end of the log as text, at most so many bytes and lines: a termination message's fall-back."""
        options = LogOptions(tail_lines=lines)
        text = b"".join(
            line.rendered(timestamps=False) for line in await asyncio.to_thread(self._select, options)
        )
        return text[-limit:].decode(errors="replace")

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """The log, then with ``follow`` what comes, until the container ends."""
        left = options.limit_bytes
        async with self._lock:
            position = (self._rotations, self._size)
            chosen = await asyncio.to_thread(self._select, options)
        fresh: Iterable[LogLine] = chosen
        while True:
            data = b"".join(line.rendered(timestamps=options.timestamps) for line in fresh)
            if left is not None:
                data = data[:left]
                left -= len(data)
            if data:
                yield data
            if not options.follow or left == 0:
                return
            async with self._changed:
                while not self._closed and (self._rotations, self._size) == position:
                    await self._changed.wait()
            async with self._lock:
                now = (self._rotations, self._size)
                fresh = await asyncio.to_thread(self._since, position)
            if self._closed and now == position:
                return
            position = now

    def _since(self, position: tuple[int, int]) -> list[LogLine]:
        """The entries after a position; what was rotated away since is lost."""
        rotations, offset = position
        if rotations == self._rotations:
            return list(_parse(self._path, offset=offset))
        older = list(_parse(self.rotated, offset=offset)) if rotations == self._rotations - 1 else []
        return [*older, *_parse(self._path)]

    def _select(self, options: LogOptions) -> list[LogLine]:
        lines = (*_parse(self.rotated), *_parse(self._path))
        if options.since is not None:
            since = options.since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            lines = tuple(line for line in lines if line.time >= since)
        if options.tail_lines is None:
            return list(lines)
        return _last(lines, options.tail_lines)


def _last(lines: tuple[LogLine, ...], count: int) -> list[LogLine]:
    """The last so many whole lines: pieces belong to the entry that ends them."""
    chosen: deque[LogLine] = deque()
    for line in reversed(lines):
        if line.full or not chosen:
            count -= 1
        if count < 0:
            break
        chosen.appendleft(line)
    return list(chosen)


def _pieces(line: bytes, *, full: bool) -> Iterator[tuple[bool, bytes]]:
    while len(line) > _PIECE_BYTES:
        yield False, line[:_PIECE_BYTES]
        line = line[_PIECE_BYTES:]
    yield full, line


def _parse(path: Path, *, offset: int = 0) -> Iterator[LogLine]:
    try:
        with path.open("rb") as file:
            file.seek(offset, os.SEEK_SET)
            for raw in file:
                time, _, rest = raw.rstrip(b"\n").partition(b" ")
                _, _, rest = rest.partition(b" ")
                tag, _, text = rest.partition(b" ")
                yield LogLine(time.decode(), tag == b"F", text)
    except FileNotFoundError:
        return
