"""A package index on loopback with wheels made on the spot, and a resolver that uses it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings

# The registry of npm's tests; tests are no packages (import mode importlib).
sys.path.insert(0, str(Path(__file__).resolve().parent))

JSON = "application/vnd.pypi.simple.v1+json"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def make_wheel(name: str, version: str, *, requires: Sequence[str] = (), extras: Sequence[str] = ()) -> bytes:
    rows = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    rows += [f"Provides-Extra: {extra}" for extra in extras]
    rows += [f"Requires-Dist: {requirement}" for requirement in requires]
    info = f"{name}-{version}.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{info}/METADATA", "\n".join(rows) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


def make_sdist(name: str, version: str, *, setup: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {
            "setup.py": setup,
            # Metadata 2.1 leaves a resolver no choice but to build, if it wants the dependencies.
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        }.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass
class Index:
    """An index that serves what was added to it; ``trouble`` answers first, where it wants to."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    trouble: Answer | None = None
    user: tuple[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    with_hashes: bool = True
    file_host: str = ""

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        requires: Sequence[str] = (),
        extras: Sequence[str] = (),
    ) -> str:
        filename = f"{name}-{version}-{tag}.whl"
        self.files[filename] = make_wheel(name, version, requires=requires, extras=extras)
        return filename

    def sdist(self, name: str, version: str = "1.0", *, setup: str) -> None:
        self.files[f"{name}-{version}.tar.gz"] = make_sdist(name, version, setup=setup)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        if self.user is not None:
            expected = base64.b64encode(":".join(self.user).encode()).decode()
            if request.headers.get("Authorization") != f"Basic {expected}":
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="index"'})
        if self.trouble is not None and (answer := await self.trouble(request)):
            return answer
        *_, folder, last = request.path.rstrip("/").split("/")
        if folder == "files" and last in self.files:
            return web.Response(body=self.files[last])
        rows = [self._row(name, data) for name, data in self.files.items() if name.startswith(f"{last}-")]
        if folder != "simple" or not rows:
            return web.Response(status=404)
        body = {"meta": {"api-version": "1.1"}, "name": last, "files": rows, "versions": []}
        return web.Response(text=json.dumps(body), content_type=JSON, headers=self.headers)

    def _row(self, name: str, data: bytes) -> dict[str, Any]:
        return {
            "filename": name,
            "url": f"{self.file_host or self.url.removesuffix('/simple')}/files/{name}",
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()} if self.with_hashes else {},
            "size": len(data),
            "upload-time": "2026-01-02T03:04:05.000000Z",
        }


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    made = Index()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/simple"
    yield made
    await runner.cleanup()


@pytest.fixture
def make_resolver(index: Index, tmp_path: Path) -> Callable[..., PythonResolver]:
    def make(**settings: Any) -> PythonResolver:
        defaults: dict[str, Any] = {
            "index_url": index.url,
            "cache_dir": tmp_path / "cache",
            "probe_seconds": 5,
        }
        return PythonResolver(ResolverSettings(**(defaults | settings)))

    return make


@pytest.fixture
def resolver(make_resolver: Callable[..., PythonResolver]) -> PythonResolver:
    return make_resolver()
