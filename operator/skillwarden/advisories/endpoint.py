"""An OSV-compatible endpoint over the index, so that pip-audit cross-checks the same advisories.

It lives as long as one scan, on loopback, under a path that nobody else can guess.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from skillwarden.domain.package import Ecosystem, PackageId

from .index import AdvisoryIndex
from .record import UnreadableRecordError, parse_entry, read_time

_MAX_REQUEST = 64 * 1024
_KEPT = ("id", "summary", "details", "schema_version", "modified", "published")


def make_app(index: AdvisoryIndex, *, prefix: str) -> web.Application:
    """Return the application; it answers ``POST /PREFIX/v1/query`` and nothing else."""

    async def query(request: web.Request) -> web.Response:
        try:
            package = read_query(await request.json())
        except ValueError as error:
            return web.json_response({"code": 3, "message": str(error)}, status=400)
        documents = index.documents(package)
        return web.json_response({"vulns": [present(document, package) for document in documents]})

    app = web.Application(client_max_size=_MAX_REQUEST)
    app.router.add_post(f"/{prefix}/v1/query", query)
    return app


def read_query(body: Any) -> PackageId:
    """Return the package that a query is about.

    Raises
    ------
    ValueError
        Where it is not a query for one version of one package that we judge.
    """
    match body:
        case {"package": {"name": str(name), "ecosystem": str(ecosystem)}, "version": str(version)}:
            return PackageId.of(Ecosystem(ecosystem), name, version)
        case _:
            raise ValueError("a query needs package.name, package.ecosystem and version")


def present(document: Mapping[str, Any], package: PackageId) -> dict[str, Any]:
    """Return the part of a record that concerns a package, in a shape that no client trips over.

    A record was matched by our own reading of it. Parts that another reader would choke on (an entry that
    cannot be evaluated, a time that is none) are left out or replaced by what we made of them, so that
    one bad record does not take the cross-check of a whole closure with it.
    """
    shown = {key: document[key] for key in _KEPT if isinstance(document.get(key), str)}
    for key in ("modified", "published"):
        if key in shown and read_time(shown[key]) is None:
            del shown[key]
    aliases = document.get("aliases")
    shown["aliases"] = (
        [item for item in aliases if isinstance(item, str)] if isinstance(aliases, list) else []
    )
    shown["affected"] = [
        _present_entry(entry, package, malformed=malformed)
        for entry, malformed in _entries_about(document, package)
    ]
    return shown


def _entries_about(document: Mapping[str, Any], package: PackageId) -> list[tuple[Mapping[str, Any], bool]]:
    found = []
    for entry in document.get("affected") or []:
        with contextlib.suppress(UnreadableRecordError):
            parsed = parse_entry(document, entry)
            if parsed and (parsed.ecosystem, parsed.name) == (package.ecosystem, package.name):
                found.append((entry, bool(parsed.affected.malformed)))
    return found


def _present_entry(entry: Mapping[str, Any], package: PackageId, *, malformed: bool) -> dict[str, Any]:
    identity = {"ecosystem": package.ecosystem.value, "name": package.name, "purl": package.purl}
    if malformed:
        return {"package": identity, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}
    return {
        "package": identity,
        "ranges": [item for item in entry.get("ranges") or [] if item["type"] != "GIT"],
        "versions": entry.get("versions") or [],
    }


@contextlib.asynccontextmanager
async def serve(index: AdvisoryIndex) -> AsyncIterator[str]:
    """Serve an index on loopback, and yield the URL of its query."""
    prefix = secrets.token_urlsafe(24)
    runner = web.AppRunner(make_app(index, prefix=prefix), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/{prefix}/v1/query"
    finally:
        await runner.cleanup()
