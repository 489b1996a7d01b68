"""Scanner ``confusion``: names and versions by which a public package stands in for a company's own.

Dependency confusion (A. Birsan, 2021): somebody publishes the name of an internal package in the public
index, under a version above every real one.
Judged by name and version alone; a popular package is never flagged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache

from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport
from skillwarden.domain.lock import Lock, LockedPackage
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId

from .protocol import answered, packages_of
from .toplist import known_good, top_names

INTERNAL_NAME = "internal-name"
HIGH_VERSION = "version-above-99"
MAX_MAJOR = 99
#: Words by which companies call what is theirs; placeholders of documentation among them.
_OWN = frozenset(
    (
        *("acme", "company", "companyname", "contoso", "corp", "corporate", "corpname", "enterprise"),
        *("inhouse", "internal", "intranet", "mycompany", "mycorp", "myorg", "organization", "orgname"),
        *("ourcompany", "private", "yourcompany"),
    )
)
#: What such packages are about. A name of only these words after an own one says nothing of any product.
_GENERIC = frozenset(
    (
        *("api", "app", "apps", "auth", "backend", "base", "bot", "build"),
        *("cli", "client", "clients", "cloud", "common", "component", "components", "config"),
        *("configs", "connector", "core", "data", "database", "db", "design", "event"),
        *("events", "frontend", "gateway", "helper", "helpers", "http", "infra", "js"),
        *("kit", "lib", "libs", "library", "log", "logger", "logging", "logs"),
        *("metrics", "middleware", "model", "models", "module", "monitoring", "package", "packages"),
        *("platform", "plugin", "proxy", "py", "python", "sdk", "secrets", "server"),
        *("service", "services", "shared", "sso", "storage", "system", "test", "testing"),
        *("tests", "theme", "token", "tool", "toolkit", "tools", "types", "ui"),
        *("util", "utilities", "utils", "web"),
    )
)
_SPLIT = re.compile(r"[-_./@]+")
#: A year, perhaps with a month and a day.
_CALENDAR = re.compile(r"(2\d{3})(\d\d)?(\d\d)?")
_MAJOR = re.compile(r"(?:\d+!)?(\d+)")


def confusion_findings(declared: Iterable[DeclaredPackage]) -> tuple[Finding, ...]:
    """Return what the names of declared packages show, before any index is asked."""
    found = (_by_name(PackageId(package.ecosystem, package.name, "")) for package in declared)
    return tuple(sorted(finding for finding in found if finding is not None))


class ConfusionScanner:
    """Looks at the name and the version of every package of a lock."""

    name = ScannerName.CONFUSION

    async def scan(self, lock: Lock) -> ScannerReport:
        """Report one finding a package at most of each kind."""
        ids = packages_of(lock, self.name)
        found = [
            finding
            for package in lock.packages
            if package.id in ids
            for finding in (_by_name(package.id), _by_version(package))
            if finding is not None
        ]
        return answered(self.name, audited=ids, findings=found)


@lru_cache(maxsize=2)
def _popular(ecosystem: Ecosystem) -> frozenset[str]:
    return frozenset(top_names(ecosystem)) | known_good(ecosystem)


def _by_name(package: PackageId) -> Finding | None:
    words = [word for word in _SPLIT.split(package.name) if word]
    own, *rest = words or [""]
    if own not in _OWN or not rest or not all(word in _GENERIC for word in rest):
        return None
    if package.name in _popular(package.ecosystem):
        return None
    return _finding(
        package, INTERNAL_NAME, "is called like a company's internal package, but comes from an index"
    )


def _by_version(locked: LockedPackage) -> Finding | None:
    package, major = locked.id, _MAJOR.match(locked.id.version)
    if major is None or int(major[1]) <= MAX_MAJOR:
        return None
    if _is_date(major[1], (locked.artefact.uploaded_at or datetime.now(UTC)).year):
        return None
    if package.name in _popular(package.ecosystem):
        return None
    return _finding(
        package, HIGH_VERSION, f"has the version {package.version[:40]}, above every real one of its kind"
    )


def _is_date(major: str, uploaded: int) -> bool:
    """Whether a number is a date from 2000 to the end of the year after an upload."""
    parts = _CALENDAR.fullmatch(major)
    if parts is None:
        return False
    try:
        return date(int(parts[1]), int(parts[2] or 1), int(parts[3] or 1)).year <= uploaded + 1
    except ValueError:
        return False


def _finding(package: PackageId, id_: str, summary: str) -> Finding:
    return Finding(
        kind=FindingKind.CONFUSION,
        package=package,
        id=id_,
        summary=summary,
        scanners=(ScannerName.CONFUSION,),
    )
