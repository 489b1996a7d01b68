"""What a benchmark measures, and how it is shown."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number beside what it should be.

    Attributes
    ----------
    name, value, unit
        What was measured.
    target
        The most that it may be, or with ``at_least`` the least; ``None``: shown only to explain another.
    peer, peer_value
        What it is compared with, measured in the same run, in the same unit.
    note
        What the number was measured on.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    peer: str = ""
    peer_value: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; ``None`` where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered)) - 1))]


def peak_mebibytes(process: str = "self") -> float:
    """Return the most memory that a process had resident (VmHWM); what it was forked from does not count."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc", process, "status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("the kernel does not say VmHWM")
    return int(found[1]) / 1024


def run_command(*arguments: str) -> tuple[float, float]:
    """Run ``skillwarden`` in silence; return its seconds, and the MiB of the largest of its processes."""
    command = [sys.executable, "-m", "skillwarden", *arguments]
    silent = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_WRONLY, 0) for descriptor in (1, 2)]
    started = time.perf_counter()
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise RuntimeError(
            f"skillwarden {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}"
        )
    return seconds, usage.ru_maxrss / 1024


def machine() -> str:
    """Describe this machine as far as it bears on the numbers."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()}, {python}"


def show(measurements: Iterable[Measurement]) -> None:
    """Print one table."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("what", "measured", "target", "", "compared with"):
        table.add_column(heading, justify="right" if heading in {"measured", "target"} else "left")
    for item in measurements:
        sign = ">=" if item.at_least else "<="
        target = "" if item.target is None else f"{sign} {_number(item.target)} {item.unit}"
        peer = f"{item.peer}: {_number(item.peer_value)} {item.unit}" if item.peer_value is not None else ""
        verdict = {True: "met", False: "MISSED", None: ""}[item.ok]
        table.add_row(item.name, f"{_number(item.value)} {item.unit}", target, verdict, peer or item.note)
    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)


def save(measurements: Iterable[Measurement], path: Path) -> None:
    """Write all of it as JSON, for comparisons over time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(item) | {"ok": item.ok, "machine": machine()} for item in measurements]
    path.write_text(json.dumps(rows, indent=2) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
