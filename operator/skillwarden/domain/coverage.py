"""Whether a scan is enough to judge by: a scanner that did not answer never reads as a pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .closure import Closure, closure_of
from .finding import SCANNERS_BY_KIND, FindingKind, ScannerName, ScannerReport, ScanResult, ScanState
from .grounds import listed, one_line
from .lock import Lock
from .policy import Enforcement, OnError, Policy

#: How far a sync may lie in the future before the clocks are taken to be wrong.
_CLOCK_SKEW = timedelta(minutes=5)


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


def enforcing(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Return the policies that decide."""
    return tuple(policy for policy in policies if policy.enforcement is Enforcement.ENFORCE)


def scanners_of(policy: Policy) -> frozenset[ScannerName]:
    """Return the scanners that one policy cannot do without."""
    kinds = (kind for kind in FindingKind if policy.findings.cares_for(kind))
    return frozenset().union(*(SCANNERS_BY_KIND[kind] for kind in kinds))


def required_scanners(policies: Sequence[Policy]) -> frozenset[ScannerName]:
    """Return the scanners that must have answered: whose findings some enforcing policy does not allow."""
    return frozenset().union(*(scanners_of(policy) for policy in enforcing(policies)))


def scan_gaps(lock: Lock, scan: ScanResult | None, policies: Sequence[Policy]) -> tuple[ScanGap, ...]:
    """Return what is missing from a scan, sorted by scanner; empty where it is enough to judge by.

    A lock without packages needs no scan.
    """
    if not lock.packages:
        return ()
    closure = closure_of(lock)
    gaps = []
    for scanner in sorted(required_scanners(policies)):
        if (gap := _gap(scanner, lock, scan, closure)) is not None:
            gaps.append(gap)
    return tuple(gaps)


def _gap(scanner: ScannerName, lock: Lock, scan: ScanResult | None, closure: Closure) -> ScanGap | None:
    if scan is not None and scan.lock_digest != lock.digest:
        return ScanGap(
            scanner,
            GapKind.MISSING,
            message=f"the scan by {scanner} is of another lock.",
            retryable=True,
            fix="The lock is scanned next; nothing is launched before.",
        )
    reports = [report for report in (scan.reports if scan else ()) if report.scanner is scanner]
    if not reports:
        return ScanGap(
            scanner,
            GapKind.MISSING,
            message=f"no report by {scanner} on this lock.",
            retryable=True,
            fix="The lock is scanned next; nothing is launched before.",
        )
    return next((gap for report in reports if (gap := _gap_of(report, closure)) is not None), None)


def _gap_of(report: ScannerReport, closure: Closure) -> ScanGap | None:
    scanner = report.scanner
    if report.state is ScanState.ERROR:
        error = one_line(report.error, 240).rstrip(".") or "it gave no reason"
        return ScanGap(
            scanner,
            GapKind.ERROR,
            message=f"{scanner} ended in an error: {error}.",
            retryable=report.retryable,
            fix="It is tried again by itself."
            if report.retryable
            else "Repair what the error names, then rescan.",
        )
    if (report.state is ScanState.FINDINGS) != bool(report.findings):
        return ScanGap(
            scanner,
            GapKind.ERROR,
            message=f"{scanner} contradicts itself: state {report.state}, {len(report.findings)} findings.",
            retryable=False,
            fix="Rescan; if it stays so, report the scanner's version.",
        )
    odd = _odd_ones(report, closure)
    if odd is None:
        return None
    return ScanGap(
        scanner,
        GapKind.COVERAGE,
        message=f"{scanner} {odd}.",
        retryable=False,
        fix="Rescan; if it stays so, pin versions that the scanner can read.",
    )


def _odd_ones(report: ScannerReport, closure: Closure) -> str | None:
    """Say how the audited set differs from the lock's, or ``None`` where the two are equal."""
    if report.audited != closure.ids:
        left_out = [str(item) for item in sorted(closure.ids - report.audited)]
        if left_out:
            return f"did not audit {listed(left_out)}"
        added = [str(item) for item in sorted(report.audited - closure.ids)]
        return f"audited what the lock does not hold: {listed(added)}"
    strangers = {str(finding.package) for finding in report.findings if finding.package not in closure.by_id}
    if strangers:
        return f"found something about what the lock does not hold: {listed(sorted(strangers))}"
    return None


def may_hold(scanner: ScannerName, policies: Sequence[Policy]) -> bool:
    """Whether every enforcing policy that needs a scanner lets what runs go on without it."""
    return all(
        policy.on_error is OnError.HOLD for policy in enforcing(policies) if scanner in scanners_of(policy)
    )


def advisory_deadline(policies: Sequence[Policy], synced_at: datetime | None) -> datetime | None:
    """Return when advisories become too old for some enforcing policy (UTC); ``None``: never."""
    ages = [policy.max_advisory_age for policy in enforcing(policies) if policy.max_advisory_age is not None]
    if synced_at is None or not ages:
        return None
    try:
        return synced_at + min(ages)
    except OverflowError:
        return None


def advisories_stale(
    policies: Sequence[Policy], synced_at: datetime | None, now: datetime, lock: Lock
) -> str | None:
    """Say why the advisories are too old to judge this lock by, or ``None`` where they are not.

    Parameters
    ----------
    policies
        All that apply; only enforcing ones count, and each of them cares for malicious packages.
    synced_at
        The last successful sync (UTC); ``None``: there was none.
    now
        The time (UTC).
    lock
        One without packages needs no advisories.
    """
    deciding = enforcing(policies)
    cares = any(
        policy.findings.cares_for(kind)
        for policy in deciding
        for kind in (FindingKind.VULNERABILITY, FindingKind.MALICIOUS)
    )
    if not lock.packages or not cares:
        return None
    if synced_at is None:
        return "advisories were never synced, so nobody knows what is vulnerable or malicious."
    if synced_at - now > _CLOCK_SKEW:
        return "the advisories' last sync lies in the future, so their age cannot be told."
    ages = [
        (policy.max_advisory_age, str(policy.ref))
        for policy in deciding
        if policy.max_advisory_age is not None
    ]
    if not ages:
        return None
    bound, ref = min(ages)
    if now - synced_at <= bound:
        return None
    return f"the advisories are older than the {duration(bound)} that {ref} allows (scanning.maxAdvisoryAge)."


def duration(value: timedelta) -> str:
    """Return a duration as Go writes it, in the largest units that lose nothing, e.g. ``72h``."""
    seconds = int(value.total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "m"), (seconds, "s")]
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"
