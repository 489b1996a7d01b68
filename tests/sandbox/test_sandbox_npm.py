"""npm packages in the init container: unpacked where the lock says, by hash, and nothing besides."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import stat
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.domain.errors import IntegrityError, UnavailableError
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.nodejs import find_node_tools
from skillwarden.sandbox import install_npm as subject
from skillwarden.sandbox.install_npm import inner_path, install_npm, unpack

NODE = Platform(node="24")


def make_tarball(*members: tuple[str, str | tarfile.TarInfo]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, what in members:
            if isinstance(what, tarfile.TarInfo):
                archive.addfile(what)
                continue
            entry = tarfile.TarInfo(name)
            entry.size = len(what.encode())
            entry.mode = 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(entry, io.BytesIO(what.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)


def manifest(name: str, version: str) -> tuple[str, str]:
    return "package/package.json", json.dumps({"name": name, "version": version, "main": "index.js"})


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, tarfile.TarInfo]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return name, entry


@dataclass
class Shelf:
    """A depot that serves what was put on it; its interface is ``DepotReader``'s."""

    files: dict[str, bytes] = field(default_factory=dict)
    packages: list[LockedPackage] = field(default_factory=list)

    def add(
        self,
        name: str,
        version: str = "1.0.0",
        *members: tuple[str, str | tarfile.TarInfo],
        at: tuple[str, ...] = (),
    ) -> bytes:
        data = make_tarball(manifest(name, version), *members)
        digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
        file = f"{name.rpartition('/')[2]}-{version}.tgz"
        self.files[f"/sandbox/files/{digest}/{file}"] = data
        places = at or (f"node_modules/{name}",)
        id_ = PackageId(Ecosystem.NPM, name, version)
        self.packages.append(LockedPackage(id_, Artefact(file, digest), locations=places))
        return data

    def get(self, path: str, *, limit: int) -> bytes:
        try:
            return self.files[path]
        except KeyError:
            raise UnavailableError(f"the depot does not have {path}.") from None

    @property
    def lock(self) -> Lock:
        return Lock(NODE, tuple(self.packages))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def install(shelf: Shelf, tmp_path: Path) -> Callable[[], Path]:
    def run() -> Path:
        volume, scratch = tmp_path / "skill", tmp_path / "scratch"
        volume.mkdir()
        scratch.mkdir()
        install_npm(shelf.lock, reader=shelf, volume=volume, scratch=scratch)  # type: ignore[arg-type]
        assert list(scratch.iterdir()) == []
        return volume

    return run


def test_packages_lie_where_the_lock_says_and_node_finds_them(
    shelf: Shelf, install: Callable[[], Path]
) -> None:
    shelf.add(
        "leaf",
        "1.0.0",
        ("package/index.js", "exports.v = 1"),
        at=("node_modules/@acme/top/node_modules/leaf",),
    )
    shelf.add("leaf", "2.0.0", ("package/index.js", "exports.v = 2"))
    shelf.add(
        "@acme/top",
        "1.0.0",
        ("package/index.js", "exports.inner = require('leaf').v"),
        ("package/run.sh", "x"),
    )
    volume = install()
    source = volume / "src"
    source.mkdir()
    (source / "main.mjs").write_text(
        "import top from '@acme/top'; import leaf from 'leaf'; console.log(top.inner, leaf.v);"
    )
    done = subprocess.run(
        [find_node_tools().node, "main.mjs"],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "1 2\n"
    top = volume / "node_modules" / "@acme" / "top"
    assert stat.S_IMODE((top / "run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((top / "index.js").stat().st_mode) == 0o644
    assert stat.S_IMODE(top.stat().st_mode) == 0o755


def test_a_lock_without_npm_packages_makes_an_empty_folder(install: Callable[[], Path]) -> None:
    assert list((install() / "node_modules").iterdir()) == []


def test_lockfile_tampering_other_bytes_than_the_locks_are_not_opened(
    shelf: Shelf, install: Callable[[], Path]
) -> None:
    shelf.add("leaf")
    [path] = shelf.files
    shelf.files[path] = make_tarball(manifest("leaf", "1.0.0"), ("package/index.js", "steal()"))
    with pytest.raises(IntegrityError, match="not the lock's"):
        install()


def test_what_the_depot_does_not_have_is_unavailable(shelf: Shelf, install: Callable[[], Path]) -> None:
    shelf.add("leaf")
    shelf.files.clear()
    with pytest.raises(UnavailableError):
        install()


@pytest.mark.parametrize(
    "name", ["package/../../evil", "/etc/evil", "package/a/../../../evil", "package\\..\\evil"]
)
def test_a_path_that_leads_out_is_refused(name: str, shelf: Shelf, install: Callable[[], Path]) -> None:
    shelf.add("leaf", "1.0.0", (name, "x"))
    with pytest.raises(IntegrityError, match="would be written to"):
        install()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_left_out_and_not_followed(
    kind: bytes, shelf: Shelf, install: Callable[[], Path], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shelf.add("leaf", "1.0.0", link("package/way", str(outside), kind), ("package/way/file", "x"))
    volume = install()
    assert list(outside.iterdir()) == []
    assert (volume / "node_modules" / "leaf" / "way" / "file").read_text() == "x"


def test_a_package_smuggled_inside_of_another_is_refused(shelf: Shelf, install: Callable[[], Path]) -> None:
    shelf.add(
        "leaf", "1.0.0", ("package/node_modules/evil/package.json", '{"name": "evil", "version": "6.6.6"}')
    )
    with pytest.raises(IntegrityError, match="node_modules/leaf/node_modules/evil"):
        install()


def test_a_bundled_package_that_the_lock_names_is_taken(shelf: Shelf, install: Callable[[], Path]) -> None:
    inner = ("package/node_modules/inner/package.json", '{"name": "inner", "version": "1.2.3"}')
    shelf.add("leaf", "1.0.0", inner)
    [holder] = shelf.packages
    bundled = LockedPackage(
        PackageId(Ecosystem.NPM, "inner", "1.2.3"),
        holder.artefact,
        (holder.id,),
        locations=("node_modules/leaf/node_modules/inner",),
        bundled=True,
    )
    shelf.packages.append(bundled)
    assert (install() / "node_modules/leaf/node_modules/inner/package.json").is_file()


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("another name", '{"name": "other", "version": "1.0.0"}'),
        ("another version", '{"name": "leaf", "version": "9.9.9"}'),
        ("no version", '{"name": "leaf"}'),
        ("no JSON", "{"),
    ],
)
def test_a_package_is_refused_whose_manifest_has(
    sentence: str, text: str, shelf: Shelf, install: Callable[[], Path]
) -> None:
    shelf.add("leaf", "1.0.0", ("package/package.json", text))
    with pytest.raises(IntegrityError):
        install()


def test_a_bundled_package_that_is_not_there_is_missed(shelf: Shelf, install: Callable[[], Path]) -> None:
    shelf.add("leaf")
    [holder] = shelf.packages
    id_ = PackageId(Ecosystem.NPM, "inner", "1.2.3")
    place = "node_modules/leaf/node_modules/inner"
    shelf.packages.append(LockedPackage(id_, holder.artefact, (holder.id,), locations=(place,), bundled=True))
    with pytest.raises(IntegrityError, match=f"not installed: {place}"):
        install()


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip", gzip.compress(b"no tar"), gzip.compress(b"x" * 4096)[:-20]],
    # gzip's header holds the time: as a test's name it would differ between the processes that run the tests.
    ids=["empty", "no gzip", "no tar", "cut"],
)
def test_what_is_no_tarball_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(data)
    with pytest.raises(IntegrityError):
        unpack(tmp_path / "x.tgz", tmp_path / "out")
        subject.compare(tmp_path, [])
        raise IntegrityError("an empty archive holds no package.json")


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_UNPACKED_BYTES", 1 << 20)
    (tmp_path / "x.tgz").write_bytes(make_tarball(("package/zeros", "0" * (2 << 20))))
    (tmp_path / "out").mkdir()
    with pytest.raises(IntegrityError, match="unpack to more than 1 MiB"):
        unpack(tmp_path / "x.tgz", tmp_path / "out")
    assert not (tmp_path / "out" / "zeros").exists()


@given(st.text(alphabet="ab./\\\x00 ", max_size=24))
def test_no_path_leads_out(name: str) -> None:
    try:
        path = inner_path(name)
    except IntegrityError:
        return
    if path is not None:
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert path.parts
