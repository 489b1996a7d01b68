"""docs/operations/troubleshooting.md: a row for each reason that the code can set, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

from skillwarden.domain import conditions
from skillwarden.domain.approval_request import Effect
from skillwarden.domain.verdict import ComplianceReason

#: The heading below which the reasons of a condition stand.
SECTIONS: dict[str, type[StrEnum]] = {
    "Accepted": conditions.AcceptedReason,
    "Resolved": conditions.ResolvedReason,
    "Scanned": conditions.ScannedReason,
    "Compliant": ComplianceReason,
    "NetworkIsolated": conditions.NetworkReason,
    "SandboxReady": conditions.SandboxReason,
    "Accepted of a run": conditions.RunAcceptedReason,
    "Complete": conditions.RunCompleteReason,
    "Accepted of a policy": conditions.PolicyAcceptedReason,
    "Accepted of an agent": conditions.AgentAcceptedReason,
    "Effective": Effect,
}
PEOPLE = {"nobody", "author", "reviewer", "policy", "platform"}


@pytest.fixture(scope="module")
def tables(repo_root: Path) -> dict[str, list[list[str]]]:
    """The rows of each section's table by heading."""
    text = (repo_root / "docs" / "operations" / "troubleshooting.md").read_text()
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
    return {
        heading: [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in body.splitlines()
            if "| `" in line[:3]
        ]
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_condition_has_a_section(tables: dict[str, list[list[str]]]) -> None:
    assert set(tables) == set(SECTIONS)
    reasons = {
        name
        for name, found in vars(conditions).items()
        if isinstance(found, type) and issubclass(found, StrEnum) and name.endswith("Reason")
    }
    assert reasons <= {section.__name__ for section in SECTIONS.values()}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_reason_has_a_row_that_says_who_acts_and_what_to_do(
    section: str, tables: dict[str, list[list[str]]]
) -> None:
    rows = tables[section]
    assert [row[0].strip("`") for row in rows] == [str(reason) for reason in SECTIONS[section]]
    for reason, meaning, who, remedy in rows:
        assert meaning, reason
        assert who in PEOPLE, reason
        assert remedy or who == "nobody", reason


@pytest.mark.parametrize("section", SECTIONS)
def test_every_reason_is_set_somewhere(section: str, repo_root: Path) -> None:
    source = "".join(path.read_text() for path in (repo_root / "operator").rglob("*.py"))
    reasons = SECTIONS[section]
    # A run takes what is remarked about its agent from the Skill's reasons, which have the same words.
    names = "AcceptedReason" if reasons is conditions.RunAcceptedReason else rf"\b{reasons.__name__}"
    unused = [reason.name for reason in reasons if not re.search(rf"{names}\.{reason.name}\b", source)]
    assert unused == []


def test_no_condition_has_a_reason_that_is_only_a_text(
    repo_root: Path, tree_of: Callable[[Path], ast.Module]
) -> None:
    literal = [
        node.args[2].value
        for path in sorted((repo_root / "operator" / "skillwarden").rglob("*.py"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "ConditionDraft"
        and len(node.args) > 2
        and isinstance(node.args[2], ast.Constant)
    ]
    assert literal == ["Ready"]
