"""The chain: what was changed, left out or moved is found, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.audit.record import BEGINNING, Chain, hash_of, line_of, parse
from skillwarden.audit.verify import Verification, read, verify

NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
Lines = list[bytes]


def chain_of(count: int, *, name: str = "one", **fields: Any) -> Lines:
    chain, lines = Chain(name), []
    for number in range(count):
        record = chain.link("Verdict", NOW + timedelta(seconds=number), {"number": number, **fields})
        chain.take(record)
        lines.append(line_of(record))
    return lines


def verified(lines: Lines, **options: Any) -> Verification:
    return verify(read("file", lines), **options)


def test_a_whole_chain_is_whole_and_its_head_is_told() -> None:
    lines = chain_of(3)
    result = verified(lines)
    assert (result.records, result.problems, result.notes) == (3, [], [])
    assert result.heads["one"].previous == json.loads(lines[-1])["hash"]


def test_two_chains_may_stand_among_each_other_and_among_other_lines() -> None:
    mixed = [b"a log line\n", b'{"level": "info"}\n', b"{broken audit.skillwarden.io/v1\n"]
    for first, second in zip(chain_of(3), chain_of(3, name="two"), strict=True):
        mixed += [b"2026-11-27 stdout F " + first, second]
    result = verified(mixed)
    assert (result.records, result.problems, sorted(result.heads)) == (6, [], ["one", "two"])


def changed(lines: Lines) -> Lines:
    record = json.loads(lines[1])
    return [lines[0], line_of({**record, "number": 7}), lines[2], lines[3]]


def changed_with_its_hash(lines: Lines) -> Lines:
    record = json.loads(lines[1]) | {"number": 7}
    return [lines[0], line_of({**record, "hash": hash_of(record)}), lines[2], lines[3]]


def left_out(lines: Lines) -> Lines:
    return [lines[0], *lines[2:]]


def swapped(lines: Lines) -> Lines:
    return [lines[0], lines[2], lines[1], lines[3]]


def twice(lines: Lines) -> Lines:
    return [lines[0], lines[1], *lines[1:]]


def put_in(lines: Lines) -> Lines:
    record = json.loads(lines[1]) | {"event": "Approval"}
    return [*lines[:2], line_of({**record, "hash": hash_of(record)}), *lines[2:]]


def no_number(lines: Lines) -> Lines:
    return [lines[0], line_of({**json.loads(lines[1]), "seq": True}), *lines[2:]]


def begun_anew(lines: Lines) -> Lines:
    record = json.loads(lines[0]) | {"previous": "sha256:" + "1" * 64}
    return [line_of({**record, "hash": hash_of(record)}), *lines[1:]]


@pytest.mark.parametrize(
    ("tamper", "place", "words"),
    [
        (changed, "file:2", "was changed"),
        (changed_with_its_hash, "file:3", "does not follow on"),
        (left_out, "file:2", "1 record(s) between 1 and 3 are missing"),
        (swapped, "file:2", "are missing"),
        (twice, "file:3", "there twice"),
        (put_in, "file:3", "there twice"),
        (no_number, "file:2", "no whole record"),
        (begun_anew, "file:1", "follows on nothing"),
    ],
)
def test_what_was_done_to_a_chain_is_found(tamper: Callable[[Lines], Lines], place: str, words: str) -> None:
    result = verified(tamper(chain_of(4)))
    assert result.problems
    assert result.problems[0].startswith(f"{place}: ")
    assert words in result.problems[0]


def test_a_changed_record_is_not_called_missing_as_well() -> None:
    (problem,) = verified(changed(chain_of(4))).problems
    assert "was changed" in problem


def test_a_beginning_that_is_elsewhere_is_a_note_and_a_missing_head_a_problem() -> None:
    lines = chain_of(5)
    result = verified(lines[2:])
    assert result.problems == []
    assert "begins with record 3" in result.notes[0]
    head = json.loads(lines[-1])["hash"]
    assert verified(lines, expected_heads=[head]).problems == []
    assert "cut off" in verified(lines[:-1], expected_heads=[head]).problems[0]


def test_what_the_chain_says_was_lost_is_counted() -> None:
    chain = Chain("one")
    record = chain.link("Lost", NOW, {"records": 17})
    assert verified([line_of(record)]).lost == 17


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1), VALUES), st.integers(0, 200))
def test_every_record_survives_its_line_and_every_flipped_byte_shows(
    fields: dict[str, Any], place: int
) -> None:
    record = Chain("one").link("Verdict", NOW, {"fields": fields})
    line = line_of(record)
    assert line.count(b"\n") == 1
    assert parse(line) == record
    assert record["previous"] == BEGINNING
    assert verified([line]).problems == []
    at = place % (len(line) - 1)
    flipped = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
    # It is no record any more, or one that was changed.
    found = verified([flipped])
    assert found.records == 0 or found.problems
