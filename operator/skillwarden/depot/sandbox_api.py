"""What a sandbox may read: the lock, content and input of its token, and an index of that lock alone.

The index speaks the Simple API (PEP 503 HTML, PEP 691 JSON), so that pip installs from it with hashes as
from any other; it knows no package beyond the lock.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO
from urllib.parse import quote

from aiohttp import web

from ..domain.lock import Lock, LockedPackage
from ..domain.package import Ecosystem
from .files import CHUNK
from .local import in_thread
from .store import DepotStore
from .tokens import Grant

STORE: web.AppKey[DepotStore] = web.AppKey("store")
#: Where the authentication leaves what the request's token opens.
GRANT = web.RequestKey("grant", Grant)
_RECENT: web.AppKey[dict[str, Lock]] = web.AppKey("recent")
_RECENT_LOCKS = 64
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"


def add_routes(app: web.Application) -> None:
    """Mount the sandbox's half below ``/sandbox``."""
    app[_RECENT] = {}
    app.router.add_get("/sandbox/locks/{digest}", _lock)
    app.router.add_get("/sandbox/contents/{digest}", _content)
    app.router.add_get("/sandbox/inputs/{digest}", _input)
    app.router.add_get("/sandbox/simple/", _projects)
    app.router.add_get("/sandbox/simple/{name}/", _project)
    app.router.add_get("/sandbox/files/{digest}/{filename}", _file)


async def _lock(request: web.Request) -> web.Response:
    grant = _grant(request)
    if request.match_info["digest"] != grant.lock_digest:
        raise web.HTTPNotFound
    return web.json_response(public_record(await _granted_lock(request)))


async def _content(request: web.Request) -> web.Response:
    grant = _grant(request)
    if request.match_info["digest"] != grant.content_digest:
        raise web.HTTPNotFound
    return _bytes(await in_thread(request.app[STORE].get_content, grant.content_digest))


async def _input(request: web.Request) -> web.Response:
    grant = _grant(request)
    if grant.input_digest is None or request.match_info["digest"] != grant.input_digest:
        raise web.HTTPNotFound
    return _bytes(await in_thread(request.app[STORE].get_input, grant.input_digest))


async def _projects(request: web.Request) -> web.Response:
    names = [package.id.name for package in _python(await _granted_lock(request))]
    if _wants_json(request):
        record = {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in names]}
        return web.json_response(record, content_type=JSON_TYPE)
    return _page("Simple index", [(f"{name}/", name) for name in names])


async def _project(request: web.Request) -> web.Response:
    packages = _python(await _granted_lock(request))
    package = next((item for item in packages if item.id.name == request.match_info["name"]), None)
    if package is None:
        raise web.HTTPNotFound
    artefact = package.artefact
    address = f"../../files/{artefact.digest}/{quote(artefact.filename)}"
    if _wants_json(request):
        file = {"filename": artefact.filename, "url": address, "hashes": {artefact.algorithm: artefact.hex}}
        record = {"meta": {"api-version": "1.0"}, "name": package.id.name, "files": [file]}
        return web.json_response(record, content_type=JSON_TYPE)
    return _page(
        f"Links for {package.id.name}",
        [(f"{address}#{artefact.algorithm}={artefact.hex}", artefact.filename)],
    )


async def _file(request: web.Request) -> web.StreamResponse:
    lock = await _granted_lock(request)
    asked = (request.match_info["digest"], request.match_info["filename"])
    if asked not in {(package.artefact.digest, package.artefact.filename) for package in lock.packages}:
        raise web.HTTPNotFound
    file = await in_thread(request.app[STORE].open_artefact, asked[0])
    if file is None:
        raise web.HTTPNotFound
    with file:
        return await _stream(request, file)


async def _stream(request: web.Request, file: BinaryIO) -> web.StreamResponse:
    """Send the file that was verified, by its open descriptor: its name may stand for another by now."""
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = await asyncio.to_thread(_size, file)
    await response.prepare(request)
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        await response.write(chunk)
    await response.write_eof()
    return response


def _size(file: BinaryIO) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _grant(request: web.Request) -> Grant:
    return request[GRANT]


async def _granted_lock(request: web.Request) -> Lock:
    """Return the token's lock; pip asks twice a package, so the last ones read and verified are kept."""
    digest, recent = _grant(request).lock_digest, request.app[_RECENT]
    lock = recent.pop(digest, None) or await in_thread(request.app[STORE].get_lock, digest)
    if lock is None:
        raise web.HTTPNotFound
    recent[digest] = lock
    if len(recent) > _RECENT_LOCKS:
        recent.pop(next(iter(recent)))
    return lock


def public_record(lock: Lock) -> Mapping[str, Any]:
    """Return a lock's record without the artefacts' URLs: they may be signed, and a sandbox needs none."""
    record = lock.to_json()
    packages = [{**row, "url": ""} for row in record["packages"]]
    return {**record, "packages": packages}


def _python(lock: Lock) -> list[LockedPackage]:
    return [package for package in lock.packages if package.id.ecosystem is Ecosystem.PYPI]


def _wants_json(request: web.Request) -> bool:
    return JSON_TYPE in request.headers.get("Accept", "")


def _bytes(data: bytes | None) -> web.Response:
    if data is None:
        raise web.HTTPNotFound
    return web.Response(body=data, content_type="application/octet-stream")


def _page(title: str, links: Sequence[tuple[str, str]]) -> web.Response:
    rows = "".join(f'<a href="{html.escape(href)}">{html.escape(text)}</a><br>\n' for href, text in links)
    text = (
        '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0">'
        f"<title>{html.escape(title)}</title></head><body>\n{rows}</body></html>\n"
    )
    return web.Response(text=text, content_type=HTML_TYPE)
