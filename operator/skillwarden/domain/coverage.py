"""Whether a scan is enough to judge by: a scanner that did not answer never reads as a pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from .finding import SCANNERS_BY_KIND, FindingKind, ScannerName, ScanResult, looks_at
from .lock import Lock
from .policy import Enforcement, OnError, Policy
from .scan_view import GapKind, ScanGap, missing, view_of

__all__ = [
    "GapKind",
    "ScanGap",
    "advisories_stale",
    "advisory_deadline",
    "duration",
    "enforcing",
    "may_hold",
    "required_scanners",
    "scan_gaps",
    "scanners_of",
]

#: How far a sync may lie in the future before the clocks are taken to be wrong.
_CLOCK_SKEW = timedelta(minutes=5)


def enforcing(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Return the policies that decide."""
    return tuple(policy for policy in policies if policy.enforcement is Enforcement.ENFORCE)


def scanners_of(policy: Policy) -> frozenset[ScannerName]:
    """Return the scanners that one policy cannot do without."""
    kinds = (kind for kind in FindingKind if policy.findings.cares_for(kind))
    return frozenset().union(*(SCANNERS_BY_KIND[kind] for kind in kinds))


def required_scanners(policies: Sequence[Policy], lock: Lock) -> frozenset[ScannerName]:
    """Return the scanners that must have answered on a lock.

    They are those whose findings some enforcing policy does not allow, and that look at what the lock holds.
    """
    wanted: frozenset[ScannerName] = frozenset().union(
        *(scanners_of(policy) for policy in enforcing(policies))
    )
    return frozenset(
        scanner for scanner in wanted if any(looks_at(scanner, ecosystem) for ecosystem in lock.ecosystems)
    )


def scan_gaps(lock: Lock, scan: ScanResult | None, policies: Sequence[Policy]) -> tuple[ScanGap, ...]:
    """Return what is missing from a scan, sorted by scanner; empty where it is enough to judge by.

    A lock without packages needs no scan.
    """
    if not lock.packages:
        return ()
    known = view_of(lock, scan).gaps
    found = (
        known[scanner] if scanner in known else missing(scanner)
        for scanner in sorted(required_scanners(policies, lock))
    )
    return tuple(gap for gap in found if gap is not None)


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
