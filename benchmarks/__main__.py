"""``python -m benchmarks [NAME ...]``: run them, print one table, and hold them to the baseline.

What was measured is written to ``build/bench.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from . import advisories, burst, fairness, latency, lookup, public, scale, signals, verdict, webhook
from .measure import Measurement, machine, save, show
from .regression import AT_REST, TOLERANCE, Yardstick, load, ratios, regressions, store

NAMES = (
    "verdict",
    "lookup",
    "advisories",
    "signals",
    "webhook",
    "latency",
    "public",
    "fairness",
    "burst",
    "scale",
)
RESULTS = Path(__file__).resolve().parents[1] / "build" / "bench.json"


def run(name: str, *, skills: int, known: int) -> list[Measurement]:
    """Run one benchmark."""
    match name:
        case "verdict":
            return verdict.measure()
        case "lookup":
            return asyncio.run(lookup.measure())
        case "advisories":
            return asyncio.run(advisories.measure())
        case "signals":
            return signals.measure()
        case "webhook":
            return asyncio.run(webhook.measure())
        case "latency":
            return asyncio.run(latency.measure(known))
        case "public":
            return asyncio.run(public.measure())
        case "burst":
            return asyncio.run(burst.measure())
        case "fairness":
            return asyncio.run(fairness.measure())
        case _:
            return asyncio.run(scale.measure(skills))


def main() -> int:
    """Run what was asked for; a missed target is shown and no error, a regression and what breaks are one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument("--skills", type=int, default=5_000, help="of `scale`; the targets are for 5,000")
    parser.add_argument("--known", type=int, default=100, help="Skills with a known lock, of `latency`")
    parser.add_argument("--accept", action="store_true", help="make what is measured the baseline")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    print(machine(), file=sys.stderr)
    measurements: list[Measurement] = []
    comparable: dict[str, float] = {}
    large: set[str] = set()
    for name in options.names or NAMES:
        print(f"{name} ...", file=sys.stderr)
        yardstick = Yardstick.measure()
        measured = run(name, skills=options.skills, known=options.known)
        measurements += [_contention(yardstick), *measured]
        comparable |= ratios(name, measured, yardstick)
        large |= ratios(name, [item for item in measured if item.at_least], yardstick).keys()
    show(measurements)
    save(measurements, RESULTS)
    if options.accept:
        store(comparable)
        return 0
    return _held(comparable, frozenset(large))


def _contention(yardstick: Yardstick) -> Measurement:
    note = f"1 on a machine at rest; above {AT_REST:g} times by the wall clock are held to no baseline"
    return Measurement("wall clock over CPU time of fixed work", yardstick.contention, "x", note=note)


def _held(comparable: dict[str, float], large: frozenset[str]) -> int:
    """Say what became of the baseline; 1 where something got worse."""
    baseline = load()
    found = regressions(comparable, baseline, at_least=large)
    for regression in found:
        print(f"REGRESSION {regression}")
    held = len(comparable.keys() & baseline.keys())
    print(f"{held - len(found)} of {held} ratios are within {TOLERANCE:g} times the baseline.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
