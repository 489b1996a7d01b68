"""Getting a lock's artefacts from the index: once each, by hash, only from hosts that are allowed.

This is the only code that downloads what a skill will run, and the only one that holds the index's
credentials. A lock's URLs come from the index's answer, so they are not trusted: the host must be allowed
at every hop, the size is bounded, and nothing lands whose hash is not the lock's.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import netrc
import os
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from ..domain.artefact_facts import MissingArtefact
from ..domain.errors import IntegrityError, InvalidInputError, SkillwardenError, UnavailableError
from ..domain.lock import Artefact, Lock
from .digests import split_artefact_digest
from .files import PendingFile
from .protocol import FetchReport
from .store import DepotStore

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Statuses that say "later", not "no" (RFC 9110, RFC 6585).
_RETRYABLE_STATUSES = frozenset({408, 425, 429})
_CHUNK = 1 << 20


class FetchRefusedError(SkillwardenError):
    """An artefact that is not to be had until somebody mends something: its URL, host, size or absence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """What bounds a fetch.

    Attributes
    ----------
    allowed_hosts
        Hosts besides those of each call: ``host`` (any port) or ``host:port``.
    index_url
        The configured index, where its URL carries credentials: they are sent to its own origin only.
    max_bytes
        Of one artefact.
    deadline_seconds
        For one artefact, redirects included.
    concurrency
        Artefacts at a time.
    """

    allowed_hosts: frozenset[str] = frozenset()
    index_url: str = field(default="", repr=False)
    max_bytes: int = 2 * 2**30
    deadline_seconds: float = 300.0
    concurrency: int = 8


class Fetcher:
    """Fetches artefacts into a store; an async context manager, one for each event loop.

    Parameters
    ----------
    store
        Where artefacts land.
    settings
        The bounds.
    """

    def __init__(self, store: DepotStore, *, settings: FetchSettings | None = None) -> None:
        self._store = store
        self._settings = settings or FetchSettings()
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._running: dict[tuple[Artefact, frozenset[str]], asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # trust_env: proxies and netrc of the depot's own process, never of a sandbox.
        self._session = aiohttp.ClientSession(
            trust_env=True,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "skillwarden-depot"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in tuple(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def fetch(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> FetchReport:
        """Get what the store lacks of a lock; never raises for one artefact, but reports it.

        Parameters
        ----------
        lock
            Which artefacts, with URL and hash.
        allowed_hosts
            Hosts that the lock's index itself declares.
        """
        hosts = self._settings.allowed_hosts | frozenset(allowed_hosts)
        outcomes = await asyncio.gather(
            *(_outcome(self.fetch_artefact(package.artefact, hosts)) for package in lock.packages)
        )
        missing = tuple(
            MissingArtefact(package.id, str(error), isinstance(error, UnavailableError))
            for package, error in zip(lock.packages, outcomes, strict=True)
            if error is not None
        )
        return FetchReport(missing)

    async def fetch_artefact(self, artefact: Artefact, hosts: frozenset[str]) -> None:
        """Get one artefact unless it is there; concurrent asks for it share one download.

        Raises
        ------
        IntegrityError
            Where the index serves other bytes than the lock promises.
        FetchRefusedError
            Where URL, host, size or a final answer of the index forbid it.
        UnavailableError
            Where the index does not answer, or not in time or not to the end.
        """
        try:
            split_artefact_digest(artefact.digest)
        except InvalidInputError as error:
            raise FetchRefusedError(f"{artefact.filename}: its hash cannot be used: {error}") from error
        key = (artefact, hosts)
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._get(artefact, hosts))
            self._running[key] = task
            task.add_done_callback(functools.partial(self._done, key))
        # One asker that gives up does not take the download from the others.
        await asyncio.shield(task)

    def _done(self, key: tuple[Artefact, frozenset[str]], task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # taken note of, even where every asker has gone

    async def _get(self, artefact: Artefact, hosts: frozenset[str]) -> None:
        async with self._slots:
            if await asyncio.to_thread(self._store.has_artefact, artefact.digest):
                return
            try:
                async with asyncio.timeout(self._settings.deadline_seconds):
                    await self._download(artefact, hosts)
            except TimeoutError as error:
                raise UnavailableError(
                    f"{artefact.filename} did not arrive in time (at most"
                    f" {self._settings.deadline_seconds:g} s) from {_where(artefact.url)}."
                ) from error
            except aiohttp.ClientError as error:
                raise UnavailableError(
                    f"{artefact.filename} could not be fetched from {_where(artefact.url)}: {_reason(error)}."
                ) from error
            except OSError as error:
                raise UnavailableError(
                    f"{artefact.filename} could not be kept in the depot: {error.strerror or error}.",
                    fix="Check the depot's disk.",
                ) from error

    async def _download(self, artefact: Artefact, hosts: frozenset[str]) -> None:
        if self._session is None:
            raise RuntimeError("the fetcher is used outside of its context")
        url = _start(artefact, hosts)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.get(url, allow_redirects=False, headers=self._auth(url)) as response:
                if response.status in _REDIRECTS:
                    url = redirect_target(artefact, response, hosts)
                    continue
                _check_status(artefact, response)
                with self._store.new_artefact(artefact.digest) as file:
                    await self._receive(artefact, response, file)
                    await self._land(artefact, file)
                return
        raise FetchRefusedError(f"{artefact.filename}: more than {MAX_REDIRECTS} redirects.")

    async def _receive(self, artefact: Artefact, response: aiohttp.ClientResponse, file: PendingFile) -> None:
        limit = self._settings.max_bytes
        if (response.content_length or 0) > limit:
            raise _too_large(artefact, limit)
        pending: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            pending.append(chunk)
            size += len(chunk)
            if file.size + size > limit:
                raise _too_large(artefact, limit)
            if size >= _CHUNK:
                await asyncio.to_thread(file.write, b"".join(pending))
                pending, size = [], 0
        await asyncio.to_thread(file.write, b"".join(pending))

    async def _land(self, artefact: Artefact, file: PendingFile) -> None:
        try:
            await asyncio.to_thread(self._store.commit_artefact, file, digest=artefact.digest)
        except IntegrityError as error:
            raise IntegrityError(
                f"{artefact.filename} from {_where(artefact.url)} is not the file that the lock names:"
                f" {error.message}",
                fix="Find out who changed it; then make the lock anew with: skillwarden refresh.",
            ) from error

    def _auth(self, url: URL) -> dict[str, str]:
        """Credentials of the index's own URL, for its own origin only; netrc is aiohttp's part."""
        index = URL(self._settings.index_url)
        if index.user is None or not index.host or index.origin() != url.origin():
            return {}
        pair = f"{index.user}:{index.password or ''}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


async def _outcome(fetch: Awaitable[None]) -> SkillwardenError | None:
    try:
        await fetch
    except SkillwardenError as error:
        return error
    return None


def host_allowed(url: URL, hosts: Collection[str]) -> bool:
    """Whether a URL's host is among ``host`` (any port) or ``host:port`` entries."""
    host = (url.host or "").lower()
    authority = f"[{host}]" if ":" in host else host
    wanted = {entry.lower() for entry in hosts}
    return bool(host) and bool(wanted & {host, authority, f"{authority}:{url.port}"})


def _start(artefact: Artefact, hosts: frozenset[str]) -> URL:
    try:
        url = URL(artefact.url)
    except ValueError as error:
        raise FetchRefusedError(f"{artefact.filename}: its URL in the lock cannot be read.") from error
    if url.user is not None or url.password is not None:
        raise FetchRefusedError(
            f"{artefact.filename}: its URL in the lock carries credentials.",
            fix="Give the index's credentials to the depot by netrc.",
        )
    return _check_url(artefact, url, hosts)


def _check_url(artefact: Artefact, url: URL, hosts: frozenset[str]) -> URL:
    if url.scheme not in {"https", "http"}:
        raise FetchRefusedError(f"{artefact.filename}: only https and http are fetched, not {url.scheme!r}.")
    if not host_allowed(url, hosts):
        raise FetchRefusedError(
            f"{artefact.filename}: the host {url.host!r} is neither the index's nor an allowed one.",
            fix="If artefacts are to come from there, start the depot with --allow-host.",
        )
    return url


def redirect_target(artefact: Artefact, response: aiohttp.ClientResponse, hosts: frozenset[str]) -> URL:
    """Return where a redirect leads.

    Raises
    ------
    FetchRefusedError
        Where that is no allowed host, no http, or plain text after TLS.
    """
    try:
        target = response.url.join(URL(response.headers.get("Location", "")))
    except ValueError as error:
        raise FetchRefusedError(f"{artefact.filename}: a redirect that cannot be read.") from error
    if response.url.scheme == "https" and target.scheme != "https":
        raise FetchRefusedError(f"{artefact.filename}: a redirect from https to {target.scheme!r}.")
    return _check_url(artefact, target, hosts).with_user(None)


def _check_status(artefact: Artefact, response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 200:
        return
    message = f"{artefact.filename}: {_where(artefact.url)} answered with HTTP status {status}."
    if status >= 500 or status in _RETRYABLE_STATUSES:
        raise UnavailableError(message)
    fix = "Check the depot's credentials for the index." if status in {401, 403} else ""
    raise FetchRefusedError(message, fix=fix)


def _too_large(artefact: Artefact, limit: int) -> FetchRefusedError:
    return FetchRefusedError(
        f"{artefact.filename} is larger than the {limit} bytes that the depot takes for one file.",
        fix="Raise --max-file-bytes of the depot if the file is wanted.",
    )


def _where(url: str) -> str:
    """Name the host only: a path or query may be a secret (signed URLs)."""
    return URL(url).host or "nowhere"


def _reason(error: aiohttp.ClientError) -> str:
    match error:
        case aiohttp.ClientPayloadError():
            return "the transfer was cut off"
        case aiohttp.ClientConnectorError():
            return f"no connection ({error.strerror or 'refused'})"
        case _:
            return type(error).__name__


def check_netrc() -> None:
    """Raise early where a netrc file stands but cannot be read; aiohttp would only warn.

    Raises
    ------
    InvalidInputError
        Where it does not parse.
    """
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        if path.exists():
            netrc.netrc(path)
    except (netrc.NetrcParseError, OSError, ValueError) as error:
        raise InvalidInputError(f"the netrc file {path} cannot be used: {error}.") from error
