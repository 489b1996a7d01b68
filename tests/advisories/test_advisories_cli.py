"""``skillwarden advisories`` as its user sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from skillwarden.cli.advisories import app, default_folder
from skillwarden.runtime.settings import Settings

Make = Callable[..., dict[str, Any]]
MakeSource = Callable[..., Path]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKILLWARDEN_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_sync_then_status(make_record: Make, make_source: MakeSource, state: Path) -> None:
    source = make_source(make_record())
    synced = CliRunner().invoke(app, ["sync", "--from", str(source)])
    assert synced.exit_code == 0
    assert "new advisories: 1 for PyPI" in synced.output
    assert "nothing new" in CliRunner().invoke(app, ["sync", "--from", str(source)]).output
    status = CliRunner().invoke(app, ["status", "--format", "json"])
    told = json.loads(status.output)
    assert told["revision"].startswith("sha256:")
    assert told["ecosystems"]["PyPI"]["records"] == 1
    assert told["ageSeconds"] < 60
    assert told["path"] == str(state / "advisories")
    plain = CliRunner().invoke(app, ["status"]).output
    assert told["revision"] in plain
    assert "1 records about 1 packages" in plain


def test_sync_answers_in_json(make_record: Make, make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(make_record())
    arguments = ["sync", "--from", str(source), "--into", str(tmp_path / "i"), "--format", "json"]
    told = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (told["changed"], told["ecosystems"]["PyPI"]["records"]) == (True, 1)


@pytest.mark.usefixtures("state")
def test_status_without_advisories_fails_and_says_what_to_run() -> None:
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert "skillwarden advisories sync" in result.output


@pytest.mark.usefixtures("state")
def test_a_refused_source_fails_with_its_reason_and_force_takes_a_shrunk_one(
    make_record: Make, make_source: MakeSource, tmp_path: Path
) -> None:
    missing = CliRunner().invoke(app, ["sync", "--from", str(tmp_path / "nowhere")])
    assert missing.exit_code == 1
    assert "does not exist" in missing.output
    many = make_source(*[make_record(f"PYSEC-{number}") for number in range(10)])
    assert CliRunner().invoke(app, ["sync", "--from", str(many)]).exit_code == 0
    few = make_source(make_record(), name="few")
    assert CliRunner().invoke(app, ["sync", "--from", str(few)]).exit_code == 1
    assert CliRunner().invoke(app, ["sync", "--from", str(few), "--force"]).exit_code == 0


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SKILLWARDEN_STATE_DIR", "SKILLWARDEN_ADVISORIES_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "skillwarden" / "advisories"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "state" / "skillwarden" / "advisories"
    monkeypatch.setenv("SKILLWARDEN_STATE_DIR", str(tmp_path / "state"))
    assert default_folder() == tmp_path / "state" / "advisories"
    monkeypatch.setenv("SKILLWARDEN_ADVISORIES_DIR", str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere" == Settings().advisories
