"""Wheels, locks, a package index and a depot, real and on loopback, for the tests of depot and sandbox."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from skillwarden.depot.fetch import FetchSettings
from skillwarden.depot.serving import Listening, serving
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId

SECRET = b"0123456789abcdef0123456789abcdef"
PLATFORM = Platform(python="3.12")


@dataclass(frozen=True)
class Wheel:
    """A wheel that exists."""

    name: str
    version: str
    filename: str
    data: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


def make_wheel(
    name: str = "tiny",
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    files: Mapping[str, str] | None = None,
    requires: Iterable[str] = (),
    metadata_name: str | None = None,
) -> Wheel:
    """Build a wheel that pip installs; ``metadata_name`` makes it lie about its name."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    contents = dict(files or {f"{name.replace('-', '_')}.py": f"VERSION = {version!r}\n"})
    metadata = [f"Metadata-Version: 2.1\nName: {metadata_name or name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    contents[f"{info}/METADATA"] = "".join(metadata)
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
    rows = []
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return Wheel(name, version, f"{stem}-{tag}.whl", buffer.getvalue())


def make_tarball(files: Mapping[str, str]) -> bytes:
    """Pack files as npm does."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def locked(wheel: Wheel, *, url: str = "") -> LockedPackage:
    return LockedPackage(
        PackageId.of(Ecosystem.PYPI, wheel.name, wheel.version),
        Artefact(wheel.filename, wheel.digest, url=url, size=len(wheel.data)),
        direct=True,
    )


def make_lock(*wheels: Wheel, base: str = "http://127.0.0.1:9", platform: Platform = PLATFORM) -> Lock:
    return Lock(platform, tuple(locked(wheel, url=f"{base}/files/{wheel.filename}") for wheel in wheels))


@dataclass
class Index:
    """A package index whose answers a test decides; it counts what it is asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    truncate: set[str] = field(default_factory=set)
    endless: set[str] = field(default_factory=set)
    drip: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None
    credentials: tuple[str, str] | None = None
    asked: Counter[str] = field(default_factory=Counter)
    authorizations: list[str | None] = field(default_factory=list)
    url: str = ""

    def add(self, *wheels: Wheel) -> None:
        self.files.update({wheel.filename: wheel.data for wheel in wheels})

    def partly_there(self) -> Lock:
        """Return a lock of ``good``, ``gone``, ``later`` (503 for now), and ``broken``, which is no zip."""
        good, gone, later, broken = (make_wheel(name) for name in ("good", "gone", "later", "broken"))
        broken = Wheel(broken.name, broken.version, broken.filename, b"no zip")
        self.add(good, later, broken)
        self.statuses[later.filename] = 503
        return make_lock(good, gone, later, broken, base=self.url)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked[name] += 1
        self.authorizations.append(request.headers.get("Authorization"))
        if self.gate is not None:
            await self.gate.wait()
        if self.credentials is not None:
            wanted = base64.b64encode(":".join(self.credentials).encode()).decode()
            if request.headers.get("Authorization") != f"Basic {wanted}":
                raise web.HTTPUnauthorized
        if name in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[name]})
        if name in self.statuses:
            return web.Response(status=self.statuses[name])
        if name not in self.files:
            raise web.HTTPNotFound
        return await self._send(request, name)

    async def _send(self, request: web.Request, name: str) -> web.StreamResponse:
        data = self.files[name]
        response = web.StreamResponse()
        if name in self.endless:
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(b"x" * 65536)
            return response
        if name in self.drip:
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(b"x")
                    await asyncio.sleep(0.01)
            return response
        response.content_length = len(data)
        await response.prepare(request)
        if name in self.truncate:
            await response.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(data)
        return response


@contextlib.asynccontextmanager
async def running_index() -> AsyncIterator[Index]:
    index = Index()
    app = web.Application()
    app.router.add_get("/files/{name}", index.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    index.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield index
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running_depot(
    state: Path,
    *,
    settings: FetchSettings | None = None,
    max_size: int | None = None,
    guarddog: Path | None = None,
) -> AsyncIterator[str]:
    """Serve a depot and yield its URL."""
    listening = Listening(host="127.0.0.1", port=0)
    async with serving(
        state,
        listening,
        secret=SECRET,
        settings=settings or FetchSettings(),
        max_size=max_size,
        guarddog=guarddog,
    ) as runner:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
