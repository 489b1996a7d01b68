"""The benchmarks' baseline: what got worse is told, whatever the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import Measurement
from benchmarks.regression import TOLERANCE, Yardstick, load, ratios, regressions, store

REST = Yardstick(cpu=0.5, wall=0.5)
NUMBERS = st.floats(min_value=1e-6, max_value=1e6)


def row(name: str, value: float, unit: str = "s", target: float | None = 9.0) -> Measurement:
    return Measurement(name, value, unit, target)


@given(NUMBERS, NUMBERS, st.sampled_from(["s", "ms", "s CPU"]))
def test_a_machine_of_another_speed_gives_the_same_ratio(value: float, speed: float, unit: str) -> None:
    slow = Yardstick(cpu=REST.cpu * speed, wall=REST.wall * speed)
    [here] = ratios("b", [row("a", value, unit)], REST).values()
    [there] = ratios("b", [row("a", value * speed, unit)], slow).values()
    assert here == pytest.approx(there)


def test_milliseconds_are_no_seconds() -> None:
    assert ratios("b", [row("a", 1, "s")], REST) == ratios("b", [row("a", 1000, "ms")], REST)


def test_memory_and_counts_are_what_they_are() -> None:
    assert ratios("b", [row("a", 7, "MiB"), row("c", 3, "writes")], REST) == {"b: a": 7, "b: c": 3}


def test_beside_other_work_the_wall_clock_is_not_held() -> None:
    busy = Yardstick(cpu=0.5, wall=1.0)
    rows = [row("wall", 1, "s"), row("cpu", 1, "s CPU"), row("shown only", 1, "MiB", None)]
    assert set(ratios("b", rows, busy)) == {"b: cpu"}


def test_a_row_that_explains_another_has_its_name() -> None:
    rows = [row("start", 1), row("  memory", 2, "MiB"), row("change", 1), row("  memory", 3, "MiB")]
    found = ratios("scale", rows, REST)
    assert (found["scale: start, memory"], found["scale: change, memory"]) == (2, 3)


@given(NUMBERS, st.floats(min_value=0.01, max_value=100))
def test_what_grew_by_more_than_the_tolerance_is_told(was: float, factor: float) -> None:
    found = regressions({"a": was * factor}, {"a": was})
    assert bool(found) == (was * factor > was * TOLERANCE)
    large = regressions({"a": was * factor}, {"a": was}, at_least=frozenset({"a"}))
    assert bool(large) == (was * factor * TOLERANCE < was)


def test_a_first_write_where_there_was_none_is_told() -> None:
    [found] = regressions({"writes": 1.0}, {"writes": 0.0})
    assert str(found) == "writes: 1 instead of what it was (0, now 1)"
    assert regressions({"writes": 0.0}, {"writes": 0.0}) == []


def test_what_has_no_baseline_is_not_held_and_a_part_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert load(path) == {}
    store({"a": 1.0, "b": 2.0}, path)
    store({"b": 3.0}, path)
    assert load(path) == {"a": 1.0, "b": 3.0}
    assert regressions({"new": 9.0}, load(path)) == []


def test_the_stored_baseline_can_be_read() -> None:
    assert all(name.count(": ") and value >= 0 for name, value in load().items())
