"""A scan seen against the lock that it is of: which findings are about which package, and what is missing.

None of it depends on policies or on the time, so it is worked out once for a lock and a scan; a change of a
policy judges every skill again, and most of what it would do again is this.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from .closure import Closure, Node, closure_of
from .finding import AGES, Finding, FindingKind, ScannerName, ScannerReport, ScanResult, ScanState
from .grounds import listed, one_line
from .lock import Lock
from .merge import merge_findings

#: Pairs of lock and scan that are remembered; a view of 250 packages weighs about 100 kB.
_REMEMBERED = 32

#: Of what a scanner says of its failure: with its name, no more than a ground's text may have.
MAX_ERROR = 360
#: What mends a scanner's error: nothing but time, or somebody. Both are of an operator, which looks again.
TRIED_AGAIN = "It is tried again by itself."
REPAIR = "Repair what the error names; it is tried again every few minutes."


class GapKind(StrEnum):
    """What a required scanner failed to give."""

    MISSING = "missing"
    ERROR = "error"
    COVERAGE = "coverage"


@dataclass(frozen=True, slots=True)
class ScanGap:
    """One required scanner that does not count as having answered.

    Attributes
    ----------
    scanner
        Which.
    kind
        No report on this lock, an error, or another set of packages than the lock's.
    message
        One stable sentence: what is missing and why.
    retryable
        Whether scanning again, with nothing else changed, may close it.
    fix
        What next, in one sentence.
    """

    scanner: ScannerName
    kind: GapKind
    message: str
    retryable: bool
    fix: str


@dataclass(frozen=True, slots=True)
class Ages:
    """Since when things of one kind are there.

    Attributes
    ----------
    undated
        Findings whose time nobody knows.
    dated
        The others, with the time (UTC), youngest first.
    """

    undated: Sequence[tuple[Node, Finding]]
    dated: Sequence[tuple[datetime, Node, Finding]]


@dataclass(frozen=True, slots=True)
class ScanView:
    """What a scan says of a lock.

    Attributes
    ----------
    findings
        Those that no passing of time settles, each with its package.
    licences
        Those of kind ``licence``, by licence: a closure has hundreds of packages and few licences.
    ages
        Those of the kinds in ``AGES``, by kind.
    gaps
        For each scanner that reported what its report lacks; ``None``: nothing.
    """

    findings: Sequence[tuple[Node, Finding]]
    licences: Mapping[str, Sequence[tuple[Node, Finding]]]
    ages: Mapping[FindingKind, Ages]
    gaps: Mapping[ScannerName, ScanGap | None]


_NOTHING = ScanView(findings=(), licences={}, ages={}, gaps={})
_VIEWS: OrderedDict[tuple[int, int], tuple[Lock, ScanResult, ScanView]] = OrderedDict()


def view_of(lock: Lock, scan: ScanResult | None) -> ScanView:
    """Return the view of a scan; remembered by identity, so that two equal scans cost two views."""
    if scan is None:
        return _NOTHING
    key = (id(lock), id(scan))
    # The entry holds both objects, so no other object can have their identity while it stands.
    known = _VIEWS.get(key)
    if known is not None:
        _VIEWS.move_to_end(key)
        return known[2]
    view = _look(lock, scan)
    _VIEWS[key] = (lock, scan, view)
    if len(_VIEWS) > _REMEMBERED:
        _VIEWS.popitem(last=False)
    return view


def _look(lock: Lock, scan: ScanResult) -> ScanView:
    closure = closure_of(lock)
    findings: list[tuple[Node, Finding]] = []
    by_age: dict[FindingKind, list[tuple[Node, Finding]]] = {}
    licences: dict[str, list[tuple[Node, Finding]]] = {}
    for finding in merge_findings(scan.reports):
        node = closure.by_id.get(finding.package)
        if node is None:
            continue  # the scanner's gap says so
        if finding.kind is FindingKind.LICENCE:
            licences.setdefault(finding.id, []).append((node, finding))
        elif finding.kind in AGES:
            by_age.setdefault(finding.kind, []).append((node, finding))
        else:
            findings.append((node, finding))
    gaps: dict[ScannerName, ScanGap | None] = {}
    for report in scan.reports:
        gap = _other_lock(report) if scan.lock_digest != lock.digest else _gap(report, closure)
        gaps[report.scanner] = gaps.get(report.scanner) or gap
    ages = {kind: _ages(found) for kind, found in by_age.items()}
    return ScanView(findings=findings, licences=licences, ages=ages, gaps=gaps)


def _ages(found: Sequence[tuple[Node, Finding]]) -> Ages:
    undated, dated = [], []
    for node, finding in found:
        published = finding.published_at
        if published is None:
            undated.append((node, finding))
        else:
            aware = published if published.tzinfo else published.replace(tzinfo=UTC)
            dated.append((aware, node, finding))
    dated.sort(key=lambda item: item[0], reverse=True)
    return Ages(undated=undated, dated=dated)


def missing(scanner: ScannerName) -> ScanGap:
    """Return the gap of a scanner that has not reported at all."""
    return ScanGap(
        scanner,
        GapKind.MISSING,
        message=f"no report by {scanner} on this lock.",
        retryable=True,
        fix="The lock is scanned next; nothing is launched before.",
    )


def _other_lock(report: ScannerReport) -> ScanGap:
    return ScanGap(
        report.scanner,
        GapKind.MISSING,
        message=f"the report by {report.scanner} is on another lock.",
        retryable=True,
        fix="The lock is scanned next; nothing is launched before.",
    )


def _gap(report: ScannerReport, closure: Closure) -> ScanGap | None:
    scanner = report.scanner
    if report.state is ScanState.ERROR:
        error = one_line(report.error, MAX_ERROR).rstrip(".") or "it gave no reason"
        # A scanner that looked at some of the packages erred in what it left out.
        partial = bool(report.audited) and report.audited != closure.ids_for(scanner)
        return ScanGap(
            scanner,
            GapKind.COVERAGE if partial else GapKind.ERROR,
            message=f"{scanner} ended in an error: {error}.",
            retryable=report.retryable,
            fix=TRIED_AGAIN if report.retryable else REPAIR,
        )
    if (report.state is ScanState.FINDINGS) != bool(report.findings):
        return ScanGap(
            scanner,
            GapKind.ERROR,
            message=f"{scanner} contradicts itself: state {report.state}, {len(report.findings)} findings.",
            retryable=False,
            fix="Rescan; if it stays so, report the scanner's version.",
        )
    odd = _difference(report, closure)
    if odd is None:
        return None
    return ScanGap(
        scanner,
        GapKind.COVERAGE,
        message=f"{scanner} {odd}.",
        retryable=False,
        fix="Rescan; if it stays so, pin versions that the scanner can read.",
    )


def _difference(report: ScannerReport, closure: Closure) -> str | None:
    """Say how what was audited differs from the lock's packages, or ``None`` where the two are equal."""
    expected = closure.ids_for(report.scanner)
    if report.audited != expected:
        left_out = [str(item) for item in sorted(expected - report.audited)]
        if left_out:
            return f"did not audit {listed(left_out)}"
        added = [str(item) for item in sorted(report.audited - expected)]
        return f"audited what it was not to look at: {listed(added)}"
    strangers = {str(found.package) for found in report.findings if found.package not in expected}
    if strangers:
        return f"found something about what it was not to look at: {listed(sorted(strangers))}"
    return None
