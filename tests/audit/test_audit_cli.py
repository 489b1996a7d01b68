"""``skillwarden audit``: what a person and a script get."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skillwarden.audit.record import EVENTS, Chain, line_of
from skillwarden.cli.audit import app

NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
RECORDS = (
    ("Start", {"version": "1"}),
    (
        "Verdict",
        {"namespace": "web", "skill": "shop", "verdict": "Denied", "reasons": ["=cmd|' /C calc'!A0"]},
    ),
    ("Verdict", {"namespace": "web", "skill": "news", "verdict": "Allowed"}),
    ("Launch", {"namespace": "web", "skill": "news", "pod": "news-0"}),
    ("Approval", {"namespace": "data", "approval": "a1", "actor": "dana", "effect": "Approved"}),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    chain, path = Chain("one"), tmp_path / "audit.jsonl"
    with path.open("wb") as target:
        target.write(b"a line of a log\n")
        for hours, (event, fields) in enumerate(RECORDS):
            record = chain.link(event, NOW + timedelta(hours=hours), fields)
            chain.take(record)
            target.write(line_of(record))
    return path


def invoke(*arguments: object, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(item) for item in arguments], input=given)


def found(*arguments: object) -> list[dict[str, object]]:
    answer = invoke("query", *arguments, "-o", "json")
    assert answer.exit_code == 0, answer.output
    return list(json.loads(answer.stdout))


def test_a_whole_file_verifies_and_a_changed_one_does_not(file: Path) -> None:
    whole = invoke("verify", file)
    assert whole.exit_code == 0
    assert "5 records in 1 chain(s): 0 problem(s)" in whole.stdout
    assert invoke("verify", "-", given=file.read_bytes()).exit_code == 0
    file.write_bytes(file.read_bytes().replace(b'"Denied"', b'"Allowed"'))
    broken = invoke("verify", file)
    assert broken.exit_code == 1
    assert f"BROKEN {file}:3: record 2 was changed" in broken.stdout


def test_a_head_that_is_not_there_any_more_is_a_problem(file: Path) -> None:
    head = invoke("verify", file).stdout.split("head 5 ")[1].split()[0]
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    assert invoke("verify", file).exit_code == 0
    assert invoke("verify", file, "--expect", head).exit_code == 1


def test_nothing_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("a log\n")
    assert invoke("verify", tmp_path / "empty").exit_code == 1
    assert invoke("verify", tmp_path / "absent").exit_code == 64


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ([], ["Start", "Verdict", "Verdict", "Launch", "Approval"]),
        (["--namespace", "web"], ["Verdict", "Verdict", "Launch"]),
        (["--skill", "web/news"], ["Verdict", "Launch"]),
        (["--event", "launch", "--event", "approval"], ["Launch", "Approval"]),
        (["--verdict", "Denied"], ["Verdict"]),
        (["--verdict", "denied"], ["Verdict"]),
        (["--actor", "dana"], ["Approval"]),
        (["--since", "2026-11-27T09", "--until", "2026-11-27T11"], ["Verdict", "Verdict"]),
        (["--since", "2026-11-27T11:00Z"], ["Launch", "Approval"]),
        (["--since", "2026-11-27T12:00:00Z", "--until", "2026-11-28"], ["Approval"]),
        (["--until", "2026-11-27T08:00:00.001"], ["Start"]),
    ],
)
def test_what_matches_is_shown(options: list[str], events: list[str], file: Path) -> None:
    assert [record["event"] for record in found(file, *options)] == events


def test_a_skill_without_its_namespace_is_refused(file: Path) -> None:
    answer = invoke("query", file, "--skill", "news")
    assert answer.exit_code == 64
    assert "NAMESPACE/NAME" in answer.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--event", "Verdit"),
        ("--verdict", "Deny"),
        ("--since", "yesterday"),
        ("--since", "2026-13-01"),
        ("--since", "2026-1"),
        ("--since", "2026-11-27 08:00"),
        ("--until", "2026-11-27T08:00+02:00"),
    ],
)
def test_what_no_record_can_match_is_refused(option: str, value: str, file: Path) -> None:
    answer = invoke("query", file, option, value)
    assert answer.exit_code == 64
    assert f"{option} {value} is" in answer.stderr


def test_every_event_is_known_and_documented(repo_root: Path) -> None:
    table = (repo_root / "docs" / "operations" / "audit.md").read_text().partition("| event | when |")[2]
    documented = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", table, flags=re.MULTILINE)))
    source = "".join(path.read_text() for path in (repo_root / "operator").rglob("*.py"))
    written = re.findall(r'(?:audit\.record|sink\.write|self\.write)\(\s*"(\w+)"', source)
    assert written
    assert set(written) <= set(EVENTS) == set(documented)


def test_a_spreadsheet_takes_no_cell_for_a_formula(file: Path) -> None:
    answer = invoke("query", file, "-o", "csv", "--verdict", "Denied")
    _, row = csv.reader(io.StringIO(answer.stdout))
    assert row[-1].startswith("'=")


def test_lines_are_records_again(file: Path) -> None:
    answer = invoke("query", file, "-o", "jsonl")
    assert invoke("verify", "-", given=answer.stdout.encode()).exit_code == 0
    assert "shop" in invoke("query", file).stdout
