"""The operator's way to a depot that is a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp

from ..domain.artefact_facts import ArtefactFacts, LockFacts, MissingArtefact
from ..domain.content import digest_of
from ..domain.errors import IntegrityError, InvalidInputError, UnavailableError
from ..domain.finding import ScanResult
from ..domain.lock import Lock
from ..domain.malware import Detection, LockDetections
from ..domain.package import Ecosystem, PackageId
from .digests import hex_of
from .protocol import DepotFullError, FetchReport, InUse, Usage

T = TypeVar("T")


class DepotClient:
    """The ``Depot`` protocol over HTTP; an async context manager.

    Parameters
    ----------
    base_url
        Such as ``http://10.0.0.7:8480``; with a unix socket it may be left out.
    operator_token
        From ``tokens.operator_token``.
    unix_socket
        Path of the depot's socket, instead of TCP.
    timeout_seconds
        For one answer; a fetch has ``fetch_timeout_seconds``.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        operator_token: str,
        unix_socket: Path | None = None,
        timeout_seconds: float = 30.0,
        fetch_timeout_seconds: float = 900.0,
    ) -> None:
        self._base = (base_url or "http://depot").rstrip("/")
        self._socket = unix_socket
        self._headers = {"Authorization": f"Bearer {operator_token}"}
        self._timeout = timeout_seconds
        self._fetch_timeout = fetch_timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(str(self._socket)) if self._socket else aiohttp.TCPConnector()
        # No trust_env: a proxy or netrc meant for the index has nothing to do with the depot.
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def put_content(self, data: bytes) -> str:
        """Keep a packed source; return its digest."""
        return await self._put_bytes("contents", data)

    async def get_content(self, digest: str) -> bytes | None:
        """Return a packed source, or ``None``."""
        return await self._get_bytes("contents", digest)

    async def put_input(self, data: bytes) -> str:
        """Keep a run's input; return its digest."""
        return await self._put_bytes("inputs", data)

    async def get_input(self, digest: str) -> bytes | None:
        """Return a run's input, or ``None``."""
        return await self._get_bytes("inputs", digest)

    async def put_lock(self, lock: Lock, key: str | None = None) -> None:
        """Keep a lock, and what a resolution key leads to."""
        query = {} if key is None else {"key": key}
        await self._call("PUT", f"/v1/locks/{lock.digest}", json=lock.to_json(), params=query)

    async def get_lock(self, digest: str) -> Lock | None:
        """Return a lock by digest, or ``None``."""
        lock = _read(Lock.from_json, await self._call("GET", f"/v1/locks/{_checked(digest)}"))
        if lock is not None and lock.digest != digest:
            raise IntegrityError(f"the depot answered with the lock {lock.digest} instead of {digest}.")
        return lock

    async def lock_for_key(self, key: str) -> Lock | None:
        """Return the lock that a resolution key leads to, or ``None``."""
        return _read(Lock.from_json, await self._call("GET", f"/v1/lock-keys/{_checked(key)}"))

    async def fetch(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> FetchReport:
        """Get every artefact of a lock that is not there yet; a lock the depot does not know is put first."""
        report = _read(_report, await self._ask_of(lock, "fetch", allowed_hosts))
        if report is None:
            raise UnavailableError(f"the depot lost the lock {lock.digest} between two calls.")
        fetched, missing = report
        absent = {package.id for package in lock.packages} - fetched - {item.package for item in missing}
        if absent:
            raise UnavailableError(f"the depot said nothing of {', '.join(map(str, sorted(absent)))}.")
        return FetchReport(missing)

    async def inspect(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockFacts:
        """Return what a lock's artefacts say of themselves; a lock the depot does not know is put first."""
        facts = _read(_lock_facts, await self._ask_of(lock, "inspect", allowed_hosts))
        if facts is None:
            raise UnavailableError(f"the depot lost the lock {lock.digest} between two calls.")
        return facts

    async def detect_malware(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockDetections:
        """Return what heuristics detect in a lock's artefacts; a lock that the depot lacks is put first."""
        found = _read(_lock_detections, await self._ask_of(lock, "malware", allowed_hosts))
        if found is None:
            raise UnavailableError(f"the depot lost the lock {lock.digest} between two calls.")
        return found

    async def mark(self, holder: str, in_use: InUse, *, seconds: float) -> Usage:
        """Say what is in use for some time, in place of what this holder said before."""
        body = {
            "seconds": seconds,
            "locks": sorted(in_use.locks),
            "contents": sorted(in_use.contents),
            "inputs": sorted(in_use.inputs),
        }
        answer = await self._call("PUT", f"/v1/marks/{quote(holder, safe='')}", json=body)
        usage = _read(lambda record: Usage(**record), answer)
        if usage is None:
            raise UnavailableError("the depot knows no marks: it is of another release than the operator.")
        return usage

    async def _ask_of(self, lock: Lock, what: str, allowed_hosts: Collection[str]) -> Any:
        path, ask = f"/v1/locks/{lock.digest}/{what}", {"allowedHosts": sorted(allowed_hosts)}
        answer = await self._call("POST", path, json=ask, seconds=self._fetch_timeout)
        if answer is None:
            await self.put_lock(lock)
            answer = await self._call("POST", path, json=ask, seconds=self._fetch_timeout)
        return answer

    async def put_scan(self, result: ScanResult) -> None:
        """Keep a scan result."""
        await self._call("PUT", f"/v1/scans/{_checked(result.lock_digest)}", json=result.to_json())

    async def get_scan(self, lock_digest: str, revision: str) -> ScanResult | None:
        """Return the result of a lock at a revision, or ``None``."""
        path = f"/v1/scans/{_checked(lock_digest)}"
        result = _read(ScanResult.from_json, await self._call("GET", path, params={"revision": revision}))
        if result is not None and (result.lock_digest, result.advisory_revision) != (lock_digest, revision):
            raise IntegrityError(f"the depot answered with another scan than that of {lock_digest}.")
        return result

    async def latest_scan(self, lock_digest: str) -> ScanResult | None:
        """Return the last result of a lock, or ``None``."""
        path = f"/v1/scans/{_checked(lock_digest)}/latest"
        result = _read(ScanResult.from_json, await self._call("GET", path))
        if result is not None and result.lock_digest != lock_digest:
            raise IntegrityError(f"the depot answered with another scan than that of {lock_digest}.")
        return result

    async def _put_bytes(self, kind: str, data: bytes) -> str:
        digest = digest_of(data)
        await self._call("PUT", f"/v1/{kind}/{digest}", data=data)
        return digest

    async def _get_bytes(self, kind: str, digest: str) -> bytes | None:
        data = await self._call("GET", f"/v1/{kind}/{_checked(digest)}")
        if isinstance(data, bytes) and digest_of(data) != digest:
            raise IntegrityError(f"the depot answered with other bytes than {digest}.")
        return data if isinstance(data, bytes) else None

    async def _call(self, method: str, path: str, *, seconds: float | None = None, **options: Any) -> Any:
        """Return the answer (parsed where it is JSON), or ``None`` for 404 and 204."""
        if self._session is None:
            raise RuntimeError("the depot's client is used outside of its context")
        bound = aiohttp.ClientTimeout(total=seconds or self._timeout)
        try:
            async with self._session.request(
                method, self._base + path, timeout=bound, allow_redirects=False, **options
            ) as response:
                return _answer(response, await response.read())
        except TimeoutError as error:
            raise self._unavailable(f"no answer in {bound.total:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unavailable(f"{error or type(error).__name__}") from error

    def _unavailable(self, reason: str) -> UnavailableError:
        where = str(self._socket) if self._socket else self._base
        return UnavailableError(
            f"the depot at {where} does not answer: {reason}.",
            fix="Start it with: skillwarden depot serve.",
        )


def _answer(response: aiohttp.ClientResponse, body: bytes) -> Any:
    match response.status:
        case 204 | 404:
            return None
        case 200 if response.content_type == "application/octet-stream":
            return body
        case 200:
            return json.loads(body)
        case 401:
            raise UnavailableError(
                "the depot does not accept the operator's token.",
                fix="Give the operator and the depot the same key.",
            )
        case 409:
            raise IntegrityError(f"the depot refused what it was given: {_problem(body)}")
        case 400 | 413 | 422:
            raise InvalidInputError(f"the depot refused what it was given: {_problem(body)}")
        case 507:
            raise DepotFullError(_problem(body))
        case status:
            raise UnavailableError(f"the depot answered with HTTP status {status}: {_problem(body)}")


def _problem(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip()


def _checked(digest: str) -> str:
    hex_of(digest)
    return digest


def _read(reader: Callable[[Mapping[str, Any]], T], record: Any) -> T | None:
    """Read a record of the depot's; one that is not ours is as good as no answer."""
    if record is None:
        return None
    try:
        return reader(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(f"the depot's answer cannot be read: {error!r}.") from error


def _report(record: Mapping[str, Any]) -> tuple[frozenset[PackageId], tuple[MissingArtefact, ...]]:
    fetched: set[PackageId] = set()
    missing: list[MissingArtefact] = []
    for row in record["packages"]:
        package = PackageId(Ecosystem(row["ecosystem"]), row["name"], row["version"])
        if row["fetched"] is True:
            fetched.add(package)
        else:
            missing.append(MissingArtefact(package, row["message"], row["retryable"]))
    return frozenset(fetched), tuple(missing)


def _lock_facts(record: Mapping[str, Any]) -> LockFacts:
    return LockFacts(
        known={_package(row["package"]): ArtefactFacts.from_json(row["facts"]) for row in record["known"]},
        unread=_unread(record),
    )


def _lock_detections(record: Mapping[str, Any]) -> LockDetections:
    return LockDetections(
        known={
            _package(row["package"]): tuple(
                Detection(str(rule), str(text)) for rule, text in row["detections"]
            )
            for row in record["known"]
        },
        unread=_unread(record),
        problem=str(record["problem"]),
    )


def _unread(record: Mapping[str, Any]) -> tuple[MissingArtefact, ...]:
    return tuple(
        MissingArtefact(_package(row["package"]), str(row["message"]), bool(row["retryable"]))
        for row in record["unread"]
    )


def _package(row: tuple[str, str, str]) -> PackageId:
    ecosystem, name, version = row
    return PackageId(Ecosystem(ecosystem), name, version)
