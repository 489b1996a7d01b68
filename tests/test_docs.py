"""Docs that must say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.testing
from pydantic import BaseModel

from skillwarden.cli.main import COMMANDS, app
from skillwarden.domain.conditions import (
    AcceptedReason,
    NetworkReason,
    ResolvedReason,
    SandboxReason,
    ScannedReason,
)
from skillwarden.domain.verdict import ComplianceReason
from skillwarden.runtime.settings import Settings


def _variables(model: type[BaseModel], prefix: str) -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += _variables(inner, f"{prefix}{name.upper()}__")
        else:
            names.append(prefix + name.upper())
    return names


def test_every_setting_is_documented_and_every_documented_one_exists(repo_root: Path) -> None:
    text = (repo_root / "docs" / "operations" / "settings.md").read_text()
    documented = set(re.findall(r"`(SKILLWARDEN_[A-Z_]+)`", text))
    assert documented == set(_variables(Settings, "SKILLWARDEN_"))


@pytest.mark.parametrize(
    "reasons", [AcceptedReason, ResolvedReason, ScannedReason, ComplianceReason, NetworkReason, SandboxReason]
)
def test_every_reason_of_a_condition_is_documented(reasons: type, repo_root: Path) -> None:
    text = (repo_root / "docs" / "user" / "skills.md").read_text()
    missing = [str(reason) for reason in reasons if not re.search(rf"\b{reason}\b", text)]
    assert missing == []


def test_every_command_is_documented(repo_root: Path) -> None:
    text = (repo_root / "docs" / "user" / "cli.md").read_text()
    commands = typer.main.get_group(app).commands
    missing = [name for name in commands if not commands[name].hidden and f"`skillwarden {name}" not in text]
    assert len(commands) > 20
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    answer = typer.testing.CliRunner().invoke(app, [command, "--help"])
    assert answer.exit_code == 0
    assert "Usage" in answer.output


def test_every_page_can_be_reached_from_the_readme(repo_root: Path) -> None:
    reached, left = set(), [repo_root / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        targets = re.findall(r"\]\((?!https?:)([^)#]+\.md)", page.read_text())
        left += {(page.parent / target).resolve() for target in targets} - reached
    docs = repo_root / "docs"
    # The first page of the site stands in for the README there.
    assert set(docs.rglob("*.md")) - reached == {docs / "index.md"}
    own = set(re.findall(r"\]\(docs/([^)#]+)\)", (repo_root / "README.md").read_text()))
    assert {"README.md", "user/cli.md"} <= own


def test_files_that_the_readme_types_exist(repo_root: Path) -> None:
    named = re.findall(r"\bmanifests/[\w./-]+", (repo_root / "README.md").read_text())
    assert named
    assert [name for name in named if not (repo_root / name).exists()] == []


def test_links_between_pages_lead_somewhere(repo_root: Path) -> None:
    pages = [repo_root / "README.md", repo_root / "CONTRIBUTING.md", *(repo_root / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", re.sub(r"`[^`\n]+`", "", page.read_text()))
        if not (page.parent / target).exists()
    ]
    assert broken == []
