"""Writes an artefact's code to a folder, for a scanner that reads files, in a process of its own.

    python -I -B -m skillwarden.artefact.unpack [FOLDER pypi|npm FILE]...

Prints one JSON object a line, in the order asked: ``{"files": count}``, or ``{"unreadable": reason}``. Only
regular files whose names or first lines say that they are code are written, below ``package/`` as they stand
in the archive, or below ``renamed/`` with the suffix that says so.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .archive import UnreadableArchiveError, ZipReader, bounded, checked_name, readable, tarball_files

#: What GuardDog's rules look at (its runner refuses rules that look at nothing of this).
CODE = (
    ".py",
    ".pyx",
    ".pyi",
    ".pth",
    ".js",
    ".jsx",
    ".mjs",
    ".cjs",
    ".ts",
    ".tsx",
    ".go",
    ".rs",
    ".rb",
    ".gemspec",
    ".sh",
    "package.json",
)
ORIGINAL = "package"
RENAMED = "renamed"
MAX_FILE_BYTES = 32 << 20
MAX_BYTES = 256 << 20
MAX_FILES = 100_000
MEMORY_BYTES = 1 << 30
CPU_SECONDS = 120
_FIRST_LINE = 256
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})


def main(arguments: list[str]) -> int:
    """Set the limits, unpack, print how it went."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for place in range(0, len(arguments), 3):
        folder, ecosystem, file = arguments[place : place + 3]
        sys.stdout.write(json.dumps(_record(Path(folder), ecosystem, Path(file))) + "\n")
        sys.stdout.flush()
    return 0


def _record(folder: Path, ecosystem: str, file: Path) -> dict[str, Any]:
    try:
        return {"files": unpack(file, ecosystem, folder)}
    except UnreadableArchiveError as error:
        return {"unreadable": str(error)}
    except MemoryError:
        return {"unreadable": f"reading it takes more than {MEMORY_BYTES >> 20} MiB"}


def unpack(file: Path, ecosystem: str, folder: Path) -> int:
    """Write the code of an artefact below a folder that is there and empty; return how many files.

    Raises
    ------
    UnreadableArchiveError
        Where it cannot be read in one way only, or holds more than is looked at.
    """
    left, files = MAX_BYTES, 0
    with readable():
        for name, source in _members(file, ecosystem):
            start = source.read(_FIRST_LINE)
            place = place_of(name, start)
            if place is None:
                continue
            data = start + bounded(source, name, MAX_FILE_BYTES - len(start))
            left, files = left - len(data), files + 1
            if left < 0 or files > MAX_FILES:
                raise UnreadableArchiveError(
                    f"it holds more code than is looked at ({MAX_BYTES >> 20} MiB, {MAX_FILES} files)"
                )
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return files


def _members(file: Path, ecosystem: str) -> Iterator[tuple[str, IO[bytes]]]:
    match ecosystem:
        case "npm":
            yield from tarball_files(file)
        case "pypi":
            reader = ZipReader(file)
            for name in reader.names:
                with reader.open(name) as source:
                    yield name, source
        case other:
            raise SystemExit(f"{other} is neither pypi nor npm")


def place_of(name: str, start: bytes) -> str | None:
    """Return where a file goes: ``None`` where neither its name nor its first line says that it is code.

    Parameters
    ----------
    name
        In the archive, checked.
    start
        Its first bytes: a command without a suffix says there what runs it.
    """
    checked_name(name)
    if name.endswith(CODE):
        return f"{ORIGINAL}/{name}"
    suffix = PurePosixPath(name).suffix.lower()
    # Node takes .JS, and whatever else it does not know, for JavaScript.
    suffix = suffix if suffix in CODE else _by_first_line(start)
    return f"{RENAMED}/{name}{suffix}" if suffix else None


def original_name(place: str) -> str:
    """Return the name in the archive of what was written to some place."""
    top, _, name = place.partition("/")
    return name.rpartition(".")[0] if top == RENAMED else name


def _by_first_line(start: bytes) -> str:
    line, _, _ = start.partition(b"\n")
    if not line.startswith(b"#!"):
        return ""
    words = [word.rpartition("/")[2] for word in line[2:].decode("utf-8", "replace").split()]
    for word in words:
        if word.startswith(("python", "pypy")):
            return ".py"
        if word in {"node", "nodejs", "bun", "deno"}:
            return ".js"
        if word in _SHELLS:
            return ".sh"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
