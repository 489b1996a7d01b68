"""For people: the headline, what stands in the way and its fix, the closure, and what waits for approval.

Everything that others wrote (names, advisories) goes through ``Text``, never through Rich's markup, so that
a package cannot colour or hide a line of its own report.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...domain.explain import Explanation, PackageLine, SeverityCounts, outcome_word
from ...domain.finding import FindingKind
from ...domain.grounds import chain, one_line
from ...domain.policy import Action
from ...domain.verdict import ComplianceReason, Reason
from .problem import Problem

#: Short enough to stand whole in a column of 80.
_WORDS = {
    ComplianceReason.ALLOWED: "allowed",
    ComplianceReason.APPROVAL_REQUIRED: "needs approval",
    ComplianceReason.DENIED: "denied",
    ComplianceReason.BANNED: "banned",
    ComplianceReason.MATURITY_TOO_LOW: "maturity too low",
    ComplianceReason.NO_POLICY: "no policy",
    ComplianceReason.NO_VERDICT: "not judged",
}
_STYLES = {Action.ALLOW: "green", Action.REQUIRE_APPROVAL: "yellow", Action.DENY: "red"}


def render_table(explanation: Explanation, console: Console, *, problems: Sequence[Problem] = ()) -> None:
    """Print an explanation; plain text where the console is no terminal."""
    style = "green" if explanation.allowed else _headline_style(explanation.reason)
    console.print(Text(explanation.headline, style=f"bold {style}"))
    console.print(Text(_facts(explanation), style="dim"))
    _problems(console, problems)
    _reasons(console, "What stands in the way", explanation.reasons)
    if explanation.pending:
        _heading(console, "Waiting for approval")
        for entry in explanation.pending:
            packages = ", ".join(str(item).strip() for item in entry.packages)
            line = (
                f"{entry.title}: {packages or entry.content_digest} (maturity"
                f" {entry.min_maturity.value} or higher)"
            )
            _indented(console, Text(one_line(line, 2000)))
    _reasons(console, "In audit only (would stand in the way if enforced)", explanation.audit)
    if explanation.packages:
        _heading(console, f"Closure: {len(explanation.packages)} package(s)")
        console.print(_closure(explanation.packages, fancy=console.is_terminal))
    if explanation.allowed and explanation.decided_by:
        _heading(console, "Allowed by")
        for policy, rule in explanation.decided_by:
            _indented(console, Text(one_line(f"{policy}, {rule}")))


def _headline_style(reason: ComplianceReason) -> str:
    waits = {ComplianceReason.APPROVAL_REQUIRED, ComplianceReason.NO_VERDICT}
    return "yellow" if reason in waits else "red"


def _facts(explanation: Explanation) -> str:
    facts = [f"Maturity {explanation.maturity.value}"]
    if explanation.lock_digest:
        facts.append(
            f"lock {explanation.lock_digest.removeprefix('sha256:')[:12]} for {explanation.platform}"
        )
        facts.append(f"advisories: {_numbers(explanation.counts)}")
    return "; ".join(facts) + "."


def _numbers(number: SeverityCounts | None) -> str:
    if number is None:
        return "not scanned"
    return (
        f"{number.critical} critical, {number.high} high, {number.medium} medium, {number.low} low,"
        f" {number.unknown} unknown"
    )


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _problems(console: Console, problems: Sequence[Problem]) -> None:
    if not problems:
        return
    _heading(console, "What must be mended first")
    for problem in problems:
        grid = _grid()
        word = Text(problem.code or problem.reason, style="red" if problem.definite else "yellow")
        grid.add_row(word, Text(one_line(problem.message, 2000)))
        if problem.fix:
            grid.add_row(Text("fix", style="dim"), Text(one_line(problem.fix, 2000), style="cyan"))
        _indented(console, grid)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, min_width=14)
    grid.add_column(overflow="fold")
    return grid


def _indented(console: Console, what: RenderableType) -> None:
    # Expanded, every line would be padded with blanks up to the console's width.
    console.print(Padding(what, (0, 0, 0, 2), expand=False))


def _reasons(console: Console, title: str, reasons: Sequence[Reason]) -> None:
    if not reasons:
        return
    _heading(console, title)
    for reason in reasons:
        _indented(console, _reason(reason))


def _reason(reason: Reason) -> Table:
    grid = _grid()
    word = Text(outcome_word(reason.action), style=_STYLES[reason.action])
    grid.add_row(word, Text(reason.message))
    if len(reason.path) > 1:
        grid.add_row(Text("path", style="dim"), Text(one_line(chain(reason.path))))
    if reason.policy is not None:
        grid.add_row(Text("by", style="dim"), Text(one_line(f"{reason.policy}, {reason.rule}")))
    if reason.fix:
        grid.add_row(Text("fix", style="dim"), Text(reason.fix, style="cyan"))
    return grid


def _closure(lines: Sequence[PackageLine], *, fancy: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD if fancy else None, pad_edge=False, show_edge=False)
    for heading in ("Package", "Version", "Pulled in by", "Outcome", "Advisories"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "Outcome")
    for line in lines:
        advisories = [
            f"{finding.id} ({finding.severity.value})"
            for finding in line.findings
            if finding.kind in {FindingKind.VULNERABILITY, FindingKind.MALICIOUS}
        ]
        table.add_row(
            Text(one_line(line.package.id.name)),
            Text(one_line(line.package.id.version)),
            Text("declared" if line.package.direct else one_line(chain(line.path[:-1]))),
            Text(_WORDS[line.outcome], style="" if line.outcome is ComplianceReason.ALLOWED else "bold"),
            Text(one_line(", ".join(advisories))),
        )
    return table
