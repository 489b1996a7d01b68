"""Syncing advisories: from a source to a new index that takes the old one's place, or to a clear refusal.

The last good index stands until a new one is whole on the disk. A dump that lost more than half of its
records, or that went back in time, is refused: an emptied or a halted source would otherwise read as a world
without vulnerabilities.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from yarl import URL

from skillwarden.domain.package import Ecosystem

from .download import Download, download, dump_url, shown
from .dumps import ARCHIVE_NAME, DEFAULT_LIMITS, Limits
from .errors import AdvisoryError, NoDumpError, SyncError
from .index import AdvisoryIndex
from .state import SyncState, read_state, write_state
from .store import INDEX_NAME, EcosystemCounts

_WORK_PREFIX = ".sync-"
_LOCK_NAME = ".lock"
#: Fewer than this share of the records that the index holds now is taken for a damaged source.
_SHRINK = 0.5
#: How much older a dump's newest record may be: a database takes a record back now and then.
_BACKWARDS = timedelta(days=1)
_MAX_LINE = 1024 * 1024


class SyncStage(StrEnum):
    """What a sync is doing."""

    DOWNLOAD = "download"
    READ = "read"


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a sync is.

    Attributes
    ----------
    stage
        What it is doing.
    done, total
        Bytes for a download, records for reading; ``total`` is ``None`` where nobody knows.
    """

    stage: SyncStage
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes
    ----------
    source, path
        From where (without credentials), and the folder of the index.
    revision
        Of the index that stands now.
    changed
        Whether the index was replaced.
    synced_at
        When (UTC).
    counts
        Records by ecosystem.
    unreadable, examples
        Records that could not be read, and the first few with the reason.
    ignored
        Folders of the source for ecosystems that are not judged.
    """

    source: str
    path: Path
    revision: str
    changed: bool
    synced_at: datetime
    counts: dict[Ecosystem, EcosystemCounts] = field(default_factory=dict)
    unreadable: int = 0
    examples: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    """What asking a source brought.

    Attributes
    ----------
    etags
        Ecosystem to the dump's ETag.
    fresh
        There is nothing newer than we have, and nothing was fetched.
    asked_origin_at
        When the oldest of the dumps was last held against its origin; a folder is its own.
    """

    etags: tuple[tuple[str, str], ...] = ()
    fresh: bool = False
    asked_origin_at: datetime = field(default_factory=lambda: datetime.now(UTC))


ProgressCallback = Callable[[SyncProgress], None]


async def sync(
    source: str | Path,
    *,
    into: Path,
    force: bool = False,
    on_progress: ProgressCallback | None = None,
    deadline_seconds: float = 900.0,
    limits: Limits = DEFAULT_LIMITS,
) -> SyncReport:
    """Bring the index up to what a source holds.

    Parameters
    ----------
    source
        A folder of OSV JSON files; or of ``ECOSYSTEM/all.zip`` or ``ECOSYSTEM/*.json``; or the http(s) URL
        below which ``ECOSYSTEM/all.zip`` lies.
    into
        Folder of the index; made where it is missing.
    force
        Take a dump that has less than half of the records of the index, or only older ones.
    on_progress
        Told how far it is, a few times a second.
    deadline_seconds
        For the whole.
    limits
        How much is taken.

    Raises
    ------
    SyncError
        The source was refused; the last good index stands. ``SourceUnavailableError``: worth a retry.
    """
    say = on_progress or (lambda _: None)
    try:
        await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True)
        with _exclusive(into):
            work = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=into))
            try:
                async with asyncio.timeout(deadline_seconds):
                    return await _sync(source, into=into, work=work, force=force, say=say, limits=limits)
            finally:
                await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    except TimeoutError as error:
        raise SyncError(
            f"Syncing advisories from {_name(source)} took longer than {deadline_seconds:.0f} s.",
            fix="The last good index stands; try again.",
        ) from error
    except OSError as error:
        raise SyncError(f"The advisory folder {into} cannot be written: {error}.") from error


def _name(source: str | Path) -> str:
    return shown(URL(source)) if isinstance(source, str) and _is_url(source) else str(source)


def _is_url(source: str) -> bool:
    return "://" in source


@contextlib.contextmanager
def _exclusive(folder: Path) -> Any:
    """Hold the folder against other syncs, and clear away what a killed one left."""
    with (folder / _LOCK_NAME).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SyncError(
                f"Another sync into {folder} is under way.", fix="Wait for it to end; one is enough."
            ) from error
        for left in folder.glob(f"{_WORK_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


async def _sync(
    source: str | Path, *, into: Path, work: Path, force: bool, say: ProgressCallback, limits: Limits
) -> SyncReport:
    current = _open_current(into)
    state = read_state(into)
    fetched = _Fetched()
    if isinstance(source, str) and _is_url(source):
        url = _check_url(source)
        usable = current is not None and state is not None and state.revision == current.revision
        known = dict(state.etags) if usable and state and state.source == shown(url) and not force else {}
        folder = work / "dumps"
        held = current.counts().keys() if current else frozenset()
        fetched = await _fetch(url, folder, known=known, held=held, say=say, limits=limits)
        if fetched.fresh:
            assert current is not None and state is not None  # noqa: S101 - what `usable` says
            return _fresh(current, state, into=into, asked=fetched.asked_origin_at)
    else:
        folder = Path(source)
    built = await _build(folder.absolute(), work / INDEX_NAME, say=say, limits=limits)
    counts = {Ecosystem(name): EcosystemCounts(**row) for name, row in built["counts"].items()}
    _check_counts(_name(source), counts, current=current, force=force)
    if current is not None and not force:
        await asyncio.to_thread(_check_newest, _name(source), work, current=current)
    changed = current is None or current.revision != built["revision"]
    if changed:
        (work / INDEX_NAME).replace(into / INDEX_NAME)
        _sync_folder(into)
    new = SyncState(
        revision=built["revision"],
        synced_at=fetched.asked_origin_at,
        source=_name(source),
        etags=fetched.etags,
        unreadable=built["unreadable"],
    )
    write_state(into, new)
    return SyncReport(
        source=new.source,
        path=into,
        revision=new.revision,
        changed=changed,
        synced_at=new.synced_at,
        counts=counts,
        unreadable=new.unreadable,
        examples=tuple(built["examples"]),
        ignored=tuple(built["ignored"]),
    )


def _open_current(into: Path) -> AdvisoryIndex | None:
    try:
        return AdvisoryIndex.open(into)
    except AdvisoryError:
        return None


def _fresh(current: AdvisoryIndex, state: SyncState, *, into: Path, asked: datetime) -> SyncReport:
    new = SyncState(
        revision=state.revision,
        # What was known to be current at a time is not less so because a cache answers for an earlier one.
        synced_at=max(asked, min(state.synced_at, datetime.now(UTC))),
        source=state.source,
        etags=state.etags,
        unreadable=state.unreadable,
    )
    write_state(into, new)
    return SyncReport(
        source=new.source,
        path=into,
        revision=new.revision,
        changed=False,
        synced_at=new.synced_at,
        counts=current.counts(),
        unreadable=new.unreadable,
    )


def _sync_folder(folder: Path) -> None:
    """Put the folder's entry for a replaced file on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_url(source: str) -> URL:
    try:
        url = URL(source)
    except ValueError as error:
        raise SyncError("The advisory source is not a URL that can be read.") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise SyncError(
            f"The advisory source {shown(url)} is neither a folder nor an http(s) URL.",
            fix="Give --from a folder, or the URL below which PyPI/all.zip lies.",
        )
    return url


async def _fetch(
    base: URL,
    folder: Path,
    *,
    known: dict[str, str],
    held: AbstractSet[Ecosystem],
    say: ProgressCallback,
    limits: Limits,
) -> _Fetched:
    """Fetch every ecosystem's dump, where the server has something newer than we have.

    A source may serve one ecosystem only. An ecosystem that it had and lost is refused with the counts.
    """
    etags: dict[str, str] = {}
    ages: list[int] = []
    fresh: list[Ecosystem] = []
    absent: list[NoDumpError] = []

    async def fetch(ecosystem: Ecosystem, etag: str) -> Download:
        target = folder / ecosystem.value / ARCHIVE_NAME
        target.parent.mkdir(parents=True, exist_ok=True)
        got = await download(
            dump_url(base, ecosystem.value),
            target,
            etag=etag,
            max_bytes=limits.archive_bytes,
            on_progress=lambda done, total: say(SyncProgress(SyncStage.DOWNLOAD, done, total)),
        )
        ages.append(got.age_seconds)
        return got

    for ecosystem in Ecosystem:
        try:
            got = await fetch(ecosystem, known.get(ecosystem.value, ""))
        except NoDumpError as error:
            absent.append(error)
            continue
        etags[ecosystem.value] = got.etag
        if got.fresh:
            fresh.append(ecosystem)
    if not etags:
        raise absent[0]
    whole = len(fresh) == len(etags) and held <= set(fresh)
    if not whole:
        for ecosystem in fresh:
            # The index is built whole: what did not change is needed, too.
            etags[ecosystem.value] = (await fetch(ecosystem, "")).etag
    return _Fetched(
        etags=tuple(sorted((name, etag) for name, etag in etags.items() if etag)),
        fresh=whole,
        asked_origin_at=datetime.now(UTC) - timedelta(seconds=max(ages)),
    )


def _check_counts(
    source: str,
    counts: dict[Ecosystem, EcosystemCounts],
    *,
    current: AdvisoryIndex | None,
    force: bool,
) -> None:
    records = {ecosystem: counts.get(ecosystem, EcosystemCounts()).records for ecosystem in Ecosystem}
    for ecosystem, found in records.items():
        before = current.counts().get(ecosystem, EcosystemCounts()).records if current else 0
        if found == 0 and (before or not any(records.values())):
            raise SyncError(
                f"The advisory source {source} holds no record about a package of {ecosystem.value}.",
                fix="An empty dump is never what a database holds; the index was left as it was.",
            )
        if found < _SHRINK * before and not force:
            raise SyncError(
                f"The advisory source {source} has {found} records for {ecosystem.value};"
                f" the index has {before}.",
                fix="Less than half looks like a damaged dump. If it is meant, sync again with --force.",
            )


def _check_newest(source: str, built: Path, *, current: AdvisoryIndex) -> None:
    """Refuse a source that went back in time: an old dump hides every advisory that came after it."""
    # A record from the future would make every later dump look old.
    now = datetime.now(UTC)
    with contextlib.closing(AdvisoryIndex.open(built)) as new:
        for ecosystem in current.counts():
            had, has = (index.newest(ecosystem, until=now) for index in (current, new))
            if had and has and has < had - _BACKWARDS:
                raise SyncError(
                    f"The advisory source {source} went back in time for {ecosystem.value}: its newest record"
                    f" is of {has:%Y-%m-%d %H:%M} UTC, the index has one of {had:%Y-%m-%d %H:%M} UTC.",
                    fix="The last good index stands. Ask whether the source still syncs; if its older records"
                    " are meant, sync again with --force.",
                )


async def _build(source: Path, target: Path, *, say: ProgressCallback, limits: Limits) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "skillwarden.advisories.build",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=_MAX_LINE,
    )
    try:
        request = {"source": str(source), "target": str(target), "limits": asdict(limits)}
        assert process.stdin is not None  # noqa: S101 - asked for above
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.close()
        outcome: dict[str, Any] = {}
        async for message in _messages(process):
            match message["kind"]:
                case "progress":
                    say(SyncProgress(SyncStage.READ, message["done"], message["total"]))
                case _:
                    outcome = message
        return await _outcome(process, outcome, source=source)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _messages(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None  # noqa: S101 - asked for by the caller
    async for line in process.stdout:
        yield json.loads(line)


async def _outcome(
    process: asyncio.subprocess.Process, outcome: dict[str, Any], *, source: Path
) -> dict[str, Any]:
    assert process.stderr is not None  # noqa: S101 - asked for by the caller
    stderr = (await process.stderr.read(64 * 1024)).decode(errors="replace")
    status = await process.wait()
    match outcome.get("kind"):
        case "error":
            raise SyncError(outcome["message"], fix=outcome["fix"])
        case "result" if status == 0:
            return outcome
        case _:
            last = stderr.strip().splitlines()[-1:] or ["nothing was said"]
            raise SyncError(f"Reading the advisories in {source} failed with exit code {status}: {last[0]}.")
