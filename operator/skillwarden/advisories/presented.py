"""Advisories in the shapes in which OSV and npm give them, so that no client trips over a record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, PackageId

from .index import Advisory, AdvisoryIndex
from .record import AffectedEntry, UnreadableRecordError, parse_entry, read_time

#: npm's words; what is not known counts as high, which npm never leaves out.
_NPM_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MEDIUM: "moderate",
    Severity.LOW: "low",
    Severity.UNKNOWN: "high",
}
_KEPT = ("id", "summary", "details", "schema_version", "modified", "published")
_TIMES = ("modified", "published", "withdrawn")
#: Where a record does not say when it was changed; clients of OSV require a time.
_EPOCH = "1970-01-01T00:00:00Z"


def ids_of(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return records as a batch's answer names them."""
    return [{"id": row["id"], "modified": _modified(row)} for row in documents]


def _modified(document: Mapping[str, Any]) -> str:
    modified = document.get("modified")
    return modified if isinstance(modified, str) and read_time(modified) is not None else _EPOCH


def bulk_answer(index: AdvisoryIndex, asked: Iterable[PackageId]) -> dict[str, list[dict[str, Any]]]:
    """Return npm's answer: for each name its advisories, each with the asked versions that it affects.

    npm evaluates ``vulnerable_versions`` itself; it is given exact versions, so that it cannot read a
    range of OSV otherwise than we do.
    """
    found: dict[str, dict[str, tuple[Advisory, list[str]]]] = {}
    for package in sorted(asked):
        for advisory in index.affecting(package):
            versions = found.setdefault(package.name, {}).setdefault(advisory.id, (advisory, []))[1]
            versions.append(package.version)
    return {
        name: [_npm_advisory(advisory, versions) for advisory, versions in advisories.values()]
        for name, advisories in found.items()
    }


def _npm_advisory(advisory: Advisory, versions: list[str]) -> dict[str, Any]:
    return {
        "id": advisory.id,
        "url": f"https://osv.dev/vulnerability/{advisory.id}",
        "title": advisory.summary or advisory.id,
        "severity": _NPM_SEVERITIES[advisory.severity],
        "vulnerable_versions": " || ".join(versions),
        "cwe": [],
    }


def present_record(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole record; entries that another reader would choke on are shown as we count them."""
    shown = _without_bad_times(document)
    shown["modified"] = _modified(document)
    if "aliases" in shown:
        shown["aliases"] = _texts(shown["aliases"])
    shown["affected"] = [
        _every_version(parsed.ecosystem, parsed.name)
        if parsed is not None and parsed.affected.malformed
        else {**entry, "ranges": entry.get("ranges") or [], "versions": entry.get("versions") or []}
        for entry, parsed in _entries(document)
    ]
    return shown


def present(document: Mapping[str, Any], package: PackageId) -> dict[str, Any]:
    """Return the part of a record that concerns a package, in a shape that no client trips over.

    A record was matched by our own reading of it. Parts that another reader would choke on (an entry that
    cannot be evaluated, a time that is none) are left out or replaced by what we made of them, so that
    one bad record does not take the cross-check of a whole closure with it.
    """
    kept = {key: document[key] for key in _KEPT if isinstance(document.get(key), str)}
    shown = _without_bad_times(kept)
    shown["aliases"] = _texts(document.get("aliases"))
    shown["affected"] = [
        _present_entry(entry, package, malformed=bool(parsed.affected.malformed))
        for entry, parsed in _entries(document)
        if parsed and (parsed.ecosystem, parsed.name) == (package.ecosystem, package.name)
    ]
    return shown


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], AffectedEntry | None]]:
    """Yield each entry that says what it is about, with our own reading where we judge its ecosystem."""
    for entry in document.get("affected") or []:
        with contextlib.suppress(UnreadableRecordError):
            yield entry, parse_entry(document, entry)


def _without_bad_times(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in document.items() if key not in _TIMES or read_time(value) is not None
    }


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _present_entry(entry: Mapping[str, Any], package: PackageId, *, malformed: bool) -> dict[str, Any]:
    purl = {"purl": package.purl}
    if malformed:
        return _every_version(package.ecosystem, package.name, **purl)
    return {
        "package": {"ecosystem": package.ecosystem.value, "name": package.name, **purl},
        "ranges": [item for item in entry.get("ranges") or [] if item["type"] != "GIT"],
        "versions": entry.get("versions") or [],
    }


def _every_version(ecosystem: Ecosystem, name: str, **more: str) -> dict[str, Any]:
    """Return an entry about every version of a package: what one that cannot be evaluated counts as."""
    return {
        "package": {"ecosystem": ecosystem.value, "name": name, **more},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
    }
