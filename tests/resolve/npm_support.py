"""An npm registry on loopback, with tarballs made on the spot."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
PUBLISHED = "2026-01-02T03:04:05.000Z"


def make_tarball(files: dict[str, str]) -> bytes:
    """Return what ``npm pack`` would: a gzipped tar below ``package/``."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0)


def integrity(data: bytes, algorithm: str = "sha512") -> str:
    """Return the Subresource Integrity of some bytes."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def pnpm_lockfile(*, leaf: str, top: str) -> str:
    """Return what pnpm 9 writes for ``top@^3``, which needs ``leaf``; with their integrities."""
    return f"""lockfileVersion: '9.0'

importers:
  .:
    dependencies:
      top:
        specifier: ^3
        version: 3.0.0

packages:
  leaf@1.0.0:
    resolution: {{integrity: {leaf}}}
  top@3.0.0:
    resolution: {{integrity: {top}}}

snapshots:
  leaf@1.0.0: {{}}
  top@3.0.0:
    dependencies:
      leaf: 1.0.0
"""


@dataclass
class Registry:
    """A registry that serves what was added to it; ``trouble`` answers first, where it wants to."""

    url: str = ""
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    tarballs: dict[str, bytes] = field(default_factory=dict)
    trouble: Answer | None = None
    token: str | None = None
    requests: list[str] = field(default_factory=list)

    def add(
        self, name: str, version: str = "1.0.0", *, files: dict[str, str] | None = None, **manifest: Any
    ) -> None:
        """Publish a version; ``manifest`` is what its package.json says besides."""
        described = {"name": name, "version": version, **manifest}
        data = make_tarball({"package.json": json.dumps(described), "index.js": "", **(files or {})})
        file = f"{name.rpartition('/')[2]}-{version}.tgz"
        self.tarballs[f"{name}/-/{file}"] = data
        document = self.documents.setdefault(
            name, {"name": name, "versions": {}, "time": {}, "dist-tags": {}}
        )
        dist = {"tarball": f"{self.url}/{name}/-/{file}", "integrity": integrity(data)}
        document["versions"][version] = {**described, "dist": dist}
        document["time"][version] = PUBLISHED
        document["dist-tags"]["latest"] = version

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = unquote(request.path).lstrip("/")
        self.requests.append(path)
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "who are you"}, status=401)
        if self.trouble is not None and (answer := await self.trouble(request)):
            return answer
        if path in self.tarballs:
            return web.Response(body=self.tarballs[path])
        if path in self.documents:
            return web.json_response(self.documents[path])
        return web.json_response({"error": "not found"}, status=404)


@contextlib.asynccontextmanager
async def running_registry() -> AsyncIterator[Registry]:
    made = Registry()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
