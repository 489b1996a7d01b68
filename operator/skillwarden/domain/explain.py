"""A verdict as a report: what was decided, what counted, by which path and rule, and what would fix it.

The same data for a terminal, for a script and for code scanning; ``cli.render`` turns it into text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .finding import Finding, FindingKind, Severity
from .grounds import listed, one_line
from .lock import Lock, LockedPackage
from .policy import Action, Maturity, PolicyRef
from .verdict import ComplianceReason, PendingApproval, Reason, Verdict


@dataclass(frozen=True, slots=True)
class SeverityCounts:
    """How many advisories of each severity concern a closure."""

    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.critical + self.high + self.medium + self.low + self.unknown

    def to_json(self) -> dict[str, int]:
        """Return the counts as ``status.findings`` spells them."""
        return {
            "critical": self.critical,
            "high": self.high,
            "medium": self.medium,
            "low": self.low,
            "unknown": self.unknown,
        }


def counts(findings: Iterable[Finding]) -> SeverityCounts:
    """Count advisories by severity.

    A malicious package counts as critical, whatever its record says. What a name, an age, a script or a
    licence shows has no severity and is not counted: it would drown the vulnerabilities in ``unknown``.
    """
    found: Counter[Severity] = Counter()
    for finding in findings:
        match finding.kind:
            case FindingKind.MALICIOUS:
                found[Severity.CRITICAL] += 1
            case FindingKind.VULNERABILITY:
                found[finding.severity] += 1
            case _:
                pass
    return SeverityCounts(
        critical=found[Severity.CRITICAL],
        high=found[Severity.HIGH],
        medium=found[Severity.MEDIUM],
        low=found[Severity.LOW],
        unknown=found[Severity.UNKNOWN],
    )


@dataclass(frozen=True, slots=True)
class PackageLine:
    """One package of the closure and what became of it.

    Attributes
    ----------
    package
        As locked.
    path
        What pulled it in, itself last.
    outcome
        The strictest reason about it; Allowed where there is none.
    findings
        What scanners said of it, whether or not it mattered.
    """

    package: LockedPackage
    path: tuple[str, ...]
    outcome: ComplianceReason
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that a report shows; plain values in a stable order.

    Attributes
    ----------
    subject
        The skill, as a person names it.
    headline
        The outcome in one sentence.
    allowed
        Whether it may run.
    reason
        The condition's reason.
    maturity
        The agent's.
    lock_digest, platform
        What the verdict binds to; ``None`` where it was made from names alone.
    packages
        The closure.
    counts
        Advisories by severity; ``None`` where nobody looked for them.
    reasons, audit
        What stands in the way, and what would if the policies in audit were enforced.
    pending
        What waits for approval.
    decided_by
        Policies and rules.
    """

    subject: str
    headline: str
    allowed: bool
    reason: ComplianceReason
    maturity: Maturity
    lock_digest: str | None
    platform: str | None
    packages: tuple[PackageLine, ...]
    counts: SeverityCounts | None
    reasons: tuple[Reason, ...]
    audit: tuple[Reason, ...]
    pending: tuple[PendingApproval, ...]
    decided_by: tuple[tuple[PolicyRef, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "subject": self.subject,
            "headline": self.headline,
            "allowed": self.allowed,
            "reason": self.reason.value,
            "maturity": self.maturity.value,
            "lockDigest": self.lock_digest,
            "platform": self.platform,
            "findings": self.counts.to_json() if self.counts else None,
            "reasons": [reason_json(reason) for reason in self.reasons],
            "audit": [reason_json(reason) for reason in self.audit],
            "pendingApprovals": [
                {
                    "declared": entry.title,
                    "packages": [item.purl for item in entry.packages],
                    "minMaturity": entry.min_maturity.value,
                }
                for entry in self.pending
            ],
            "decidedBy": [{"policy": str(policy), "rule": rule} for policy, rule in self.decided_by],
            "packages": [
                {
                    "name": line.package.id.name,
                    "version": line.package.id.version,
                    "purl": line.package.id.purl,
                    "sha256": line.package.artefact.digest,
                    "direct": line.package.direct,
                    "path": list(line.path),
                    "outcome": line.outcome.value,
                    "findings": [finding.to_json() for finding in line.findings],
                }
                for line in self.packages
            ],
        }


def reason_json(reason: Reason) -> dict[str, Any]:
    """Return one ground as a JSON-ready record."""
    package = reason.package
    return {
        "action": reason.action.value,
        "code": reason.code.value,
        "message": reason.message,
        "fix": reason.fix,
        "package": {"name": package.name, "version": package.version} if package else None,
        "path": list(reason.path),
        "policy": str(reason.policy) if reason.policy else None,
        "rule": reason.rule,
        "finding": reason.finding.to_json() if reason.finding else None,
        "sourceFinding": reason.source_finding.to_json() if reason.source_finding else None,
    }


def explain(
    verdict: Verdict,
    lock: Lock | None,
    findings: Sequence[Finding] = (),
    *,
    subject: str,
    maturity: Maturity,
    scanned: bool = True,
) -> Explanation:
    """Lay a verdict out for a reader.

    Parameters
    ----------
    verdict
        What was decided.
    lock
        The closure; ``None`` where the verdict was made from names alone.
    findings
        All that scanners found, merged (``evaluate.merge_findings``).
    subject
        The skill's name, for the headline.
    maturity
        The agent's.
    scanned
        Whether somebody looked for advisories, so that none found means that there are none.
    """
    return Explanation(
        subject=subject,
        headline=one_line(_headline(verdict, lock, subject), 600),
        allowed=verdict.allowed,
        reason=verdict.reason,
        maturity=maturity,
        lock_digest=lock.digest if lock else None,
        platform=str(lock.platform) if lock else None,
        packages=_lines(verdict.reasons, lock, findings) if lock else (),
        counts=counts(findings) if scanned else None,
        reasons=verdict.reasons,
        audit=verdict.audit_reasons,
        pending=verdict.pending,
        decided_by=verdict.decided_by,
    )


def _lines(reasons: Sequence[Reason], lock: Lock, findings: Sequence[Finding]) -> tuple[PackageLine, ...]:
    outcomes: dict[object, ComplianceReason] = {}
    for reason in reasons:  # strictest first
        outcomes.setdefault(reason.package, reason.code)
    found: Mapping[object, list[Finding]] = {package.id: [] for package in lock.packages}
    for finding in findings:
        if finding.package in found:
            found[finding.package].append(finding)
    return tuple(
        PackageLine(
            package=package,
            path=lock.paths[package.id],
            outcome=outcomes.get(package.id, ComplianceReason.ALLOWED),
            findings=tuple(found[package.id]),
        )
        for package in lock.packages
    )


def _headline(verdict: Verdict, lock: Lock | None, subject: str) -> str:
    first = verdict.reasons[0].message if verdict.reasons else ""
    more = len(verdict.reasons) - 1
    rest = f" (and {more} more)" if more > 0 else ""
    match verdict.reason:
        case ComplianceReason.ALLOWED:
            held = f"{len(lock.packages)} package(s)" if lock and lock.packages else "no packages"
            return f"{subject} is allowed, with {held}."
        case ComplianceReason.APPROVAL_REQUIRED:
            waiting = {name for entry in verdict.pending for name in _waiting(entry)}
            return f"{subject} waits for approval of {listed(sorted(waiting))}."
        case ComplianceReason.NO_VERDICT:
            return f"{subject} cannot be judged: {first}{rest}"
        case _:
            return f"{subject} is denied ({verdict.reason.value}): {first}{rest}"


def _waiting(entry: PendingApproval) -> list[str]:
    return [item.name for item in entry.packages] or [entry.title]


def outcome_word(action: Action) -> str:
    """Return what a ground does, as a person says it."""
    match action:
        case Action.ALLOW:
            return "allowed"
        case Action.REQUIRE_APPROVAL:
            return "needs approval"
        case Action.DENY:
            return "denied"
