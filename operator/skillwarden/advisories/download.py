"""Fetching OSV's dumps over HTTP: bounded in size and time, to the host that was named and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from .dumps import ARCHIVE_NAME
from .errors import NoDumpError, SourceUnavailableError, SyncError

_CHUNK = 256 * 1024
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: RFC 9111, 1.2.2: what is larger counts as this.
_MAX_AGE = 2**31
_UNAVAILABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Download:
    """The outcome of asking for a dump.

    Attributes
    ----------
    fresh
        The server says that what we have is what it has; nothing was fetched.
    etag
        The dump's ETag; empty where the server sends none.
    age_seconds
        How long ago the server had it from its origin: HTTP's ``Age``, which a cache in between sends, and
        a server of advisories that syncs by itself (RFC 9111, 5.1). Without one: 0.
    """

    fresh: bool
    etag: str
    age_seconds: int = 0


def shown(url: URL) -> str:
    """Return the URL without credentials and query, as messages and records show it."""
    bare = url.with_query(None).with_fragment(None)
    return str(bare.with_user(None) if bare.host else bare)


def dump_url(base: URL, ecosystem: str) -> URL:
    """Return where the dump of an ecosystem lies below a base."""
    return base.with_path(base.path.rstrip("/") + f"/{ecosystem}/{ARCHIVE_NAME}")


async def download(
    url: URL,
    target: Path,
    *,
    etag: str,
    max_bytes: int,
    on_progress: Callable[[int, int | None], None],
    idle_seconds: float = 60.0,
) -> Download:
    """Fetch one dump into a file.

    Parameters
    ----------
    url
        Where it lies.
    target
        File to write.
    etag
        What we have of it, or ``""``.
    max_bytes
        More than this is refused.
    on_progress
        Called with the bytes fetched and the bytes in all, where known.
    idle_seconds
        How long the server may be silent; the caller bounds the whole.

    Raises
    ------
    SourceUnavailableError
        Where the server does not answer or breaks off.
    NoDumpError
        Where it has none.
    SyncError
        Where it answers with what is not a dump.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=idle_seconds, sock_read=idle_seconds)
    headers = {"Accept-Encoding": "identity"} | ({"If-None-Match": etag} if etag else {})
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True, auto_decompress=False) as session:
            response = await _follow(session, url, headers)
            async with response:
                if response.status == 304 and etag:
                    return Download(fresh=True, etag=etag, age_seconds=_age(response))
                _check_status(response)
                await _save(response, target, max_bytes=max_bytes, on_progress=on_progress)
                known = response.headers.get("ETag", "")
                return Download(fresh=False, etag=known, age_seconds=_age(response))
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        reason = str(error) or type(error).__name__
        raise SourceUnavailableError(
            f"The advisory source {shown(url)} does not answer: {reason}.",
            fix="Check the address and the network; the last good index stands.",
        ) from error


async def _follow(
    session: aiohttp.ClientSession, url: URL, headers: dict[str, str]
) -> aiohttp.ClientResponse:
    current = url
    for _ in range(_MAX_REDIRECTS + 1):
        response = await session.get(current, headers=headers, allow_redirects=False)
        if response.status not in _REDIRECTS:
            return response
        response.release()
        target = _location(current, response)
        downgraded = current.scheme == "https" and target.scheme != "https"
        if target.host != url.host or downgraded or target.scheme not in {"http", "https"}:
            raise SyncError(
                f"The advisory source {shown(url)} redirects to {shown(target)}, which is not the same host.",
                fix="Name the other address as the source if it is trusted.",
            )
        if current.user is not None and target.user is None and target.origin() == current.origin():
            target = target.with_user(current.user).with_password(current.password)
        current = target
    raise SyncError(f"The advisory source {shown(url)} redirects more than {_MAX_REDIRECTS} times.")


def _location(current: URL, response: aiohttp.ClientResponse) -> URL:
    try:
        return current.join(URL(response.headers["Location"]))
    except (KeyError, ValueError) as error:
        raise SyncError(f"The advisory source {shown(current)} redirects to what is no URL.") from error


def _age(response: aiohttp.ClientResponse) -> int:
    """Return what ``Age`` says; one that is no number of seconds is to be ignored (RFC 9111, 5.1)."""
    text = response.headers.get("Age", "").strip()
    return min(int(text[:11]), _MAX_AGE) if text.isascii() and text.isdecimal() else 0


def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status == 200:
        return
    message = f"The advisory source {shown(response.url)} answers with HTTP {response.status}."
    if response.status in _UNAVAILABLE:
        raise SourceUnavailableError(message, fix="Try again later; the last good index stands.")
    kind = NoDumpError if response.status == 404 else SyncError
    raise kind(message, fix="Check the address: ECOSYSTEM/all.zip is looked for below it.")


async def _save(
    response: aiohttp.ClientResponse,
    target: Path,
    *,
    max_bytes: int,
    on_progress: Callable[[int, int | None], None],
) -> None:
    total = response.content_length
    if total is not None and total > max_bytes:
        raise SyncError(f"{shown(response.url)} has {total} bytes; at most {max_bytes} are taken.")
    fetched = 0
    file: BinaryIO = await asyncio.to_thread(target.open, "wb")
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            fetched += len(chunk)
            if fetched > max_bytes:
                raise SyncError(f"{shown(response.url)} sends more than {max_bytes} bytes.")
            await asyncio.to_thread(file.write, chunk)
            on_progress(fetched, total)
    finally:
        await asyncio.to_thread(file.close)
    if total is not None and fetched != total:
        raise SourceUnavailableError(f"{shown(response.url)} broke off after {fetched} of {total} bytes.")
