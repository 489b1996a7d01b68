"""What scanners report: findings, and the three states in which a scanner can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .package import Ecosystem, PackageId


class Severity(StrEnum):
    """Severity bands of CVSS v3.1 and v4 (FIRST), and Unknown, which is never the mildest."""

    CRITICAL = "Critical"
    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"
    UNKNOWN = "Unknown"


class FindingKind(StrEnum):
    """Kinds that a policy can rule on; each has at least one scanner."""

    VULNERABILITY = "vulnerability"
    MALICIOUS = "malicious"
    TYPOSQUAT = "typosquat"
    CONFUSION = "confusion"
    RELEASE_AGE = "releaseAge"
    PACKAGE_AGE = "packageAge"
    INSTALL_SCRIPT = "installScript"
    LICENCE = "licence"
    MALWARE = "malware"


class ScannerName(StrEnum):
    """The scanners, as reports and metrics name them."""

    OSV = "osv"
    PIP_AUDIT = "pip-audit"
    NPM_AUDIT = "npm-audit"
    TYPOSQUAT = "typosquat"
    CONFUSION = "confusion"
    AGE = "age"
    FIRST_SEEN = "first-seen"
    ARTEFACT = "artefact"
    MALWARE = "malware"


#: Which scanners must have answered before a kind of finding counts as looked for (DESIGN 1.1).
SCANNERS_BY_KIND: Mapping[FindingKind, frozenset[ScannerName]] = {
    FindingKind.VULNERABILITY: frozenset({ScannerName.OSV, ScannerName.PIP_AUDIT, ScannerName.NPM_AUDIT}),
    FindingKind.MALICIOUS: frozenset({ScannerName.OSV}),
    FindingKind.TYPOSQUAT: frozenset({ScannerName.TYPOSQUAT}),
    FindingKind.CONFUSION: frozenset({ScannerName.CONFUSION}),
    FindingKind.RELEASE_AGE: frozenset({ScannerName.AGE}),
    FindingKind.PACKAGE_AGE: frozenset({ScannerName.FIRST_SEEN}),
    FindingKind.INSTALL_SCRIPT: frozenset({ScannerName.ARTEFACT}),
    FindingKind.LICENCE: frozenset({ScannerName.ARTEFACT}),
    FindingKind.MALWARE: frozenset({ScannerName.MALWARE}),
}

#: Kinds whose findings have the names of advisories, several for one thing.
ADVISORIES = frozenset({FindingKind.VULNERABILITY, FindingKind.MALICIOUS})
#: Kinds that report since when something is there; the time of the verdict makes an age of it.
AGES = (FindingKind.RELEASE_AGE, FindingKind.PACKAGE_AGE)
#: Kinds that report a fact of every package, which only a policy makes a ground.
FACTS = frozenset({*AGES, FindingKind.LICENCE})
#: Scanners that read the artefacts themselves: the depot must have them first.
READS_ARTEFACTS = frozenset({ScannerName.ARTEFACT, ScannerName.MALWARE})

#: Scanners that look at the packages of one ecosystem only; the others look at all.
_ECOSYSTEM_BY_SCANNER: Mapping[ScannerName, Ecosystem] = {
    ScannerName.PIP_AUDIT: Ecosystem.PYPI,
    ScannerName.NPM_AUDIT: Ecosystem.NPM,
}


def looks_at(scanner: ScannerName, ecosystem: Ecosystem) -> bool:
    """Whether a scanner must have audited the packages of an ecosystem, and no others."""
    return _ECOSYSTEM_BY_SCANNER.get(scanner, ecosystem) is ecosystem


class ScanState(StrEnum):
    """How a scanner ended. There is no fourth state, and only PASS is a pass."""

    PASS = "pass"  # noqa: S105 - a state, not a password
    FINDINGS = "findings"
    ERROR = "error"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing a scanner found about one package.

    Attributes
    ----------
    kind
        What a policy rules on.
    package
        The package it is about. A finding made by name alone, before resolution, has version ``""``.
    id
        Stable identity within the kind: an advisory's id, the resembled name, ``released``, ``firstSeen``, a
        hook, an SPDX expression, a heuristic rule.
    severity
        For vulnerabilities; Unknown for the others.
    summary
        One line for a person, without newlines.
    aliases
        Other ids of the same thing (CVE, GHSA), sorted.
    fixed_versions
        Versions without it, lowest first.
    scanners
        Who reported it, sorted.
    published_at
        For ``releaseAge``: when the artefact was uploaded (UTC); for ``packageAge``: when the index received
        the project's first file. ``None`` when nobody knows.
    """

    kind: FindingKind
    package: PackageId
    id: str
    severity: Severity = Severity.UNKNOWN
    summary: str = ""
    aliases: tuple[str, ...] = ()
    fixed_versions: tuple[str, ...] = ()
    scanners: tuple[ScannerName, ...] = ()
    published_at: datetime | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; ``from_json`` reads it."""
        return {
            "kind": self.kind.value,
            "ecosystem": self.package.ecosystem.value,
            "name": self.package.name,
            "version": self.package.version,
            "id": self.id,
            "severity": self.severity.value,
            "summary": self.summary,
            "aliases": list(self.aliases),
            "fixedVersions": list(self.fixed_versions),
            "scanners": [scanner.value for scanner in self.scanners],
            "publishedAt": self.published_at.isoformat() if self.published_at else None,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Finding:
        """Read a record.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where the record is not one of ours.
        """
        published = record["publishedAt"]
        return cls(
            kind=FindingKind(record["kind"]),
            package=PackageId(Ecosystem(record["ecosystem"]), record["name"], record["version"]),
            id=record["id"],
            severity=Severity(record["severity"]),
            summary=record["summary"],
            aliases=tuple(record["aliases"]),
            fixed_versions=tuple(record["fixedVersions"]),
            scanners=tuple(ScannerName(name) for name in record["scanners"]),
            published_at=datetime.fromisoformat(published) if published else None,
        )


@dataclass(frozen=True, slots=True)
class ScannerReport:
    """How one scanner ended, and over which packages.

    Attributes
    ----------
    scanner
        Who reports.
    state
        How it ended.
    audited
        The packages that it really looked at; coverage is this set against the lock's.
    findings
        What it found; empty unless ``state`` is FINDINGS.
    error
        For ERROR: what went wrong and what next, in one line.
    retryable
        For ERROR: whether another try, with nothing else changed, may end otherwise.
    """

    scanner: ScannerName
    state: ScanState
    audited: frozenset[PackageId]
    findings: tuple[Finding, ...] = ()
    error: str = ""
    retryable: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; ``from_json`` reads it."""
        return {
            "scanner": self.scanner.value,
            "state": self.state.value,
            "audited": [[item.ecosystem.value, item.name, item.version] for item in sorted(self.audited)],
            "findings": [finding.to_json() for finding in self.findings],
            "error": self.error,
            "retryable": self.retryable,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ScannerReport:
        """Read a record; raises as ``Finding.from_json``."""
        return cls(
            scanner=ScannerName(record["scanner"]),
            state=ScanState(record["state"]),
            audited=frozenset(
                PackageId(Ecosystem(e), name, version) for e, name, version in record["audited"]
            ),
            findings=tuple(Finding.from_json(row) for row in record["findings"]),
            error=record["error"],
            retryable=bool(record["retryable"]),
        )


@dataclass(frozen=True, slots=True)
class ScanResult:
    """All reports on one lock at one revision of the advisories.

    Attributes
    ----------
    lock_digest
        Which lock.
    advisory_revision
        Which advisories; ``""`` where no scanner needed any.
    completed_at
        When the last scanner ended (UTC).
    reports
        One a scanner, sorted by scanner.
    """

    lock_digest: str
    advisory_revision: str
    completed_at: datetime
    reports: tuple[ScannerReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record that the depot keeps; ``from_json`` reads it."""
        return {
            "lockDigest": self.lock_digest,
            "advisoryRevision": self.advisory_revision,
            "completedAt": self.completed_at.isoformat(),
            "reports": [report.to_json() for report in self.reports],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ScanResult:
        """Read a record; raises as ``Finding.from_json``."""
        return cls(
            lock_digest=record["lockDigest"],
            advisory_revision=record["advisoryRevision"],
            completed_at=datetime.fromisoformat(record["completedAt"]),
            reports=tuple(ScannerReport.from_json(row) for row in record["reports"]),
        )
