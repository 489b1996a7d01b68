"""Reading audit records out of files and logs, and finding what was changed, left out or moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .record import BEGINNING, Chain, hash_of, parse


@dataclass(frozen=True, slots=True)
class Found:
    """A record and where it stands.

    Attributes
    ----------
    place
        File and line, from 1.
    record
        As it was read; nothing of it is believed yet.
    """

    place: str
    record: dict[str, Any]


@dataclass(slots=True)
class Verification:
    """What verifying came to.

    Attributes
    ----------
    records, lost
        How many there are, and how many the chains themselves say were lost.
    problems
        What is wrong, one sentence each with its place; empty: nothing.
    notes
        What the reader should know although it is no problem.
    heads
        Where each chain ends, by its name: whoever keeps these elsewhere will see a cut-off end.
    """

    records: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    heads: dict[str, Chain] = field(default_factory=dict)


def read(name: str, lines: Iterable[bytes]) -> Iterator[Found]:
    """Yield the audit records among some lines; other lines are passed over."""
    for number, line in enumerate(lines, 1):
        record = parse(line)
        if record is not None:
            yield Found(f"{name}:{number}", record)


def verify(records: Iterable[Found], *, expected_heads: Iterable[str] = ()) -> Verification:
    """Verify records in the order given: those of each chain must follow on one another.

    Parameters
    ----------
    records
        In order; records of several chains may stand among each other.
    expected_heads
        Hashes that must be among the records, such as the heads of an earlier verification.
    """
    result = Verification()
    missing = dict.fromkeys(expected_heads)
    for found in records:
        result.records += 1
        missing.pop(str(found.record.get("hash")), None)
        problem = _problem(found, result)
        if problem:
            result.problems.append(f"{found.place}: {problem}")
    result.problems += [f"the record {digest} is not there: an end was cut off" for digest in missing]
    return result


def _problem(found: Found, result: Verification) -> str | None:
    """Say what is wrong with a record where it stands, and stand at it if it is whole."""
    record = found.record
    name, seq, previous = record.get("chain"), record.get("seq"), record.get("previous")
    if not (isinstance(name, str) and type(seq) is int and isinstance(previous, str)):
        return "it is no whole record"
    if hash_of(record) != record.get("hash"):
        claimed = result.heads.setdefault(name, Chain(name))
        if seq == claimed.seq + 1 and isinstance(record.get("hash"), str):
            # It stands where it says, so that what follows on it is not called missing.
            claimed.take(record)
        return f"record {seq} was changed: its hash is not that of its content"
    if record.get("event") == "Lost":
        result.lost += record["records"] if type(record.get("records")) is int else 0
    head = result.heads.get(name)
    problem = _link_problem(head, seq, previous)
    if head is None and seq > 1:
        result.notes.append(
            f"{found.place}: chain {name} begins with record {seq}; what came before is not here"
        )
    chain = result.heads.setdefault(name, Chain(name))
    if head is None or seq > head.seq:
        chain.take(record)
    return problem


def _link_problem(head: Chain | None, seq: int, previous: str) -> str | None:
    if head is None:
        return (
            "the first record follows on nothing that could be"
            if seq == 1 and previous != BEGINNING
            else None
        )
    if seq <= head.seq:
        return f"record {seq} stands after record {head.seq}: moved, or there twice"
    if seq > head.seq + 1:
        return f"{seq - head.seq - 1} record(s) between {head.seq} and {seq} are missing"
    if previous != head.previous:
        return f"record {seq} does not follow on record {head.seq}: one of both was put in another's place"
    return None
