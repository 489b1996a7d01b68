"""An endpoint over the index that auditors ask, so that they cross-check the same advisories.

It speaks OSV's query (pip-audit) and npm's bulk advisories (``npm audit``). It lives as long as one scan, on
loopback, under a path that nobody else can guess.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, PackageId

from .index import Advisory, AdvisoryIndex
from .record import UnreadableRecordError, parse_entry, read_time

#: npm asks about a whole closure at once: some hundred bytes a package.
_MAX_REQUEST = 2 * 1024 * 1024
BULK_PATH = "/-/npm/v1/security/advisories/bulk"
#: npm's words; what is not known counts as high, which npm never leaves out.
_NPM_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MEDIUM: "moderate",
    Severity.LOW: "low",
    Severity.UNKNOWN: "high",
}
#: What npm asked about: its answer lists what it found, not what it looked at.
ASKED: web.AppKey[set[PackageId]] = web.AppKey("asked")
_KEPT = ("id", "summary", "details", "schema_version", "modified", "published")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint.

    Attributes
    ----------
    url
        Its base; npm takes it for a registry.
    asked
        The npm packages that were asked about so far.
    """

    url: str
    asked: set[PackageId]

    @property
    def query_url(self) -> str:
        """OSV's query."""
        return f"{self.url}/v1/query"


def make_app(index: AdvisoryIndex, *, prefix: str) -> web.Application:
    """Return the application; it answers ``POST /PREFIX/v1/query`` and npm's bulk endpoint, nothing else."""

    async def query(request: web.Request) -> web.Response:
        try:
            package = read_query(await request.json())
        except ValueError as error:
            return web.json_response({"code": 3, "message": str(error)}, status=400)
        documents = index.documents(package)
        return web.json_response({"vulns": [present(document, package) for document in documents]})

    async def bulk(request: web.Request) -> web.Response:
        try:
            asked = read_bulk(await request.json())
        except ValueError as error:
            return web.json_response({"message": str(error)}, status=400)
        app[ASKED].update(asked)
        return web.json_response(bulk_answer(index, asked))

    app = web.Application(client_max_size=_MAX_REQUEST)
    app[ASKED] = set()
    app.router.add_post(f"/{prefix}/v1/query", query)
    app.router.add_post(f"/{prefix}{BULK_PATH}", bulk)
    return app


def read_bulk(body: Any) -> set[PackageId]:
    """Return the packages of an npm bulk query: ``{name: [version, ...]}``.

    Raises
    ------
    ValueError
        Where it is not one.
    """
    if not isinstance(body, dict):
        raise ValueError("a bulk query is an object of names and lists of versions")
    found: set[PackageId] = set()
    for name, versions in body.items():
        if not isinstance(versions, list) or not all(isinstance(version, str) for version in versions):
            raise ValueError(f"{name[:80]!r} has no list of versions")
        found |= {PackageId.of(Ecosystem.NPM, name, version) for version in versions}
    return found


def bulk_answer(index: AdvisoryIndex, asked: Iterable[PackageId]) -> dict[str, list[dict[str, Any]]]:
    """Return npm's answer: for each name its advisories, each with the asked versions that it affects.

    npm evaluates ``vulnerable_versions`` itself; it is given exact versions, so that it cannot read a
    range of OSV otherwise than we do.
    """
    found: dict[str, dict[str, tuple[Advisory, list[str]]]] = {}
    for package in sorted(asked):
        for advisory in index.affecting(package):
            versions = found.setdefault(package.name, {}).setdefault(advisory.id, (advisory, []))[1]
            versions.append(package.version)
    return {
        name: [_npm_advisory(advisory, versions) for advisory, versions in advisories.values()]
        for name, advisories in found.items()
    }


def _npm_advisory(advisory: Advisory, versions: list[str]) -> dict[str, Any]:
    return {
        "id": advisory.id,
        "url": f"https://osv.dev/vulnerability/{advisory.id}",
        "title": advisory.summary or advisory.id,
        "severity": _NPM_SEVERITIES[advisory.severity],
        "vulnerable_versions": " || ".join(versions),
        "cwe": [],
    }


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
async def serve(index: AdvisoryIndex) -> AsyncIterator[Endpoint]:
    """Serve an index on loopback."""
    prefix = secrets.token_urlsafe(24)
    app = make_app(index, prefix=prefix)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield Endpoint(f"http://127.0.0.1:{port}/{prefix}", app[ASKED])
    finally:
        await runner.cleanup()
