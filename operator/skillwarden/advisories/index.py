"""The advisory index as its readers see it: which advisories affect a package version."""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, PackageId

from .errors import CorruptIndexError, MissingIndexError
from .ranges import Affected, is_affected
from .record import order_versions, read_time
from .severity import highest
from .state import read_state
from .store import APPLICATION_ID, INDEX_FORMAT, INDEX_NAME, EcosystemCounts, decode_affected

_SYNC_FIX = "Run `skillwarden advisories sync --from URL|DIR`."
MALICIOUS_PREFIX = "MAL-"
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Advisory:
    """An advisory as it concerns one package version.

    Attributes
    ----------
    id, aliases, summary
        As in the record; the summary is one line.
    severity
        Worst of the entries that matched.
    fixed_versions
        What the matching entries name as fixes, lowest first.
    withdrawn
        Whether it was taken back; never so for what ``affecting`` returns.
    unevaluated
        Why its entry could not be evaluated, so that it counts for every version; empty otherwise.
    """

    id: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    severity: Severity = Severity.UNKNOWN
    fixed_versions: tuple[str, ...] = ()
    withdrawn: bool = False
    unevaluated: str = ""

    @property
    def malicious(self) -> bool:
        """Whether it says that the package is malicious, not only vulnerable."""
        return any(name.startswith(MALICIOUS_PREFIX) for name in (self.id, *self.aliases))


@dataclass(frozen=True, slots=True)
class _Entry:
    record: int
    advisory: Advisory
    affected: Affected
    modified: str


class AdvisoryIndex:
    """A read-only view of one synced index; ``open`` makes one. Safe to share between threads.

    The file is never changed in place: an index that was opened goes on answering from what it was
    opened on, and ``AdvisoryFeed`` says when there is a newer one.
    """

    def __init__(
        self, database: sqlite3.Connection, *, path: Path, revision: str, counts: Mapping[str, Any]
    ) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._entries = functools.lru_cache(maxsize=4096)(self._read_entries)
        self._contents = functools.lru_cache(maxsize=65536)(self._read_contents)
        self.path = path
        self.revision = revision
        self._counts = {Ecosystem(name): EcosystemCounts(**count) for name, count in counts.items()}
        state = read_state(path)
        self.synced_at: datetime | None = state.synced_at if state and state.revision == revision else None
        self.unreadable: int = state.unreadable if state and state.revision == revision else 0

    @classmethod
    def open(cls, path: Path) -> AdvisoryIndex:
        """Open the index in a folder that ``sync`` fills.

        Raises
        ------
        MissingIndexError
            Where nothing was ever synced.
        CorruptIndexError
            Where the file is not a whole index of this format.
        """
        file = path / INDEX_NAME
        if not file.is_file():
            raise MissingIndexError(f"No advisories have been synced to {path}.", fix=_SYNC_FIX)
        try:
            database = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            try:
                meta = _read_meta(database, size=file.stat().st_size)
                return cls(database, path=path, revision=meta["revision"], counts=json.loads(meta["counts"]))
            except BaseException:
                database.close()
                raise
        except (sqlite3.Error, KeyError, ValueError, TypeError, OSError) as error:
            raise CorruptIndexError(
                f"The advisory index {file} cannot be read: {error}.", fix=_SYNC_FIX
            ) from error

    def close(self) -> None:
        """Close the file; the index answers nothing after."""
        self._database.close()

    def counts(self) -> dict[Ecosystem, EcosystemCounts]:
        """Return what it holds, by ecosystem."""
        return dict(self._counts)

    def affecting(self, package: PackageId) -> tuple[Advisory, ...]:
        """Return the advisories that affect a package version, by id.

        Raises
        ------
        CorruptIndexError
            Where the file turns out unreadable.
        """
        return tuple(advisory for advisory, _ in self._matches(package))

    def affecting_many(self, packages: Iterable[PackageId]) -> dict[PackageId, tuple[Advisory, ...]]:
        """Return ``affecting`` for each package; a package that nothing affects has an empty entry."""
        return {package: self.affecting(package) for package in packages}

    def revision_of(self, names: Iterable[tuple[Ecosystem, str]]) -> str:
        """Return a digest of all that is known about some packages, whatever their version.

        It changes when an advisory about one of them is added, changed or taken back, and not for any other:
        a lock need be scanned anew only when the revision of its packages' names is another.

        Raises
        ------
        CorruptIndexError
            Where the file turns out unreadable.
        """
        wanted = sorted({(ecosystem.value, name) for ecosystem, name in names})
        digest = hashlib.sha256(f"skillwarden advisories {INDEX_FORMAT} by name\n".encode())
        for ecosystem in sorted({ecosystem for ecosystem, _ in wanted}):
            known = self._counts.get(Ecosystem(ecosystem))
            # Nothing at all about an ecosystem is an error of the scanner, and no finding is not.
            digest.update(f"{ecosystem} {bool(known and known.records)}\n".encode())
        for ecosystem, name in wanted:
            digest.update(f"{ecosystem} {json.dumps(name)} {self._contents(ecosystem, name)}\n".encode())
        return "sha256:" + digest.hexdigest()

    def _read_contents(self, ecosystem: str, name: str) -> str:
        """Return the digests of the records about a name."""
        rows = self._query(
            "SELECT DISTINCT id, digest FROM affected JOIN record ON number = record"
            " WHERE ecosystem = ? AND name = ? ORDER BY id, digest",
            (ecosystem, name),
        )
        return json.dumps(rows)

    def advisory(self, identity: str) -> Advisory | None:
        """Return the advisory of this id, or one with this alias, whatever package it is about."""
        rows = self._query(
            "SELECT number, id, aliases, summary, withdrawn FROM record WHERE id = ?1 OR number IN"
            " (SELECT record FROM alias WHERE alias = ?1) ORDER BY id != ?1, withdrawn != '', modified DESC",
            (identity,),
        )
        if not rows:
            return None
        number, name, aliases, summary, withdrawn = rows[0]
        severities = self._query("SELECT severity FROM affected WHERE record = ?", (number,))
        return Advisory(
            id=name,
            aliases=tuple(json.loads(aliases)),
            summary=summary,
            severity=highest(Severity(row[0]) for row in severities),
            withdrawn=bool(withdrawn),
        )

    def documents(self, package: PackageId) -> list[dict[str, Any]]:
        """Return the raw OSV JSON of the advisories that affect a package version, by id."""
        return [self._document(number) for _, number in self._matches(package)]

    def document(self, identity: str) -> dict[str, Any] | None:
        """Return the raw OSV JSON of the record with this very id, the newest where there are several."""
        rows = self._query(
            "SELECT number FROM record WHERE id = ? ORDER BY withdrawn != '', modified DESC, number LIMIT 1",
            (identity,),
        )
        return self._document(rows[0][0]) if rows else None

    def records(self, ecosystem: Ecosystem) -> Iterator[tuple[str, bytes]]:
        """Yield id and raw JSON of every record about an ecosystem, withdrawn ones too, in a fixed order.

        A record that is about none of the ecosystems is part of the revision, and of the first ecosystem.
        """
        rows = self._query(
            "SELECT DISTINCT record FROM affected WHERE ecosystem = ?1 UNION SELECT number FROM record WHERE"
            " ?1 = ?2 AND number NOT IN (SELECT record FROM affected) ORDER BY 1",
            (ecosystem.value, min(self._counts, default=ecosystem).value),
        )
        for start in range(0, len(rows), _BATCH):
            numbers = [row[0] for row in rows[start : start + _BATCH]]
            marks = ",".join("?" * len(numbers))
            statement = f"SELECT id, raw FROM record WHERE number IN ({marks}) ORDER BY number"  # noqa: S608
            for identity, raw in self._query(statement, tuple(numbers)):
                yield identity, self._unpack(raw)

    def newest(self, ecosystem: Ecosystem, *, until: datetime) -> datetime | None:
        """Return when the latest changed of an ecosystem's records was; changes after ``until`` are none."""
        [(modified,)] = self._query(
            "SELECT max(modified) FROM record WHERE modified <= ? AND number IN"
            " (SELECT record FROM affected WHERE ecosystem = ?)",
            (until.isoformat(), ecosystem.value),
        )
        return read_time(modified)

    def _document(self, number: int) -> dict[str, Any]:
        [(raw,)] = self._query("SELECT raw FROM record WHERE number = ?", (number,))
        try:
            document: dict[str, Any] = json.loads(self._unpack(raw))
        except ValueError as error:
            raise self._corrupt(error) from error
        return document

    def _unpack(self, raw: bytes) -> bytes:
        try:
            return zlib.decompress(raw)
        except zlib.error as error:
            raise self._corrupt(error) from error

    def _matches(self, package: PackageId) -> list[tuple[Advisory, int]]:
        matched: dict[int, list[_Entry]] = {}
        for entry in self._entries(package.ecosystem, package.name):
            if is_affected(package.version, entry.affected, package.ecosystem):
                matched.setdefault(entry.record, []).append(entry)
        merged = [(_merge(entries, package.ecosystem), number) for number, entries in matched.items()]
        return sorted(merged, key=lambda pair: (pair[0].id, pair[1]))

    def _read_entries(self, ecosystem: Ecosystem, name: str) -> tuple[_Entry, ...]:
        rows = self._query(
            "SELECT number, id, aliases, summary, modified, versions, ranges, fixed, severity, malformed"
            " FROM affected JOIN record ON number = record"
            " WHERE ecosystem = ? AND name = ? AND withdrawn = ''",
            (ecosystem.value, name),
        )
        try:
            return tuple(_entry(row) for row in rows)
        except (ValueError, TypeError, KeyError) as error:
            raise self._corrupt(error) from error

    def _query(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._lock, closing(self._database.execute(statement, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise self._corrupt(error) from error

    def _corrupt(self, error: Exception) -> CorruptIndexError:
        return CorruptIndexError(f"The advisory index in {self.path} cannot be read: {error}.", fix=_SYNC_FIX)


#: Gives the index of the moment, or ``None`` where there is none.
IndexSource = Callable[[], AdvisoryIndex | None]


def _read_meta(database: sqlite3.Connection, *, size: int) -> dict[str, str]:
    """Return the file's description, after the checks that are cheap enough for every start."""
    [application] = database.execute("PRAGMA application_id").fetchone()
    [version] = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version != INDEX_FORMAT:
        raise ValueError(f"it is not an advisory index of format {INDEX_FORMAT}")
    [pages] = database.execute("PRAGMA page_count").fetchone()
    [page_size] = database.execute("PRAGMA page_size").fetchone()
    if pages * page_size != size:
        raise ValueError(f"it has {size} bytes instead of {pages * page_size}")
    meta = dict(database.execute("SELECT key, value FROM meta").fetchall())
    [entries] = database.execute("SELECT count(*) FROM affected").fetchone()
    if str(entries) != meta["entries"]:
        raise ValueError(f"it has {entries} entries instead of {meta['entries']}")
    return meta


def _entry(row: tuple[Any, ...]) -> _Entry:
    number, identity, aliases, summary, modified, versions, ranges, fixed, severity, malformed = row
    return _Entry(
        record=number,
        advisory=Advisory(
            id=identity,
            aliases=tuple(json.loads(aliases)),
            summary=summary,
            severity=Severity(severity),
            fixed_versions=tuple(json.loads(fixed)),
            unevaluated=malformed,
        ),
        affected=decode_affected(versions, ranges, malformed),
        modified=modified,
    )


def _merge(entries: list[_Entry], ecosystem: Ecosystem) -> Advisory:
    """Return one advisory for the entries of one record that matched one package version."""
    first = entries[0].advisory
    if len(entries) == 1:
        return first
    return Advisory(
        id=first.id,
        aliases=first.aliases,
        summary=first.summary,
        severity=highest(entry.advisory.severity for entry in entries),
        fixed_versions=order_versions(
            {fix for entry in entries for fix in entry.advisory.fixed_versions}, ecosystem
        ),
        unevaluated=next((e.advisory.unevaluated for e in entries if e.advisory.unevaluated), ""),
    )
