"""Reading one OSV record, without trust: what cannot be read is said, never dropped.

Two degrees of unreadable are told apart. A record that is not OSV at all raises, and the sync counts it. An
entry that names a package but cannot be evaluated stays as ``malformed``, and affects all of its versions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, normalise_name

from .ranges import Affected, Event, EventKind, parse_ordered, parse_version, sort_events, version_token
from .severity import severity_of

#: More than any record of OSV's dumps by an order of magnitude; one that is larger is not evaluated.
MAX_RECORD_BYTES = 16 * 1024 * 1024
_MAX_SUMMARY = 240
_MAX_TEXT = 256
_ECOSYSTEMS = {ecosystem.value.lower(): ecosystem for ecosystem in Ecosystem}
_EVENT_KINDS = frozenset(kind.value for kind in EventKind)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


class UnreadableRecordError(ValueError):
    """The bytes are not an OSV record that we can judge."""


@dataclass(frozen=True, slots=True)
class AffectedEntry:
    """What a record says about one package of an ecosystem that we judge.

    Attributes
    ----------
    ecosystem, name
        The package; the name is normalised.
    affected
        Its versions.
    severity
        Worst of the record's and the entry's own; Unknown where the entry is malformed.
    fixed
        Versions named as fixes, lowest first.
    """

    ecosystem: Ecosystem
    name: str
    affected: Affected
    severity: Severity
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One OSV record.

    Attributes
    ----------
    id, aliases, summary
        As in the record; the summary is one line that is safe to print.
    modified, published, withdrawn
        Times (UTC) or ``None``.
    entries
        One for each affected package of an ecosystem that we judge.
    problems
        What in it could not be read besides malformed entries.
    digest
        SHA-256 of its canonical JSON.
    document
        The parsed JSON.
    """

    id: str
    aliases: tuple[str, ...]
    summary: str
    modified: datetime | None
    published: datetime | None
    withdrawn: datetime | None
    entries: tuple[AffectedEntry, ...]
    problems: tuple[str, ...]
    digest: str
    document: Mapping[str, Any]


def parse_record(data: bytes) -> Record:
    """Read a record.

    Raises
    ------
    UnreadableRecordError
        Where nothing can be said about what it affects.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise UnreadableRecordError(f"larger than {MAX_RECORD_BYTES} bytes")
    try:
        document = json.loads(data)
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnreadableRecordError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableRecordError("not a JSON object")
    identity = document.get("id")
    if not isinstance(identity, str) or not identity.strip() or len(identity) > _MAX_TEXT:
        raise UnreadableRecordError("has no usable id")
    _check_schema(document.get("schema_version", "1.0.0"))
    affected = _absent_as_list(document.get("affected"))
    if not isinstance(affected, list):
        raise UnreadableRecordError("`affected` is not a list")
    entries, problems = _entries(document, affected)
    withdrawn = read_time(document.get("withdrawn"))
    if document.get("withdrawn") is not None and withdrawn is None:
        problems.append("`withdrawn` is not a time, so the record counts")
    return Record(
        id=one_line(identity),
        aliases=_texts(document.get("aliases")),
        summary=_summary(document),
        modified=read_time(document.get("modified")),
        published=read_time(document.get("published")),
        withdrawn=withdrawn,
        entries=tuple(entries),
        problems=tuple(problems),
        digest=hashlib.sha256(canonical).hexdigest(),
        document=document,
    )


def _absent_as_list(value: Any) -> Any:
    return [] if value is None else value


def _check_schema(version: object) -> None:
    parsed = parse_version(version) if isinstance(version, str) else None
    if parsed is None or parsed.major != 1:
        raise UnreadableRecordError(f"has schema version {str(version)[:40]!r}; only 1.x is known")


def _entries(document: Mapping[str, Any], affected: list[Any]) -> tuple[list[AffectedEntry], list[str]]:
    entries: list[AffectedEntry] = []
    problems: list[str] = []
    for position, entry in enumerate(affected):
        try:
            parsed = parse_entry(document, entry)
        except UnreadableRecordError as error:
            problems.append(f"affected[{position}] {error}")
            continue
        if parsed is not None:
            entries.append(parsed)
    return entries, problems


def parse_entry(document: Mapping[str, Any], entry: Any) -> AffectedEntry | None:
    """Read one affected entry of a record; ``None`` where it is about an ecosystem that we do not judge.

    Raises
    ------
    UnreadableRecordError
        Where it does not say which package it is about.
    """
    if not isinstance(entry, dict):
        raise UnreadableRecordError("is not an object")
    package = entry.get("package")
    if package is None and _only_git(entry):
        return None
    if not isinstance(package, dict):
        raise UnreadableRecordError("names no package")
    ecosystem_text, name = package.get("ecosystem"), package.get("name")
    if not isinstance(ecosystem_text, str):
        raise UnreadableRecordError("names no ecosystem")
    ecosystem = _ECOSYSTEMS.get(ecosystem_text.partition(":")[0].strip().lower())
    if ecosystem is None:
        return None
    if not isinstance(name, str) or not name.strip() or len(name) > _MAX_TEXT:
        raise UnreadableRecordError("names no package")
    normalised = normalise_name(ecosystem, name.strip())
    try:
        affected, fixed = _affected(entry, ecosystem)
    except ValueError as error:
        malformed = Affected(malformed=one_line(str(error)))
        return AffectedEntry(ecosystem, normalised, malformed, Severity.UNKNOWN, ())
    return AffectedEntry(ecosystem, normalised, affected, severity_of(document, entry), fixed)


def _only_git(entry: Mapping[str, Any]) -> bool:
    ranges = _absent_as_list(entry.get("ranges"))
    return (
        not entry.get("versions")
        and isinstance(ranges, list)
        and all(isinstance(item, dict) and item.get("type") == "GIT" for item in ranges)
    )


def _affected(entry: Mapping[str, Any], ecosystem: Ecosystem) -> tuple[Affected, tuple[str, ...]]:
    """Return the versions that an entry states; a ``ValueError`` says why they cannot be evaluated."""
    listed = _absent_as_list(entry.get("versions"))
    ranges = _absent_as_list(entry.get("ranges"))
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise ValueError("`versions` is not a list of strings")
    if not isinstance(ranges, list):
        raise ValueError("`ranges` is not a list")
    read = [events for item in ranges if (events := _events(item, ecosystem)) is not None]
    if not listed and not read:
        raise ValueError("it lists no versions and no range that can be evaluated")
    versions = frozenset(version_token(item, ecosystem) for item in listed)
    if any("\n" in item for item in versions):
        raise ValueError("a listed version holds a line break")
    fixed = {
        event.version
        for events in read
        for event in events
        if event.kind is EventKind.FIXED and parse_ordered(event.version, ecosystem) is not None
    }
    return Affected(versions=versions, ranges=tuple(read)), order_versions(fixed, ecosystem)


def order_versions(versions: set[str], ecosystem: Ecosystem) -> tuple[str, ...]:
    """Return versions lowest first, in their ecosystem's order; what is not one is left out."""
    known: list[tuple[Any, str]] = [
        (parsed, version)
        for version in sorted(versions)
        if (parsed := parse_ordered(version, ecosystem)) is not None
    ]
    return tuple(version for _, version in sorted(known, key=lambda pair: pair[0]))


def _events(item: Any, ecosystem: Ecosystem) -> tuple[Event, ...] | None:
    if not isinstance(item, dict):
        raise ValueError("a range is not an object")
    match item.get("type"):
        case "GIT":
            return None
        case "ECOSYSTEM" | "SEMVER":
            pass
        case other:
            raise ValueError(f"a range has the unknown type {str(other)[:40]!r}")
    events = item.get("events")
    if not isinstance(events, list) or not events:
        raise ValueError("a range has no events")
    read = [_event(kind, value) for event in events for kind, value in _as_object(event).items()]
    if not any(event.kind is EventKind.INTRODUCED for event in read):
        raise ValueError("a range never says where it begins")
    return sort_events(read, ecosystem)


def _as_object(event: Any) -> Mapping[str, Any]:
    if not isinstance(event, dict) or not event:
        raise ValueError("an event is not an object")
    return event


def _event(kind: str, value: Any) -> Event:
    if kind not in _EVENT_KINDS or not isinstance(value, str) or not value.strip():
        raise ValueError(f"an event {kind[:40]!r} cannot be read")
    return Event(EventKind(kind), value.strip())


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    texts = {one_line(item) for item in value if isinstance(item, str) and len(item) <= _MAX_TEXT}
    return tuple(sorted(texts - {""}))


def _summary(document: Mapping[str, Any]) -> str:
    for key in ("summary", "details"):
        text = document.get(key)
        if isinstance(text, str) and (line := one_line(text)):
            return line
    return ""


def one_line(text: str) -> str:
    """Return text as one short line without control or direction characters."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= _MAX_SUMMARY else line[: _MAX_SUMMARY - 1].rstrip() + "…"


def read_time(value: Any) -> datetime | None:
    """Return an RFC 3339 time in UTC, or ``None`` where the value is not one."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
