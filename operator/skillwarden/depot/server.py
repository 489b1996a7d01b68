"""The depot's HTTP side: one application, two audiences that never see each other's.

``/v1/…`` is the operator's: it writes. ``/sandbox/…`` is a sandbox's: it reads what its token opens, and
gets 404 for everything else, whether it exists or not. Without a token that this depot issued: 401.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ..domain import content
from ..domain.artefact_facts import MissingArtefact
from ..domain.errors import IntegrityError, InvalidInputError, SkillwardenError, UnavailableError
from ..domain.finding import ScanResult
from ..domain.lock import Lock
from ..domain.package import PackageId
from . import sandbox_api
from .digests import hex_of
from .fetch import Fetcher
from .local import LocalDepot
from .protocol import Depot, DepotFullError, InUse
from .store import DepotStore
from .tokens import InvalidTokenError, check_secret, is_operator, verify

log = logging.getLogger("skillwarden.depot")
access_log = logging.getLogger("skillwarden.depot.access")

#: Bounds of request bodies in bytes. A content is base64 with its paths; a lock has some 600 a package.
MAX_CONTENT_BYTES = 2 * content.MAX_SOURCE_BYTES + content.MAX_SOURCE_FILES * 2048
MAX_INPUT_BYTES = 1 << 20
MAX_LOCK_BYTES = 8 << 20
MAX_SCAN_BYTES = 32 << 20
MAX_ASK_BYTES = 64 << 10
#: Some 75 bytes a digest: 100,000 Skills with three each.
MAX_MARK_BYTES = 32 << 20
MAX_MARK_SECONDS = 30 * 86400

DEPOT: web.AppKey[Depot] = web.AppKey("depot")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    store: DepotStore, fetcher: Fetcher, *, secret: bytes, guarddog: Path | None = None
) -> web.Application:
    """Return the application.

    Parameters
    ----------
    store, fetcher
        What is served; the fetcher is entered by the caller.
    secret
        The key that tokens derive from, at least 32 bytes.
    guarddog
        Interpreter of GuardDog's environment; ``None``: the one that is looked for by itself.

    Raises
    ------
    InvalidInputError
        Where the key is too short.
    """
    check_secret(secret)
    app = web.Application(middlewares=[_errors, _authentication(secret)], client_max_size=MAX_SCAN_BYTES)
    app[DEPOT] = LocalDepot(store, fetcher, guarddog=guarddog)
    app[sandbox_api.STORE] = store
    app.router.add_get("/healthz", _health)
    for kind in ("contents", "inputs"):
        app.router.add_put(f"/v1/{kind}/{{digest}}", _put_bytes(kind))
        app.router.add_get(f"/v1/{kind}/{{digest}}", _get_bytes(kind))
    app.router.add_put("/v1/marks/{holder}", _mark)
    app.router.add_put("/v1/locks/{digest}", _put_lock)
    app.router.add_get("/v1/locks/{digest}", _get_lock)
    app.router.add_post("/v1/locks/{digest}/fetch", _fetch)
    app.router.add_post("/v1/locks/{digest}/inspect", _inspect)
    app.router.add_post("/v1/locks/{digest}/malware", _malware)
    app.router.add_get("/v1/lock-keys/{key}", _lock_for_key)
    app.router.add_put("/v1/scans/{digest}", _put_scan)
    app.router.add_get("/v1/scans/{digest}", _get_scan)
    app.router.add_get("/v1/scans/{digest}/latest", _latest_scan)
    sandbox_api.add_routes(app)
    return app


class AccessLogger(AbstractAccessLogger):
    """One line a request with what cannot hold a token: no headers, no query."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line."""
        self.logger.info("%s %s %d %.3fs", request.method, request.path, response.status, time)


def build_runner(app: web.Application) -> web.AppRunner:
    """Return a runner whose access log holds no tokens; the caller adds its sites."""
    return web.AppRunner(
        app, access_log_class=AccessLogger, access_log=access_log, handle_signals=False, shutdown_timeout=5
    )


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidTokenError:
        return web.json_response(
            {"error": "a token of this depot is needed."},
            status=401,
            headers={"WWW-Authenticate": 'Basic realm="skillwarden depot"'},
        )
    except IntegrityError as error:
        return _problem(409, error)
    except DepotFullError as error:
        log.error("%s %s: %s", request.method, request.path, error)
        return _problem(507, error)
    except UnavailableError as error:
        log.error("%s %s: %s", request.method, request.path, error)
        return _problem(503, error)
    except SkillwardenError as error:
        return _problem(422, error)


def _problem(status: int, error: SkillwardenError) -> web.Response:
    return web.json_response({"error": error.message, "fix": error.fix}, status=status)


def _authentication(secret: bytes) -> Any:
    """Return the middleware that lets each audience see its own half only."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/healthz":
            return await handler(request)
        token = _token(request.headers.get("Authorization", ""))
        if is_operator(secret, token):
            wanted = "/v1/"
        else:
            request[sandbox_api.GRANT] = verify(secret, token)
            wanted = "/sandbox/"
        if not request.path.startswith(wanted):
            raise web.HTTPNotFound
        return await handler(request)

    return authenticate


def _token(header: str) -> str:
    """Take a token from a bearer header, or from the password of a basic one, as pip sends it."""
    scheme, _, value = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
            except (ValueError, binascii.Error):
                return ""
        case _:
            return ""


async def _body(request: web.Request, limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes, whatever its declared length."""
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=request.content_length or 0)
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(data))
    return bytes(data)


async def _json(request: web.Request, limit: int) -> Any:
    try:
        return json.loads(await _body(request, limit))
    except ValueError as error:
        raise InvalidInputError(f"the body is not JSON: {error}.") from error


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _put_bytes(kind: str) -> Handler:
    async def put(request: web.Request) -> web.Response:
        data = await _body(request, MAX_CONTENT_BYTES if kind == "contents" else MAX_INPUT_BYTES)
        _same(content.digest_of(data), request.match_info["digest"])
        depot = request.app[DEPOT]
        if kind == "contents":
            content.unpack(data)
            await depot.put_content(data)
        else:
            await depot.put_input(data)
        return web.Response(status=204)

    return put


def _get_bytes(kind: str) -> Handler:
    async def get(request: web.Request) -> web.Response:
        depot = request.app[DEPOT]
        read = depot.get_content if kind == "contents" else depot.get_input
        data = await read(request.match_info["digest"])
        if data is None:
            raise web.HTTPNotFound
        return web.Response(body=data, content_type="application/octet-stream")

    return get


async def _put_lock(request: web.Request) -> web.Response:
    record = await _json(request, MAX_LOCK_BYTES)
    try:
        lock = Lock.from_json(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"the body is not a lock's record: {error!r}.") from error
    _same(lock.digest, request.match_info["digest"])
    await request.app[DEPOT].put_lock(lock, key=request.query.get("key"))
    return web.Response(status=204)


async def _get_lock(request: web.Request) -> web.Response:
    return _record(await request.app[DEPOT].get_lock(request.match_info["digest"]))


async def _lock_for_key(request: web.Request) -> web.Response:
    return _record(await request.app[DEPOT].lock_for_key(request.match_info["key"]))


async def _mark(request: web.Request) -> web.Response:
    ask = await _json(request, MAX_MARK_BYTES)
    try:
        seconds = float(ask["seconds"])
        found = {kind: frozenset(str(item) for item in ask[kind]) for kind in ("locks", "contents", "inputs")}
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"the body does not say what is in use: {error!r}.") from error
    if not 0 < seconds <= MAX_MARK_SECONDS:
        raise InvalidInputError(f"a mark holds for {MAX_MARK_SECONDS} seconds at most.")
    for digest in frozenset().union(*found.values()):
        hex_of(digest)
    usage = await request.app[DEPOT].mark(request.match_info["holder"], InUse(**found), seconds=seconds)
    return web.json_response(asdict(usage))


async def _asked(request: web.Request) -> tuple[Lock, list[str]]:
    """Return the lock of the path, and the hosts that its artefacts may come from."""
    ask = await _json(request, MAX_ASK_BYTES)
    hosts = ask.get("allowedHosts") if isinstance(ask, dict) else None
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise InvalidInputError('the body must be {"allowedHosts": [host, …]}.')
    lock = await request.app[DEPOT].get_lock(request.match_info["digest"])
    if lock is None:
        raise web.HTTPNotFound
    return lock, hosts


async def _inspect(request: web.Request) -> web.Response:
    found = await request.app[DEPOT].inspect(*await _asked(request))
    rows = [{"package": _row(id_), "facts": facts.to_json()} for id_, facts in sorted(found.known.items())]
    return web.json_response({"known": rows, "unread": _lost(found.unread)})


async def _malware(request: web.Request) -> web.Response:
    found = await request.app[DEPOT].detect_malware(*await _asked(request))
    rows = [
        {"package": _row(id_), "detections": [[item.rule, item.text] for item in detections]}
        for id_, detections in sorted(found.known.items())
    ]
    return web.json_response({"known": rows, "unread": _lost(found.unread), "problem": found.problem})


def _lost(unread: Iterable[MissingArtefact]) -> list[dict[str, Any]]:
    return [
        {"package": _row(item.package), "message": item.message, "retryable": item.retryable}
        for item in unread
    ]


def _row(package: PackageId) -> list[str]:
    return [package.ecosystem.value, package.name, package.version]


async def _fetch(request: web.Request) -> web.Response:
    lock, hosts = await _asked(request)
    report = await request.app[DEPOT].fetch(lock, hosts)
    missing = {item.package: item for item in report.missing}
    rows = [
        {
            "ecosystem": package.id.ecosystem.value,
            "name": package.id.name,
            "version": package.id.version,
            "fetched": package.id not in missing,
            "message": missing[package.id].message if package.id in missing else "",
            "retryable": package.id in missing and missing[package.id].retryable,
        }
        for package in lock.packages
    ]
    return web.json_response({"packages": rows})


async def _put_scan(request: web.Request) -> web.Response:
    record = await _json(request, MAX_SCAN_BYTES)
    try:
        result = ScanResult.from_json(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"the body is not a scan result's record: {error!r}.") from error
    _same(result.lock_digest, request.match_info["digest"])
    await request.app[DEPOT].put_scan(result)
    return web.Response(status=204)


async def _get_scan(request: web.Request) -> web.Response:
    revision = request.query.get("revision", "")
    return _record(await request.app[DEPOT].get_scan(request.match_info["digest"], revision))


async def _latest_scan(request: web.Request) -> web.Response:
    return _record(await request.app[DEPOT].latest_scan(request.match_info["digest"]))


def _record(value: Lock | ScanResult | None) -> web.Response:
    if value is None:
        raise web.HTTPNotFound
    return web.json_response(value.to_json())


def _same(found: str, wanted: str) -> None:
    if found != wanted:
        raise IntegrityError(f"the body has the digest {found}, but the path names {wanted[:100]}.")
