"""``python -m benchmarks [NAME ...]``: run them, print one table, write build/bench.json."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from . import advisories, fairness, latency, lookup, public, scale, signals, verdict, webhook
from .measure import Measurement, machine, save, show

NAMES = ("verdict", "lookup", "advisories", "signals", "webhook", "latency", "public", "fairness", "scale")
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
        case "fairness":
            return asyncio.run(fairness.measure())
        case _:
            return asyncio.run(scale.measure(skills))


def contention() -> Measurement:
    """Measure how much longer than its CPU time a fixed piece of work takes: what else runs here."""
    started, cpu = time.perf_counter(), time.thread_time()
    sum(number * number for number in range(10_000_000))
    ratio = (time.perf_counter() - started) / (time.thread_time() - cpu)
    return Measurement("wall clock over CPU time of fixed work", ratio, "x", note="1 on a machine at rest")


def main() -> int:
    """Run what was asked for; a missed target is shown and no error, a benchmark that breaks is one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument("--skills", type=int, default=5_000, help="of `scale`; the targets are for 5,000")
    parser.add_argument("--known", type=int, default=100, help="Skills with a known lock, of `latency`")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    print(machine(), file=sys.stderr)
    measurements = []
    for name in options.names or NAMES:
        print(f"{name} ...", file=sys.stderr)
        measurements += [contention(), *run(name, skills=options.skills, known=options.known)]
    show(measurements)
    save(measurements, RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
