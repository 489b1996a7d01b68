"""One finding for one thing: what several scanners, or several records, say of the same vulnerability.

Counted twice it frightens twice, and an approval of the one spelling would leave the other standing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from .finding import ADVISORIES, Finding, FindingKind, ScannerReport, Severity
from .package import PackageId
from .ranges import sort_versions

_SEVERITY = {
    severity: rank
    for rank, severity in enumerate(
        (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
    )
}
#: OSV's prefix for packages made to do harm (OpenSSF malicious-packages).
_MALICIOUS_PREFIX = "MAL-"
#: Which of several ids a merged finding is known by: the one with the most useful page behind it.
_PREFERRED = (_MALICIOUS_PREFIX, "GHSA-", "PYSEC-", "CVE-")


def severity_rank(severity: Severity) -> int:
    """Return the place of a severity among the others, Unknown lowest: for sorting, never for judging."""
    return _SEVERITY[severity]


def merge_findings(reports: Iterable[ScannerReport]) -> tuple[Finding, ...]:
    """Return what all reports found, each thing once, sorted.

    Advisories about one package are the same where their ids and aliases overlap, directly or through a
    third. The merged finding has the highest severity that anybody knows, all aliases and fixed versions,
    and is malicious if any of them is. A report's state does not matter: what an erring scanner did find
    counts.
    """
    advisories: dict[PackageId, list[Finding]] = {}
    others: dict[tuple[FindingKind, PackageId, str], list[Finding]] = {}
    for report in reports:
        for finding in report.findings:
            if finding.kind in ADVISORIES:
                advisories.setdefault(finding.package, []).append(finding)
            else:
                others.setdefault((finding.kind, finding.package, finding.id), []).append(finding)
    merged = [_merge_others(same) for same in others.values()]
    for found in advisories.values():
        merged += [_merge_advisories(same) for same in _same_thing(found)]
    return tuple(sorted(merged, key=_place))


def _place(finding: Finding) -> tuple[str, str, str, str, str]:
    package = finding.package
    return package.ecosystem.value, package.name, package.version, finding.kind.value, finding.id


def _names(finding: Finding) -> set[str]:
    return {finding.id, *finding.aliases}


def _same_thing(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Group the findings of one package whose ids or aliases overlap, transitively."""
    groups: list[tuple[set[str], list[Finding]]] = []
    for finding in findings:
        names, members = _names(finding), [finding]
        apart = []
        for group in groups:
            if group[0].isdisjoint(names):
                apart.append(group)
            else:
                names |= group[0]
                members += group[1]
        groups = [*apart, (names, members)]
    return [members for _, members in groups]


def _merge_advisories(same: Sequence[Finding]) -> Finding:
    names = set().union(*(_names(finding) for finding in same))
    best = min((finding.id for finding in same), key=_preference)
    malicious = any(name.startswith(_MALICIOUS_PREFIX) for name in names) or any(
        finding.kind is FindingKind.MALICIOUS for finding in same
    )
    return replace(
        _first(same, best),
        kind=FindingKind.MALICIOUS if malicious else FindingKind.VULNERABILITY,
        severity=max((finding.severity for finding in same), key=severity_rank),
        aliases=tuple(sorted(names - {best})),
        fixed_versions=sort_versions(
            same[0].package.ecosystem, (version for finding in same for version in finding.fixed_versions)
        ),
        scanners=tuple(sorted({scanner for finding in same for scanner in finding.scanners})),
    )


def _merge_others(same: Sequence[Finding]) -> Finding:
    if len(same) == 1:
        return same[0]
    return replace(
        _first(same, same[0].id),
        severity=max((finding.severity for finding in same), key=severity_rank),
        aliases=tuple(sorted({alias for finding in same for alias in finding.aliases})),
        scanners=tuple(sorted({scanner for finding in same for scanner in finding.scanners})),
        published_at=_youngest(same),
    )


def _first(same: Sequence[Finding], best: str) -> Finding:
    """Return the finding that lends its id and, if it has one, its summary."""
    ordered = sorted(same, key=lambda finding: (finding.id != best, not finding.summary, finding.summary))
    summary = next((finding.summary for finding in ordered if finding.summary), "")
    return replace(ordered[0], summary=summary)


def _youngest(same: Sequence[Finding]) -> datetime | None:
    """Return the latest upload; nobody's knowledge makes up for somebody's not knowing."""
    known = [finding.published_at for finding in same if finding.published_at is not None]
    return max(known) if len(known) == len(same) else None


def _preference(identity: str) -> tuple[int, str]:
    for rank, prefix in enumerate(_PREFERRED):
        if identity.startswith(prefix):
            return rank, identity
    return len(_PREFERRED), identity
