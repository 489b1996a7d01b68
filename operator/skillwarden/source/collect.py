"""Collecting what is found in one file: once a rule and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from skillwarden.domain.finding import Severity
from skillwarden.domain.source_finding import SourceFinding, gravest_first

from .signs import Sign

_MILDER = {
    Severity.CRITICAL: Severity.HIGH,
    Severity.HIGH: Severity.MEDIUM,
    Severity.MEDIUM: Severity.LOW,
    Severity.LOW: Severity.LOW,
}


@dataclass(slots=True)
class Collector:
    """Findings about one file.

    Attributes
    ----------
    path
        The file.
    offset
        Added to every line: of a fragment, the line before it.
    milder
        Whether everything counts a degree less: an example in a text is not code that runs.
    note
        Put before every summary, such as ``decoded:``.
    found
        By rule and line.
    """

    path: str
    offset: int = 0
    milder: bool = False
    note: str = ""
    found: dict[tuple[str, int], SourceFinding] = field(default_factory=dict)

    def add(self, rule: str, severity: Severity, line: int, summary: str) -> None:
        """Keep a finding, unless this rule was broken as gravely on this line already."""
        if self.milder:
            severity = _MILDER[severity]
        self.keep(SourceFinding(rule, severity, self.path, line + self.offset, f"{self.note}{summary}"))

    def keep(self, finding: SourceFinding) -> None:
        """Keep what was found by another collector, on the same terms."""
        # All of them: where only so many are kept, the first hide what is graver and comes later.
        known = self.found.setdefault((finding.rule, finding.line), finding)
        if gravest_first(finding) < gravest_first(known):
            self.found[finding.rule, finding.line] = finding

    def signs(self, text: str, signs: Iterable[Sign], *, line: int = 1) -> None:
        """Keep what signs find in a text that begins at a line."""
        for sign in signs:
            at, counted = line, 0
            for match in sign.pattern.finditer(text):
                at += text.count("\n", counted, match.start())
                counted = match.start()
                self.add(sign.rule, sign.severity, at, sign.summary)

    def has(self, *rules: str) -> bool:
        """Whether any of some rules was broken."""
        return any(rule in rules for rule, _ in self.found)

    def inside(self, *, line: int, note: str) -> Collector:
        """Return a collector for what stands inside of a constant on one line; it keeps into this one."""
        return _Fixed(self.path, self.offset, self.milder, f"{self.note}{note} ", self.found, line)


@dataclass(slots=True)
class _Fixed(Collector):
    """Everything counts for the line of the constant that held it."""

    at: int = 1

    def add(self, rule: str, severity: Severity, line: int, summary: str) -> None:
        Collector.add(self, rule, severity, self.at, summary)
