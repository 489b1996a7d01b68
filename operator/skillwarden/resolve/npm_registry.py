"""Asking an npm registry itself: whether it is well, and when versions were published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp

from .npm_settings import NpmSettings
from .probe import proxy_for, status_trouble

#: Of a whole packument; the largest of npm's registry have some tens of megabytes.
_MAX_PACKUMENT_BYTES = 128 * 1024 * 1024
_AT_ONCE = 8
#: For all packuments of a closure together; a time that is not known by then stays unknown.
_TIMES_SECONDS = 30.0
#: What npm asks for: versions without their history, much smaller.
_ABBREVIATED = "application/vnd.npm.install-v1+json"

Times = dict[tuple[str, str], datetime]


def packument_url(registry: str, name: str) -> str:
    """Return the address of a package's document; the slash of a scope is escaped, as npm does."""
    return f"{registry.rstrip('/')}/{quote(name, safe='@')}"


async def publication_times(settings: NpmSettings, *, url: str, names: Collection[str]) -> Times:
    """Return when versions were published, by name and version.

    A registry that does not tell, or does not answer in time, leaves them out: nobody knows then, and a
    policy on the age of releases says what follows.
    """
    found: Times = {}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ask(session: aiohttp.ClientSession, name: str) -> None:
        with suppress(TimeoutError, aiohttp.ClientError, OSError, ValueError):
            async with gate, session.get(packument_url(url, name)) as response:
                if response.status == 200:
                    body = await _bounded(response)
                    found.update(await asyncio.to_thread(_times, name, body))

    with suppress(TimeoutError):
        async with asyncio.timeout(_TIMES_SECONDS), _session(settings, url) as session:
            await asyncio.gather(*(ask(session, name) for name in sorted(names)))
    return found


def _times(name: str, body: bytes) -> Times:
    times = json.loads(body).get("time")
    found: Times = {}
    for version, text in times.items() if isinstance(times, dict) else ():
        with suppress(ValueError, TypeError):
            when = datetime.fromisoformat(text)
            found[name, version] = when if when.tzinfo else when.replace(tzinfo=UTC)
    return found


async def registry_trouble(settings: NpmSettings, *, url: str, names: Sequence[str]) -> str | None:
    """Say what is wrong with the registry, asking for the documents of some names.

    Returns
    -------
    str or None
        A reason that names the document; ``None`` where each answer is one that a registry gives, 404
        included.
    """
    async with _session(settings, url, accept=_ABBREVIATED) as session:
        answers = await asyncio.gather(*(_document_trouble(session, url, name) for name in names))
    return next((answer for answer in answers if answer), None)


async def _document_trouble(session: aiohttp.ClientSession, url: str, name: str) -> str | None:
    try:
        async with session.get(packument_url(url, name)) as response:
            reason = status_trouble(response.status)
            if reason is None and response.status == 200:
                reason = _body_trouble(await _bounded(response))
    except TimeoutError:
        reason = "does not answer in time"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = f"cannot be reached ({type(error).__name__})"
    return f"the document of {name} {reason}" if reason else None


def _body_trouble(body: bytes) -> str | None:
    try:
        listed = isinstance(json.loads(body)["versions"], dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        listed = False
    return None if listed else "is no package's; a login page or a proxy's, perhaps"


def _session(settings: NpmSettings, url: str, *, accept: str = "application/json") -> aiohttp.ClientSession:
    headers = {"Accept": accept}
    if settings.authorization:
        headers["Authorization"] = settings.authorization
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.probe_seconds, sock_read=settings.probe_seconds
    )
    return aiohttp.ClientSession(timeout=timeout, headers=headers, proxy=proxy_for(url))


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > _MAX_PACKUMENT_BYTES:
            raise ValueError("the document is larger than any package's")
    return bytes(body)
