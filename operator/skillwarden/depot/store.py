"""The content-addressed store on disk: whole files by digest, and nothing that fails its hash is served.

Layout below the root: ``artefacts/<algorithm>/ab/<hash>``, ``contents/``, ``inputs/`` (raw bytes, named by
their hash); ``locks/``, ``keys/``, ``scans/``, ``facts/``, ``malware/`` (sealed JSON records); ``tmp/`` (what
is being written).
All methods block; on an event loop they are called through ``asyncio.to_thread``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..domain.artefact_facts import FACTS_VERSION, ArtefactFacts
from ..domain.content import digest_of
from ..domain.finding import ScanResult
from ..domain.lock import Lock
from ..domain.malware import Detection
from . import files
from .digests import hex_of, split_artefact_digest
from .protocol import InUse, Usage
from .room import KINDS, MARKS, Room, bounded, write_mark

_LATEST = "latest"


class DepotStore:
    """What the depot keeps.

    Parameters
    ----------
    root
        Folder of the store; made where it is absent. Several processes may share it where it has no limit.
    max_size
        Bytes that it may hold; ``None``: no bound.

    Raises
    ------
    OSError
        Where the folder cannot be made or written.
    """

    def __init__(self, root: Path, *, max_size: int | None = None) -> None:
        # The process that reads artefacts has a working folder of its own.
        root = root.absolute()
        self._root = root
        self._temp = root / "tmp"
        for folder in (*KINDS, "tmp", MARKS):
            (root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        files.sweep(self._temp)
        self.room = Room(root, limit=bounded(root, max_size))
        # A mark must be taken most of all where there is no room.
        self._marks = Room(root)
        self._verified: dict[str, tuple[int, int, int]] = {}

    def mark(self, holder: str, in_use: InUse, *, seconds: float) -> Usage:
        """Keep what a holder says is in use, for some time; return how full the store is."""
        record = {
            "expires": time.time() + seconds,
            "locks": sorted(in_use.locks),
            "contents": sorted(in_use.contents),
            "inputs": sorted(in_use.inputs),
        }
        write_mark(self._root, holder, record, self._write_mark)
        return self.room.usage

    def _write_mark(self, path: Path, data: bytes) -> None:
        files.write_sealed(path, data, temp=self._temp, room=self._marks)

    def _write(self, path: Path, data: bytes) -> None:
        files.write_sealed(path, data, temp=self._temp, room=self.room)

    # Contents and inputs: bytes by digest.

    def put_content(self, data: bytes) -> str:
        """Keep a packed source (``content.pack``) and return its digest."""
        return self._put_bytes("contents", data)

    def get_content(self, digest: str) -> bytes | None:
        """Return a packed source, or ``None``."""
        return self._get_bytes("contents", digest)

    def put_input(self, data: bytes) -> str:
        """Keep a run's input and return its digest."""
        return self._put_bytes("inputs", data)

    def get_input(self, digest: str) -> bytes | None:
        """Return a run's input, or ``None``."""
        return self._get_bytes("inputs", digest)

    # Locks, and the resolution keys that lead to them.

    def put_lock(self, lock: Lock, *, key: str | None = None) -> None:
        """Keep a lock's record; with a key, what that key resolves to from now on."""
        self._put_record(self._lock_path(lock.digest), lock.to_json())
        if key is not None:
            self._put_record(self._key_path(key), {"key": key, "lockDigest": lock.digest})

    def get_lock(self, digest: str) -> Lock | None:
        """Return the lock of a digest, or ``None``; a record of another lock is removed."""
        path = self._lock_path(digest)
        record = self._get_record(path)
        if record is None:
            return None
        lock = Lock.from_json(record)
        if lock.digest != digest:
            path.unlink(missing_ok=True)
            return None
        return lock

    def lock_for_key(self, key: str) -> Lock | None:
        """Return the lock that a resolution key leads to, or ``None``."""
        record = self._get_record(self._key_path(key))
        return self.get_lock(record["lockDigest"]) if record and record["key"] == key else None

    # Scan results.

    def put_scan(self, result: ScanResult) -> None:
        """Keep a scan result; it is also the lock's latest unless a later one is kept already."""
        record = result.to_json()
        folder = self._scan_folder(result.lock_digest)
        self._put_record(folder / _revision_file(result.advisory_revision), record)
        latest = self.latest_scan(result.lock_digest)
        if latest is None or latest.completed_at <= result.completed_at:
            self._put_record(folder / _LATEST, record)

    def get_scan(self, lock_digest: str, revision: str) -> ScanResult | None:
        """Return the result of a lock at a revision of the advisories, or ``None``."""
        record = self._get_record(self._scan_folder(lock_digest) / _revision_file(revision))
        if not record or record["lockDigest"] != lock_digest or record["advisoryRevision"] != revision:
            return None
        return ScanResult.from_json(record)

    def latest_scan(self, lock_digest: str) -> ScanResult | None:
        """Return the result of a lock that was completed last, or ``None``."""
        record = self._get_record(self._scan_folder(lock_digest) / _LATEST)
        return ScanResult.from_json(record) if record and record["lockDigest"] == lock_digest else None

    # Artefacts.

    def has_artefact(self, digest: str) -> bool:
        """Whether the artefact is here and whole; what this process hashed before is not hashed anew."""
        path = self.artefact_path(digest)
        try:
            state = _identity(path.stat())
        except FileNotFoundError:
            return False
        if self._verified.get(digest) == state:
            return self._used(path)
        file = self.open_artefact(digest)
        if file is None:
            return False
        file.close()
        return True

    def open_artefact(self, digest: str) -> BinaryIO | None:
        """Open an artefact, every byte just verified, or return ``None``; a corrupt one is removed."""
        path = self.artefact_path(digest)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        if files.hash_file(file, algorithm=split_artefact_digest(digest)[0]) != digest:
            self._verified.pop(digest, None)
            files.remove_if_same(path, file)
            file.close()
            return None
        self._used(path)
        self._verified[digest] = _identity(os.fstat(file.fileno()))
        return file

    @contextlib.contextmanager
    def new_artefact(self, digest: str) -> Iterator[files.PendingFile]:
        """Open a pending file for ``commit_artefact``; it is dropped at the end unless committed."""
        algorithm = split_artefact_digest(digest)[0]
        with files.pending(self._temp, room=self.room, algorithm=algorithm) as file:
            yield file

    def commit_artefact(self, file: files.PendingFile, *, digest: str) -> None:
        """Let an artefact land.

        Raises
        ------
        IntegrityError
            Where its bytes do not have the hash.
        """
        file.commit(self.artefact_path(digest), digest=digest)

    # What artefacts say of themselves.

    def put_facts(self, digest: str, folders: Mapping[str, ArtefactFacts]) -> None:
        """Keep what was read in an artefact, by folder."""
        rows = {folder: facts.to_json() for folder, facts in folders.items()}
        self._put_record(
            self._about_artefact("facts", digest),
            {"version": FACTS_VERSION, "digest": digest, "folders": rows},
        )

    def get_facts(self, digest: str) -> dict[str, ArtefactFacts] | None:
        """Return what was read in an artefact, or ``None``; what another release read does not count."""
        record = self._get_record(self._about_artefact("facts", digest))
        if not record or record["digest"] != digest or record["version"] != FACTS_VERSION:
            return None
        return {folder: ArtefactFacts.from_json(row) for folder, row in record["folders"].items()}

    # What heuristics detect in them.

    def put_detections(self, digest: str, detections: tuple[Detection, ...], *, version: str) -> None:
        """Keep what some version of the heuristics detected in an artefact."""
        rows = [[item.rule, item.text] for item in detections]
        self._put_record(
            self._about_artefact("malware", digest),
            {"version": version, "digest": digest, "detections": rows},
        )

    def get_detections(self, digest: str, *, version: str) -> tuple[Detection, ...] | None:
        """Return what was detected in an artefact, or ``None``; another version's word does not count."""
        record = self._get_record(self._about_artefact("malware", digest))
        if not record or record["digest"] != digest or record["version"] != version:
            return None
        return tuple(Detection(rule, text) for rule, text in record["detections"])

    def _put_bytes(self, kind: str, data: bytes) -> str:
        digest = digest_of(data)
        if self._get_bytes(kind, digest) is None:
            with files.pending(self._temp, room=self.room) as file:
                file.write(data)
                file.commit(self._bytes_path(kind, digest), digest=digest)
        return digest

    def _get_bytes(self, kind: str, digest: str) -> bytes | None:
        path = self._bytes_path(kind, digest)
        try:
            with path.open("rb") as file:
                data = file.read()
                if digest_of(data) == digest:
                    return data if self._used(path) else None
                files.remove_if_same(path, file)
        except FileNotFoundError:
            pass
        return None

    def _put_record(self, path: Path, record: dict[str, Any]) -> None:
        data = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
        if files.read_sealed(path) != data or not self._used(path):
            self._write(path, data)

    def _get_record(self, path: Path) -> dict[str, Any] | None:
        data = files.read_sealed(path)
        if data is None or not self._used(path):
            return None
        record: dict[str, Any] = json.loads(data)
        return record

    def _used(self, path: Path) -> bool:
        """Note that a file is used; ``False``: it has just been deleted to make room."""
        try:
            self.room.touch(path)
        except FileNotFoundError:
            return False
        return True

    def _bytes_path(self, kind: str, digest: str) -> Path:
        name = hex_of(digest)
        return self._root / kind / name[:2] / name

    def artefact_path(self, digest: str) -> Path:
        """Return where an artefact lies; ``has_artefact`` says whether it does, and whole."""
        algorithm, name = split_artefact_digest(digest)
        return self._root / "artefacts" / algorithm / name[:2] / name

    def _about_artefact(self, kind: str, digest: str) -> Path:
        """Return where what is known of an artefact lies: a record of ``facts`` or of ``malware``."""
        algorithm, name = split_artefact_digest(digest)
        return self._root / kind / f"{algorithm}-{name}"

    def _lock_path(self, digest: str) -> Path:
        return self._root / "locks" / hex_of(digest)

    def _key_path(self, key: str) -> Path:
        return self._root / "keys" / hex_of(key)

    def _scan_folder(self, lock_digest: str) -> Path:
        return self._root / "scans" / hex_of(lock_digest)


def _revision_file(revision: str) -> str:
    """A revision is the advisories' own text; only its hash may become a file name."""
    return hashlib.sha256(revision.encode()).hexdigest()


def _identity(state: os.stat_result) -> tuple[int, int, int]:
    return (state.st_ino, state.st_size, state.st_ctime_ns)
