"""Builds an index from dumps, in a process of its own: ``python -m skillwarden.advisories.build``.

Parsing hundreds of megabytes of JSON would hold the operator's event loop for many seconds, and bytes from
elsewhere are parsed here, so it is a process with a memory limit that a deadline can kill. It reads one
JSON line from standard input and writes JSON lines: progress, then one result or one error.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .dumps import DEFAULT_LIMITS, Limits, find_dumps, read_dump
from .errors import SyncError
from .record import Record, UnreadableRecordError, one_line, parse_record
from .store import IndexWriter

MEMORY_LIMIT = 2 * 1024 * 1024 * 1024
#: A larger share of unreadable records means that the dump is not what it should be.
MAX_UNREADABLE_SHARE = 0.005
_SHOWN = 10
_PROGRESS_SECONDS = 0.2


def build_index(
    source: Path, target: Path, *, progress: Callable[[int, int], None], limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Build a new index file.

    Parameters
    ----------
    source
        A folder as ``find_dumps`` takes it.
    target
        The new file.
    progress
        Called with the records read and the records in all, a few times a second.

    Returns
    -------
    A JSON-ready record: ``revision``, ``counts``, ``read``, ``unreadable``, ``examples``, ``ignored``.

    Raises
    ------
    SyncError
        Where the source is refused.
    """
    dumps, ignored = find_dumps(source, limits=limits)
    total = sum(dump.records for dump in dumps)
    writer = IndexWriter(target)
    read = unreadable = 0
    examples: list[str] = []
    last = 0.0
    for dump in dumps:
        for name, data in read_dump(dump, limits=limits):
            record, problem = _read(name, data)
            if record is not None:
                writer.add(record)
            if problem:
                unreadable += 1
                examples.append(problem)
                del examples[_SHOWN:]
            read += 1
            if time.monotonic() - last > _PROGRESS_SECONDS:
                last = time.monotonic()
                progress(read, total)
    progress(read, total)
    if unreadable > MAX_UNREADABLE_SHARE * read:
        raise SyncError(
            f"{unreadable} of {read} advisory records in {source} cannot be read, e.g. {examples[0]}.",
            fix="A dump with so many is damaged or not OSV's schema 1.x; the index was left as it was.",
        )
    summary = writer.finish()
    return {
        "revision": summary.revision,
        "counts": {ecosystem.value: asdict(counts) for ecosystem, counts in summary.counts.items()},
        "read": read,
        "unreadable": unreadable,
        "examples": examples,
        "ignored": ignored,
    }


def _read(name: str, data: bytes) -> tuple[Record | None, str]:
    """Return what can be read of a record, and what cannot."""
    try:
        record = parse_record(data)
    except UnreadableRecordError as error:
        return None, one_line(f"{name}: {error}")
    return record, one_line(f"{name}: {'; '.join(record.problems)}") if record.problems else ""


def main() -> int:
    """Serve one request from standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    request = json.loads(sys.stdin.readline())

    def say(kind: str, **values: Any) -> None:
        sys.stdout.write(json.dumps({"kind": kind, **values}) + "\n")
        sys.stdout.flush()

    try:
        result = build_index(
            Path(request["source"]),
            Path(request["target"]),
            progress=lambda done, total: say("progress", done=done, total=total),
            limits=Limits(**request["limits"]),
        )
    except SyncError as error:
        say("error", message=error.message, fix=error.fix)
        return 1
    except MemoryError:
        say("error", message=f"The dump needs more than {MEMORY_LIMIT} bytes of memory.", fix="")
        return 1
    say("result", **result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
