"""What can be seen in a skill's own files: code and text that a person should look at before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .finding import Severity

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """One place in a skill's files.

    Attributes
    ----------
    rule
        Which rule it breaks, e.g. ``encoded-code``: its identity for approvals.
    severity
        How grave; never Unknown.
    path, line
        Where: below ``/skill/src``, or ``entrypoint.command``; and from 1.
    summary
        One line for a person.
    command
        Digest of the command that led to it; empty where the file says it whatever is run.
    """

    rule: str
    severity: Severity
    path: str
    line: int
    summary: str
    command: str = ""

    @property
    def place(self) -> str:
        """File and line, as an editor takes them."""
        return f"{self.path}:{self.line}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "path": self.path,
            "line": self.line,
            "summary": self.summary,
        }


def gravest_first(finding: SourceFinding) -> tuple[int, str, int, str]:
    """Sort key: gravest first, then by place."""
    return (_RANK[finding.severity], finding.path, finding.line, finding.rule)
