"""Archives from strangers: read without unpacking, within bounds, and refused where two readers could differ.

A package manager that unpacks the same bytes must see what was seen here, so names that stand twice or lead
elsewhere are refused instead of interpreted.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

#: Of one archive; the sandbox takes no more either.
MAX_MEMBERS = 200_000
MAX_UNPACKED_BYTES = 4 << 30
#: How much larger an archive may become: text compresses by 10 to 20 times, bombs by 1,000.
MAX_RATIO = 200
#: Below this, no ratio is a danger.
_HARMLESS_BYTES = 64 << 20
#: Of one member that is read.
MAX_READ_BYTES = 1 << 20


class UnreadableArchiveError(ValueError):
    """The archive is none, too large, or can be read in more than one way."""


@dataclass(slots=True)
class _Bounds:
    """What an archive may still hold."""

    allowed: int
    members: int = MAX_MEMBERS

    @classmethod
    def of(cls, path: Path) -> _Bounds:
        return cls(allowed=min(MAX_UNPACKED_BYTES, max(_HARMLESS_BYTES, path.stat().st_size * MAX_RATIO)))

    def take(self, size: int) -> None:
        self.allowed -= size
        self.members -= 1
        if self.members < 0:
            raise UnreadableArchiveError(f"it holds more than {MAX_MEMBERS} files")
        if self.allowed < 0:
            raise UnreadableArchiveError(
                f"it unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB, or {MAX_RATIO} times its size"
            )


def checked_name(name: str) -> str:
    """Return a member's name with its needless parts left out.

    Raises
    ------
    UnreadableArchiveError
        Where it leads out of the archive's folder, or systems would read it differently.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\\" in name or "\x00" in name:
        raise UnreadableArchiveError(f"a file in it would be written to {name[:200]!r}")
    return "/".join(parts)


@contextmanager
def readable() -> Iterator[None]:
    """Turn what the standard library raises on damaged archives into one error."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
    ) as error:
        raise UnreadableArchiveError(f"it cannot be read: {error or type(error).__name__}") from error


class ZipReader:
    """A zip archive's names, and the beginning of a member.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    UnreadableArchiveError
        Where it is no zip archive, breaks a bound, holds a link, or a name twice.
    """

    def __init__(self, path: Path) -> None:
        bounds = _Bounds.of(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        with readable():
            self._zip = zipfile.ZipFile(path)
        for info in self._zip.infolist():
            bounds.take(info.file_size)
            name = checked_name(info.filename)
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UnreadableArchiveError(f"{name[:200]!r} in it is a link")
            if name in self._members:
                raise UnreadableArchiveError(f"{name[:200]!r} stands in it twice")
            self._members[name] = info

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files, in the archive's order."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """Return a member's bytes.

        Raises
        ------
        UnreadableArchiveError
            Where it is damaged, or larger than what is read of one.
        """
        with readable(), self.open(name) as file:
            return bounded(file, name)

    def open(self, name: str) -> IO[bytes]:
        """Open a member, within ``readable``: what damage raises while it is read is the caller's to turn."""
        return self._zip.open(self._members[name])

    def peek(self, name: str, limit: int) -> bytes | None:
        """Return a member's bytes; ``None``: there are more than a limit. It raises as ``read``."""
        with readable(), self._zip.open(self._members[name]) as file:
            return _within(file, limit)


def peek_tarball(path: Path, names: Collection[str], *, limit: int) -> dict[str, bytes | None]:
    """Return the bytes of some files that ``read_tarball`` told of; ``None``: there are more than a limit."""
    found: dict[str, bytes | None] = {}
    if not names:
        return found
    with readable(), tarfile.open(path, mode="r:gz") as archive:
        for member in archive:
            name = checked_name(member.name).partition("/")[2]
            if name in names and member.isfile():
                source = archive.extractfile(member)
                assert source is not None  # noqa: S101 - a regular file has content
                found[name] = _within(source, limit)
    return found


def read_tarball(path: Path, *, wanted: Callable[[str], bool]) -> tuple[frozenset[str], dict[str, bytes]]:
    """Return the names in a gzipped tar below its first folder, and the bytes of those that are wanted.

    Links and devices are left out, as they are when a sandbox unpacks it; of a name that stands twice the
    last one counts, there as here.

    Raises
    ------
    UnreadableArchiveError
        Where it is no such archive, breaks a bound, or a path leads out of it.
    """
    names: set[str] = set()
    found: dict[str, bytes] = {}
    with readable():
        for name, source in tarball_files(path):
            names.add(name)
            if wanted(name):
                found[name] = bounded(source, name)
    return frozenset(names), found


def tarball_files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield names and bytes of a gzipped tar's files, as ``read_tarball`` sees them; within ``readable``."""
    bounds = _Bounds.of(path)
    with tarfile.open(path, mode="r:gz") as archive:
        for member in archive:
            bounds.take(max(member.size, 0))
            name = checked_name(member.name).partition("/")[2]
            if not member.isfile() or not name:
                continue
            source = archive.extractfile(member)
            assert source is not None  # noqa: S101 - a regular file has content
            yield name, source


def _within(file: IO[bytes], limit: int) -> bytes | None:
    data = file.read(limit + 1)
    return data if len(data) <= limit else None


def bounded(file: IO[bytes], name: str, limit: int = MAX_READ_BYTES) -> bytes:
    """Return the rest of a file.

    Raises
    ------
    UnreadableArchiveError
        Where it is larger than what is read of one.
    """
    data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadableArchiveError(f"{name[:200]!r} in it is larger than {limit >> 20} MiB")
    return data
