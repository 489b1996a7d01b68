"""The host's view of a sandbox's processes, read from ``/proc``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its parent, its start in clock ticks since boot, its resident memory in bytes."""

    pid: int
    parent: int
    started: int
    resident: int


def processes() -> Iterator[Process]:
    """All processes of the host; one that ends meanwhile is left out."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything, a parenthesis too.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            yield Process(int(entry.name), int(fields[1]), int(fields[19]), int(fields[21]) * _PAGE)


def first_child(pid: int) -> int | None:
    """The oldest child: of a sandbox's process 1, the container's own command."""
    children = [each for each in processes() if each.parent == pid]
    return min(children, key=lambda each: (each.started, each.pid)).pid if children else None


def resident_bytes(root: int) -> int:
    """The memory that a process and all below it hold in RAM; shared pages count once for each holder."""
    everyone = list(processes())
    family = {root}
    grown = True
    while grown:
        found = {each.pid for each in everyone if each.parent in family} - family
        family |= found
        grown = bool(found)
    return sum(each.resident for each in everyone if each.pid in family)
