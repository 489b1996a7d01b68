"""From advisories to findings: records of several databases about one thing are one finding.

Both advisory scanners use this, so that what both found carries one id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from skillwarden.advisories.index import MALICIOUS_PREFIX, Advisory
from skillwarden.advisories.ranges import parse_ordered
from skillwarden.advisories.record import order_versions
from skillwarden.advisories.severity import highest
from skillwarden.domain.finding import Finding, FindingKind, ScannerName
from skillwarden.domain.package import PackageId

#: Which database names the finding, first choice first; then by id.
_ID_ORDER = (MALICIOUS_PREFIX, "PYSEC-", "GHSA-", "CVE-")


def group(advisories: Iterable[Advisory]) -> list[tuple[Advisory, ...]]:
    """Return the advisories in groups that share an id or alias, directly or through another."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in advisories:
        names, members = {advisory.id, *advisory.aliases}, [advisory]
        apart = []
        for other_names, other_members in groups:
            if names & other_names:
                names |= other_names
                members = [*other_members, *members]
            else:
                apart.append((other_names, other_members))
        groups = [*apart, (names, members)]
    return sorted((tuple(sorted(members, key=_order)) for _, members in groups), key=lambda g: _order(g[0]))


def _order(advisory: Advisory) -> tuple[int, str]:
    rank = next(
        (rank for rank, prefix in enumerate(_ID_ORDER) if advisory.id.startswith(prefix)), len(_ID_ORDER)
    )
    return rank, advisory.id


def finding_of(package: PackageId, members: Sequence[Advisory], *, scanner: ScannerName) -> Finding:
    """Return the finding that a group of advisories makes for a package.

    Parameters
    ----------
    package
        The package that all of them affect.
    members
        As ``group`` returns them; the first names the finding.
    scanner
        Who reports it.
    """
    first = members[0]
    names = {name for member in members for name in (member.id, *member.aliases)} - {first.id}
    unevaluated = next((member.unevaluated for member in members if member.unevaluated), "")
    summary = next((member.summary for member in members if member.summary), "")
    if unevaluated:
        note = f"cannot be evaluated ({unevaluated}), so it counts for every version"
        summary = f"{note}: {summary}" if summary else note
    malicious = any(member.malicious for member in members)
    return Finding(
        kind=FindingKind.MALICIOUS if malicious else FindingKind.VULNERABILITY,
        package=package,
        id=first.id,
        severity=highest(member.severity for member in members),
        summary=summary,
        aliases=tuple(sorted(names)),
        fixed_versions=fixes(package, {fix for member in members for fix in member.fixed_versions}),
        scanners=(scanner,),
    )


def fixes(package: PackageId, versions: set[str]) -> tuple[str, ...]:
    """Return the fixing versions above the package's own, lowest first: going back is no fix."""
    ordered = order_versions({*versions, package.version}, package.ecosystem)
    if package.version not in ordered:
        return ordered
    own: Any = parse_ordered(package.version, package.ecosystem)
    return tuple(
        version for version in ordered if cast("Any", parse_ordered(version, package.ecosystem)) > own
    )


def findings_of(package: PackageId, advisories: Iterable[Advisory], *, scanner: ScannerName) -> list[Finding]:
    """Return one finding for each thing that the advisories are about."""
    return [finding_of(package, members, scanner=scanner) for members in group(advisories)]
