"""The SQLite file: its tables, and the writer that fills a new one.

A file is written once, closed, and only then put in place; readers open it immutable. What says how the
rows are to be evaluated is ``INDEX_FORMAT``: it goes into the revision, so that a new rule voids old scans.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from skillwarden.domain.package import Ecosystem

from .ranges import Affected, Event, EventKind
from .record import AffectedEntry, Record

INDEX_NAME = "index.sqlite"
INDEX_FORMAT = 1
APPLICATION_ID = 0x534B4C41
_KINDS = {kind.value: kind for kind in EventKind}

_SCHEMA = f"""
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={INDEX_FORMAT};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE record (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, digest TEXT NOT NULL, aliases TEXT NOT NULL,
    summary TEXT NOT NULL, modified TEXT NOT NULL, withdrawn TEXT NOT NULL, raw BLOB NOT NULL,
    UNIQUE (id, digest)
);
CREATE TABLE alias (alias TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (alias, record)) WITHOUT ROWID;
CREATE TABLE affected (
    ecosystem TEXT NOT NULL, name TEXT NOT NULL, record INTEGER NOT NULL, versions TEXT NOT NULL,
    ranges TEXT NOT NULL, fixed TEXT NOT NULL, severity TEXT NOT NULL, malformed TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class EcosystemCounts:
    """How many advisories an index holds for an ecosystem.

    Attributes
    ----------
    records
        Records about at least one of its packages, withdrawn ones not counted.
    withdrawn
        Records that were taken back; they match nothing.
    malformed
        Records with an entry that cannot be evaluated and so affects every version of its package.
    packages
        Packages with at least one record that counts.
    """

    records: int = 0
    withdrawn: int = 0
    malformed: int = 0
    packages: int = 0


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What a finished index holds.

    Attributes
    ----------
    revision
        ``sha256:`` over the records.
    counts
        By ecosystem.
    """

    revision: str
    counts: dict[Ecosystem, EcosystemCounts]


def encode_versions(versions: Iterable[str]) -> str:
    """Return tokens as one text, each between line breaks, so that one search finds a whole token."""
    ordered = sorted(versions)
    return "\n" + "\n".join(ordered) + "\n" if ordered else ""


def encode_ranges(ranges: tuple[tuple[Event, ...], ...]) -> str:
    """Return ranges as JSON."""
    rows = [[[event.kind.value, event.version] for event in events] for events in ranges]
    return json.dumps(rows, separators=(",", ":"))


@functools.lru_cache(maxsize=4096)
def _decode_versions(text: str) -> frozenset[str]:
    return frozenset(text.strip("\n").split("\n")) if text else frozenset()


@functools.lru_cache(maxsize=4096)
def _decode_ranges(text: str) -> tuple[tuple[Event, ...], ...]:
    return tuple(
        tuple(Event(_KINDS[kind], version) for kind, version in events) for events in json.loads(text)
    )


def decode_affected(versions: str, ranges: str, malformed: str) -> Affected:
    """Read what ``encode_versions`` and ``encode_ranges`` wrote; a project's advisories often share both."""
    return Affected(versions=_decode_versions(versions), ranges=_decode_ranges(ranges), malformed=malformed)


class IndexWriter:
    """Fills a new index file, one record at a time, in bounded memory.

    Parameters
    ----------
    path
        A file that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")

    def add(self, record: Record) -> None:
        """Add a record; one with the same id and content counts once, one with other content twice."""
        raw = json.dumps(record.document, separators=(",", ":"), ensure_ascii=False).encode()
        cursor = self._database.execute(
            "INSERT OR IGNORE INTO record (id, digest, aliases, summary, modified, withdrawn, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record.id,
                record.digest,
                json.dumps(record.aliases, ensure_ascii=False),
                record.summary,
                _time(record.modified),
                _time(record.withdrawn),
                zlib.compress(raw, 6),
            ),
        )
        if cursor.rowcount == 0 or cursor.lastrowid is None:
            return
        number = cursor.lastrowid
        self._database.executemany(
            "INSERT OR IGNORE INTO alias VALUES (?, ?)", [(alias, number) for alias in record.aliases]
        )
        self._database.executemany(
            "INSERT INTO affected VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [_affected_row(entry, number) for entry in record.entries],
        )

    def finish(self) -> IndexSummary:
        """Write the revision and the counts, and close the file with everything on the disk."""
        database = self._database
        database.execute("CREATE INDEX affected_by_name ON affected (ecosystem, name)")
        summary = IndexSummary(revision=self._revision(), counts=self._counts())
        counts = {ecosystem.value: asdict(count) for ecosystem, count in summary.counts.items()}
        entries = database.execute("SELECT count(*) FROM affected").fetchone()[0]
        database.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [
                ("revision", summary.revision),
                ("counts", json.dumps(counts)),
                ("entries", str(entries)),
            ],
        )
        database.execute("COMMIT")
        database.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        return summary

    def _revision(self) -> str:
        digest = hashlib.sha256(f"skillwarden advisories {INDEX_FORMAT}\n".encode())
        for identity, content in self._database.execute("SELECT id, digest FROM record ORDER BY id, digest"):
            digest.update(f"{json.dumps(identity)} {content}\n".encode())
        return "sha256:" + digest.hexdigest()

    def _counts(self) -> dict[Ecosystem, EcosystemCounts]:
        rows = self._database.execute(
            "SELECT ecosystem, r.withdrawn != '' AS gone, count(DISTINCT r.number),"
            " count(DISTINCT CASE WHEN malformed != '' THEN r.number END), count(DISTINCT name)"
            " FROM affected a JOIN record r ON r.number = a.record GROUP BY ecosystem, gone"
        ).fetchall()
        standing = {row[0]: row for row in rows if not row[1]}
        withdrawn = Counter({row[0]: row[2] for row in rows if row[1]})
        return {
            Ecosystem(name): EcosystemCounts(
                records=standing[name][2] if name in standing else 0,
                withdrawn=withdrawn[name],
                malformed=standing[name][3] if name in standing else 0,
                packages=standing[name][4] if name in standing else 0,
            )
            for name in sorted({*standing, *withdrawn})
        }


def _affected_row(entry: AffectedEntry, number: int) -> tuple[str | int, ...]:
    return (
        entry.ecosystem.value,
        entry.name,
        number,
        encode_versions(entry.affected.versions),
        encode_ranges(entry.affected.ranges),
        json.dumps(entry.fixed),
        entry.severity.value,
        entry.affected.malformed,
    )


def _time(value: datetime | None) -> str:
    return value.isoformat() if value else ""
