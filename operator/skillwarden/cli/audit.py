"""``skillwarden audit``: reads audit records out of files and logs, verifies and filters them."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.table import Table

from ..audit.record import EVENTS
from ..audit.verify import Found, Verification, read, verify
from ..domain.errors import InvalidInputError
from .ending import WRONG_USE
from .terminal import output

app = typer.Typer(help="Read, verify and filter audit records.", no_args_is_help=True)
BROKEN = 1
VERDICTS = ("Allowed", "ApprovalRequired", "Denied", "Unknown")
#: The beginning of a time, down to milliseconds.
_TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,3})?)?)?)?)?)?")
_COLUMNS = ("time", "event", "actor", "namespace", "subject", "outcome", "why")

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Files with audit records, oldest first; - is standard input."),
]


class Form(StrEnum):
    """How records are shown."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@app.command("verify")
def verify_command(
    files: Files,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", help="Hash of a record that must be there, such as an earlier head."),
    ] = None,
) -> None:
    """Verify that no record was changed, left out or moved.

    Other lines, such as those of a log, are passed over. The chain shows every change but one: an end that
    was cut off. Keep the heads that this prints where whoever writes the files cannot go, and give them to
    --expect.

    Exit code 0: everything follows on one another. 1: it does not, or there is no record. 64: wrong use.
    """
    try:
        result = verify(_records(files), expected_heads=expect or ())
    except InvalidInputError as error:
        typer.echo(f"skillwarden audit verify: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    raise typer.Exit(_tell(result))


def _tell(result: Verification) -> int:
    for note in result.notes:
        typer.echo(f"note: {note}")
    for problem in result.problems:
        typer.echo(f"BROKEN {problem}")
    for name, head in sorted(result.heads.items()):
        typer.echo(f"chain {name}: head {head.seq} {head.previous}")
    lost = f", {result.lost} said to be lost" if result.lost else ""
    typer.echo(
        f"{result.records} records in {len(result.heads)} chain(s){lost}: {len(result.problems)} problem(s)"
    )
    if not result.records:
        typer.echo("There is no audit record in it, so nothing was verified.", err=True)
    return BROKEN if result.problems or not result.records else 0


@app.command("query")
def query_command(
    files: Files,
    *,
    skill: Annotated[str | None, typer.Option("--skill", help="NAMESPACE/NAME of a Skill.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="A namespace.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", help=f"{', '.join(EVENTS[:4])}, ...; may be repeated."),
    ] = None,
    verdict: Annotated[str | None, typer.Option("--verdict", help=f"{', '.join(VERDICTS)}.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Who did it.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From a time on, such as 2026-11-27T08:00.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time.")] = None,
    form: Annotated[Form, typer.Option("--output", "-o", help="How records are shown.")] = Form.TABLE,
) -> None:
    """Show the records that match all that is given.

    Times are ISO 8601 in UTC, as the records have them; a shorter one is the beginning of that day or hour.

    Exit code 0: shown. 64: wrong use.
    """
    try:
        events = {_one_of(EVENTS, item, option="--event") for item in event or ()}
        word = None if verdict is None else _one_of(VERDICTS, verdict, option="--verdict")
        begin, end = _time(since, option="--since"), _time(until, option="--until")
        wanted = {"namespace": namespace, "verdict": word, "actor": actor}
        if skill is not None:
            wanted["namespace"], wanted["skill"] = _skill(skill)
        found = [
            item.record
            for item in _records(files)
            if _matches(item.record, wanted, events, since=begin, until=end)
        ]
    except InvalidInputError as error:
        typer.echo(f"skillwarden audit query: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    _show(found, form, output())


def _skill(text: str) -> tuple[str, str]:
    namespace, separator, name = text.partition("/")
    if not (namespace and separator and name):
        raise InvalidInputError(f"--skill {text} is not NAMESPACE/NAME.")
    return namespace, name


def _one_of(known: tuple[str, ...], text: str, *, option: str) -> str:
    found = next((word for word in known if word.lower() == text.lower()), None)
    if found is None:
        raise InvalidInputError(f"{option} {text[:40]} is not one of {', '.join(known)}.")
    return found


def _time(text: str | None, *, option: str) -> str | None:
    """Return a time, or the beginning of one, without its Z, which would put it behind the records'."""
    if text is None:
        return None
    begun = text.removesuffix("Z")
    try:
        if not _TIME.fullmatch(begun):
            raise ValueError
        datetime.fromisoformat(begun + "0000-01-01T00:00:00.000"[len(begun) :])
    except ValueError as error:
        raise InvalidInputError(
            f"{option} {text[:40]} is no time.", fix="Write it in UTC, as 2026-11-27T08:00 or 2026-11-27."
        ) from error
    return begun


def _matches(
    record: dict[str, Any],
    wanted: dict[str, str | None],
    events: set[str],
    *,
    since: str | None,
    until: str | None,
) -> bool:
    if any(value is not None and record.get(name) != value for name, value in wanted.items()):
        return False
    if events and record.get("event") not in events:
        return False
    time = str(record.get("time", ""))
    return (since is None or time >= since) and (until is None or time < until)


def _show(records: list[dict[str, Any]], form: Form, console: Console) -> None:
    match form:
        case Form.JSON:
            typer.echo(json.dumps(records, indent=2))
        case Form.JSONL:
            for record in records:
                typer.echo(json.dumps(record))
        case Form.CSV:
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(_COLUMNS)
            writer.writerows([_cell(cell) for cell in _row(record)] for record in records)
            typer.echo(text.getvalue(), nl=False)
        case Form.TABLE:
            table = Table(box=None, pad_edge=False)
            for name in _COLUMNS:
                table.add_column(name.upper(), overflow="fold")
            for record in records:
                table.add_row(*(cell.replace("[", "\\[") for cell in _row(record)))
            console.print(table)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    names = ("run", "skill", "approval", "name", "operator")
    subject = next((str(record[name]) for name in names if record.get(name)), "")
    outcomes = ("pod",) if record.get("pod") else ("verdict", "effect", "maturity", "generation", "records")
    outcome = next((str(record[name]) for name in outcomes if record.get(name)), "")
    reasons: Any = next(
        (record[name] for name in ("added", "removed", "reasons", "bans") if record.get(name)), []
    )
    why = record.get("why") or record.get("message") or record.get("reason") or record.get("error") or ""
    shown = str(reasons[0]) if isinstance(reasons, list) and reasons else str(why)
    fixed = (str(record.get(name, "")) for name in _COLUMNS[:4])
    return (*fixed, subject, outcome, shown)


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _records(files: list[Path]) -> Iterator[Found]:
    for path in files:
        with _opened(path) as lines:
            yield from read(str(path), lines)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
