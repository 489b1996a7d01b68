"""Wheels and npm tarballs, honest and hostile, and having them read as the depot does."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skillwarden.artefact.read import ArtefactFile, Unreadable, read_artefacts
from skillwarden.domain.artefact_facts import ArtefactFacts
from skillwarden.domain.package import Ecosystem


def zip_of(*members: tuple[str | zipfile.ZipInfo, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def wheel_of(
    files: Mapping[str, str | bytes] | None = None,
    *,
    metadata: str = "",
    name: str = "tiny",
    version: str = "1.0",
) -> bytes:
    """A wheel with these files, and these lines in its METADATA."""
    info = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    return zip_of((f"{info}/METADATA", head + metadata), *(files or {}).items())


def tar_of(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def npm_of(manifest: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None) -> bytes:
    """A tarball with this package.json, and these files beside it."""
    everything = {"package.json": json.dumps({"name": "tiny", "version": "1.0.0", **(manifest or {})})}
    everything |= files or {}
    return tar_of(*((f"package/{path}", text.encode()) for path, text in everything.items()))


def bomb(size: int) -> bytes:
    """A gzipped tar of one file of zeros, far smaller than what is in it."""
    info = tarfile.TarInfo("package/zeros")
    info.size = size
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as packed:
        packed.write(info.tobuf())
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
    return buffer.getvalue()


class Desk:
    """Has artefacts read by the real process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def file(self, data: bytes, ecosystem: Ecosystem, name: str = "tiny") -> ArtefactFile:
        self._number += 1
        path = self._folder / f"artefact-{self._number}"
        path.write_bytes(data)
        return ArtefactFile(ecosystem, name, path)

    async def wheel(self, data: bytes, name: str = "tiny") -> ArtefactFacts:
        [answer] = await read_artefacts([self.file(data, Ecosystem.PYPI, name)])
        assert not isinstance(answer, Unreadable), answer
        return answer[""]

    async def npm(self, data: bytes) -> Mapping[str, ArtefactFacts]:
        [answer] = await read_artefacts([self.file(data, Ecosystem.NPM)])
        assert not isinstance(answer, Unreadable), answer
        return answer

    async def refusal(self, data: bytes, ecosystem: Ecosystem) -> str:
        """Return why it cannot be read."""
        [answer] = await read_artefacts([self.file(data, ecosystem)])
        assert isinstance(answer, Unreadable), answer
        return answer.reason
