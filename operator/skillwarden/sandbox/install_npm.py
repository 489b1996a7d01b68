"""Unpacking npm packages by the lock: what npm would install, without npm.

npm would be one more program in a small sandbox, and would believe a tarball's own lists. Here each
tarball has the lock's SHA-512 or is not opened, goes where the lock says and nowhere else, and what then
lies there is compared with the lock. Nothing of a package is run: there are no lifecycle scripts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from ..domain.errors import IntegrityError
from ..domain.lock import Artefact, Lock, LockedPackage
from ..domain.package import Ecosystem, PackageId
from .settings import MODULES
from .transfer import DepotReader

#: npm's registry takes no tarball that comes near these; they end a bomb before the volume is full.
MAX_TARBALL_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 2 << 30
MAX_FILES = 200_000
_CHUNK = 1 << 20


def install_npm(lock: Lock, *, reader: DepotReader, volume: Path, scratch: Path) -> None:
    """Unpack a lock's npm packages below ``volume/node_modules``; a lock without any makes an empty folder.

    Raises
    ------
    IntegrityError
        Where bytes do not have the lock's hash, a tarball would write outside of its folder or is none, or
        what lies there in the end is not what the lock names.
    UnavailableError
        Where the depot does not serve an artefact.
    OSError
        Where the volume cannot be written.
    """
    root = volume / MODULES
    root.mkdir()
    root.chmod(0o755)
    packages = [package for package in lock.packages if package.id.ecosystem is Ecosystem.NPM]
    budget = _Budget()
    # Outer folders first: what is nested is unpacked into its parent.
    places = sorted(
        (place, package) for package in packages if not package.bundled for place in package.locations
    )
    for place, package in places:
        tarball = scratch / "package.tgz"
        _download(package.artefact, reader, tarball)
        target = volume / place
        make_folders(volume, target)
        unpack(tarball, target, budget=budget)
        tarball.unlink()
    compare(volume, packages)


class _Budget:
    """What all packages together may still unpack."""

    def __init__(self) -> None:
        self.bytes = MAX_UNPACKED_BYTES
        self.files = MAX_FILES

    def take(self, size: int) -> None:
        self.bytes -= size
        self.files -= 1
        if self.bytes < 0 or self.files < 0:
            raise IntegrityError(
                f"the packages unpack to more than {MAX_UNPACKED_BYTES >> 20} MiB or {MAX_FILES} files."
            )


def _download(artefact: Artefact, reader: DepotReader, target: Path) -> None:
    address = f"/sandbox/files/{artefact.digest}/{quote(artefact.filename)}"
    body = reader.get(address, limit=MAX_TARBALL_BYTES)
    found = hashlib.new(artefact.algorithm, body).hexdigest()
    if found != artefact.hex:
        raise IntegrityError(
            f"the depot served {artefact.filename} with the hash {found[:16]}..., not the lock's;"
            f" nothing was installed."
        )
    target.write_bytes(body)


def make_folders(volume: Path, target: Path) -> None:
    """Make a folder and those above it, readable for everybody; a link on the way is refused."""
    current = volume
    for part in target.relative_to(volume).parts:
        current /= part
        if current.is_symlink():
            raise IntegrityError(f"{current.relative_to(volume)} is a link.")
        if not current.is_dir():
            current.mkdir()
            current.chmod(0o755)


def unpack(tarball: Path, target: Path, *, budget: _Budget | None = None) -> None:
    """Unpack a gzipped tar into a folder without its first path segment, as npm does; links are left out.

    Raises
    ------
    IntegrityError
        Where it is no such archive, a path leads out of it, or it is too large.
    """
    budget = budget or _Budget()
    try:
        with tarfile.open(tarball, mode="r:gz") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                path = inner_path(member.name)
                if path is None:
                    continue
                budget.take(member.size)
                source = archive.extractfile(member)
                assert source is not None  # noqa: S101 - a regular file has content
                place = target / path
                make_folders(target, place.parent)
                _write(source, place, executable=bool(member.mode & 0o111))
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise IntegrityError(
            f"{tarball.name} cannot be unpacked: {error or type(error).__name__}."
        ) from error


def inner_path(name: str) -> PurePosixPath | None:
    """Return a member's path below the package's folder, or ``None`` for the folder itself.

    Raises
    ------
    IntegrityError
        Where it would lie elsewhere.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\\" in name or "\x00" in name:
        raise IntegrityError(f"a file of the package would be written to {name[:200]!r}.")
    return PurePosixPath(*parts[1:]) if len(parts) > 1 else None


def _write(source: IO[bytes], place: Path, *, executable: bool) -> None:
    # A name may stand twice in an archive; the last one counts, as for tar and npm.
    place.unlink(missing_ok=True)
    mode = 0o755 if executable else 0o644
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        shutil.copyfileobj(source, file, _CHUNK)


def compare(volume: Path, packages: list[LockedPackage]) -> None:
    """Compare what lies in every folder that Node would search with the lock.

    Raises
    ------
    IntegrityError
        For a package that the lock does not name, one that is another than it names, and one that is not
        there.
    """
    wanted = {place: package.id for package in packages for place in package.locations}
    known = {package.id for package in packages}
    found = dict(installed(volume, wanted))
    strange = sorted(
        place for place, id_ in found.items() if wanted.get(place, id_) != id_ or id_ not in known
    )
    absent = sorted(place for place in wanted if place not in found)
    if strange or absent:
        parts = [
            f"{label} {', '.join(places[:5])}"
            for label, places in (("not as in the lock:", strange), ("not installed:", absent))
            if places
        ]
        raise IntegrityError(f"what was installed is not what the lock names ({'; '.join(parts)}).")


def installed(volume: Path, places: Mapping[str, PackageId]) -> Iterator[tuple[str, PackageId]]:
    """Yield each package that code of the skill or of a locked package would find, by its location."""
    for base in ("", *places):
        folder = volume / base / MODULES
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            inner = sorted(entry.iterdir()) if entry.name.startswith("@") and entry.is_dir() else [entry]
            for item in inner:
                place = str(item.relative_to(volume))
                if item.is_dir() and not item.name.startswith("."):
                    yield place, identity(item, place)


def identity(folder: Path, place: str) -> PackageId:
    """Return what a folder's package.json says it is.

    Raises
    ------
    IntegrityError
        Where it has none, or it cannot be read.
    """
    try:
        manifest = json.loads((folder / "package.json").read_bytes())
        return PackageId.of(Ecosystem.NPM, str(manifest["name"]), str(manifest["version"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{place} has no package.json that can be read.") from error
