"""Holds a run against a stored one, in ratios: what grew by more than half is a regression.

A second here is not a second there. Times are divided by the time that a fixed piece of work took just
before, on the same machine under the same load; memory, counts and ratios are what they are. Only what has a
target is held, and times by the wall clock only where nothing else ran.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .measure import Measurement

BASELINE = Path(__file__).with_name("baseline.json")
TOLERANCE = 1.5
#: Above this ratio of the wall clock to CPU time, times by the wall clock say what else ran.
AT_REST = 1.3
_SECONDS = {"s": 1.0, "ms": 1e-3, "s CPU": 1.0}


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a fixed piece of work took.

    Attributes
    ----------
    cpu, wall
        Seconds.
    """

    cpu: float
    wall: float

    @classmethod
    def measure(cls) -> Yardstick:
        """Do the work."""
        started, cpu = time.perf_counter(), time.thread_time()
        sum(number * number for number in range(10_000_000))
        return cls(time.thread_time() - cpu, time.perf_counter() - started)

    @property
    def contention(self) -> float:
        """How much longer than its CPU time it took: 1 on a machine at rest."""
        return self.wall / self.cpu


@dataclass(frozen=True, slots=True)
class Regression:
    """One number that got worse.

    Attributes
    ----------
    name
        Which, with its benchmark.
    was, now
        The ratios.
    """

    name: str
    was: float
    now: float

    def __str__(self) -> str:
        by = f"{self.now / self.was:.2g} times" if self.was and self.now else f"{self.now:g} instead of"
        return f"{self.name}: {by} what it was ({self.was:.3g}, now {self.now:.3g})"


def ratios(benchmark: str, measurements: Sequence[Measurement], yardstick: Yardstick) -> dict[str, float]:
    """Return what can be compared with another run, by the name of the benchmark and of the row."""
    return {
        f"{benchmark}: {name}": _ratio(item, yardstick)
        for name, item in _named(measurements)
        if item.target is not None and (item.unit not in {"s", "ms"} or yardstick.contention <= AT_REST)
    }


def _named(measurements: Sequence[Measurement]) -> Iterator[tuple[str, Measurement]]:
    """Give each row its name; one that explains another has that one's before it."""
    above = ""
    for item in measurements:
        if item.name.startswith(" "):
            yield f"{above}, {item.name.strip()}", item
        else:
            above = item.name
            yield above, item


def _ratio(item: Measurement, yardstick: Yardstick) -> float:
    seconds = _SECONDS.get(item.unit)
    return item.value if seconds is None else item.value * seconds / yardstick.cpu


def regressions(
    now: dict[str, float], baseline: dict[str, float], *, at_least: frozenset[str] = frozenset()
) -> list[Regression]:
    """Return what is worse than ``TOLERANCE`` times what it was; ``at_least`` names what should be large."""
    found = []
    for name in sorted(now.keys() & baseline.keys()):
        was, is_ = baseline[name], now[name]
        worse = is_ * TOLERANCE < was if name in at_least else is_ > was * TOLERANCE
        if worse:
            found.append(Regression(name, was, is_))
    return found


def load(path: Path = BASELINE) -> dict[str, float]:
    """Return the stored ratios; none where none are stored."""
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def store(now: dict[str, float], path: Path = BASELINE) -> None:
    """Store these ratios; those of benchmarks that did not run stay."""
    path.write_text(json.dumps(load(path) | now, indent=1, sort_keys=True) + "\n")
