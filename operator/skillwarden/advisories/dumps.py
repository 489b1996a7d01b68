"""Reading OSV dumps from the disk: folders of JSON files and ``all.zip`` archives, with nothing trusted.

Nothing is ever unpacked to the disk. An archive is judged by its directory first (count, sizes, ratio,
names), and while it is read what really comes out is counted again, because a directory can lie.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skillwarden.domain.package import Ecosystem

from .errors import SyncError
from .record import MAX_RECORD_BYTES

ARCHIVE_NAME = "all.zip"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a dump may be; several times what OSV's largest holds.

    Attributes
    ----------
    archive_bytes
        Size of one ``all.zip``.
    records
        Number of records of one dump.
    record_bytes, total_bytes
        Unpacked size of one record and of all.
    ratio
        Unpacked over packed size of an archive; JSON reaches about 15.
    """

    archive_bytes: int = 1024 * 1024 * 1024
    records: int = 1_000_000
    record_bytes: int = MAX_RECORD_BYTES
    total_bytes: int = 8 * 1024 * 1024 * 1024
    ratio: int = 150


DEFAULT_LIMITS = Limits()
#: Below this an archive's ratio says nothing: a bomb is not smaller than this unpacked.
_RATIO_FLOOR = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dump:
    """One part of a source.

    Attributes
    ----------
    path
        A folder of JSON files or an ``all.zip``.
    records
        How many records it seems to hold, for progress.
    """

    path: Path
    records: int


def find_dumps(folder: Path, *, limits: Limits = DEFAULT_LIMITS) -> tuple[list[Dump], list[str]]:
    """Return the dumps of a folder, and the names of its sub-folders for ecosystems that we do not judge.

    A folder holds either JSON files itself, or one sub-folder per ecosystem with ``all.zip`` or JSON files.

    Raises
    ------
    SyncError
        Where it is missing or holds no record.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise SyncError(
            f"The advisory source {folder} {what}.",
            fix="Give a folder of OSV JSON files, or one with ECOSYSTEM/all.zip as OSV's dumps have it.",
        )
    try:
        return _find(folder, limits=limits)
    except OSError as error:
        raise SyncError(f"The advisory source {folder} cannot be read: {error}.") from error


def _find(folder: Path, *, limits: Limits) -> tuple[list[Dump], list[str]]:
    known = {ecosystem.value for ecosystem in Ecosystem}
    folders = sorted(
        item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")
    )
    dumps = [_folder_dump(folder, limits=limits)]
    for name in folders:
        if name not in known:
            continue
        archive = folder / name / ARCHIVE_NAME
        dumps.append(
            Dump(archive, len(check_archive(archive, limits=limits)))
            if archive.is_file()
            else _folder_dump(folder / name, limits=limits)
        )
    dumps = [dump for dump in dumps if dump.records]
    if not dumps:
        expected = " or ".join(f"{ecosystem.value}/{ARCHIVE_NAME}" for ecosystem in Ecosystem)
        raise SyncError(
            f"The advisory source {folder} holds no records.",
            fix=f"It should have *.json files, or {expected}.",
        )
    return dumps, [name for name in folders if name not in known]


def _json_files(folder: Path) -> list[Path]:
    return sorted(
        item for item in folder.iterdir() if item.suffix == ".json" and not item.name.startswith(".")
    )


def _folder_dump(folder: Path, *, limits: Limits) -> Dump:
    count = len(_json_files(folder))
    if count > limits.records:
        raise SyncError(f"{folder} holds {count} records; at most {limits.records} are taken.")
    return Dump(folder, count)


def check_archive(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[zipfile.ZipInfo]:
    """Return an archive's records after judging its directory.

    Raises
    ------
    SyncError
        Where it is truncated, too large, or holds what an OSV dump does not.
    """
    try:
        size = path.stat().st_size
        if size > limits.archive_bytes:
            raise SyncError(f"{path} has {size} bytes; at most {limits.archive_bytes} are taken.")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise SyncError(
            f"{path} is not a whole zip archive: {error}.", fix="It may be truncated; fetch it again."
        ) from error
    except OSError as error:
        raise SyncError(f"{path} cannot be read: {error}.") from error
    if len(entries) > limits.records:
        raise SyncError(f"{path} holds {len(entries)} entries; at most {limits.records} are taken.")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limits.total_bytes:
        raise SyncError(f"{path} unpacks to {unpacked} bytes; at most {limits.total_bytes} are taken.")
    if unpacked > _RATIO_FLOOR and unpacked > limits.ratio * size:
        raise SyncError(f"{path} unpacks to {unpacked // size} times its size, as a zip bomb does.")
    records = [entry for entry in entries if not entry.is_dir()]
    for entry in records:
        _check_entry(path, entry)
    if not records:
        raise SyncError(f"{path} is empty.", fix="OSV's dumps are never empty; fetch it again.")
    return records


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or ".." in parts or any(char in name for char in "\\:\0\n\r"):
        raise SyncError(f"{path} holds an entry that points outside of it: {name[:200]!r}.")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise SyncError(f"{path} holds an entry that is not a regular file: {name[:200]!r}.")
    if entry.flag_bits & 0x1:
        raise SyncError(f"{path} holds an encrypted entry: {name[:200]!r}.")
    if not name.endswith(".json"):
        raise SyncError(f"{path} holds an entry that is no OSV record: {name[:200]!r}.")


def read_dump(dump: Dump, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[str, bytes]]:
    """Yield each record's name and bytes; one byte more than ``record_bytes`` where it has more.

    Raises
    ------
    SyncError
        Where an archive is damaged or turns out larger than its directory said.
    """
    if dump.path.is_dir():
        yield from _read_folder(dump.path, limits=limits)
        return
    records = check_archive(dump.path, limits=limits)
    packed, total = dump.path.stat().st_size, 0
    try:
        with zipfile.ZipFile(dump.path) as archive:
            for entry in records:
                with archive.open(entry) as file:
                    data = file.read(limits.record_bytes + 1)
                total += len(data)
                if total > limits.total_bytes or (total > _RATIO_FLOOR and total > limits.ratio * packed):
                    raise SyncError(f"{dump.path} unpacks to more than its directory says.")
                yield entry.filename, data
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SyncError(
            f"{dump.path} is damaged: {error}.", fix="It may be truncated; fetch it again."
        ) from error


def _read_folder(folder: Path, *, limits: Limits) -> Iterator[tuple[str, bytes]]:
    total = 0
    for path in _json_files(folder):
        try:
            with path.open("rb") as file:
                data = file.read(limits.record_bytes + 1)
        except OSError as error:
            raise SyncError(f"{path} cannot be read: {error}.") from error
        total += len(data)
        if total > limits.total_bytes:
            raise SyncError(f"{folder} holds more than {limits.total_bytes} bytes of records.")
        yield path.name, data
