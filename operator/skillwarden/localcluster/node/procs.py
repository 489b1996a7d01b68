"""The host's view of a sandbox's processes, read from ``/proc``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its parent, and its start in clock ticks since boot."""

    pid: int
    parent: int
    started: int


def processes() -> Iterator[Process]:
    """All processes of the host; one that ends meanwhile is left out."""
    for entry in _entries():
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything, a parenthesis too.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            yield Process(int(entry.name), int(fields[1]), int(fields[19]))


def first_child(pid: int) -> int | None:
    """The oldest child: of a sandbox's process 1, the container's own command."""
    children = [each for each in processes() if each.parent == pid]
    return min(children, key=lambda each: (each.started, each.pid)).pid if children else None


def tasks_of(user: int) -> int:
    """How many threads a user's processes have, as RLIMIT_NPROC counts them."""
    count = 0
    for entry in _entries():
        with contextlib.suppress(OSError):
            lines = (entry / "status").read_text(errors="replace").splitlines()
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            if int(fields["Uid"].split()[0]) == user:
                count += int(fields["Threads"])
    return count


def memory_bytes(root: int) -> int:
    """The memory that a process and all below it hold in RAM; a page that several share counts once."""
    everyone = list(processes())
    family = {root}
    grown = True
    while grown:
        found = {each.pid for each in everyone if each.parent in family} - family
        family |= found
        grown = bool(found)
    return sum(_proportional(pid) for pid in family)


def _entries() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _proportional(pid: int) -> int:
    """A process's share of its memory: each page divided by how many map it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
