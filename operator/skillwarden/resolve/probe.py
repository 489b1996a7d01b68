"""Asking an index whether it is well: uv says "unsatisfiable" for a login page, too."""

from __future__ import annotations

import asyncio
import base64
import json
import netrc
import re
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from .settings import ResolverSettings

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_MAX_PAGE_BYTES = 64 * 1024 * 1024
_DISTRIBUTION = re.compile(
    r"<a\s[^>]*href\s*=\s*[\"'][^\"'#?]+\.(?:whl|tar\.gz|tar\.bz2|zip|egg|tgz)\b", re.I
)
_SIMPLE_PAGE = re.compile(r"pypi:repository-version|<title>\s*(?:Links for|Simple index)", re.I)


async def index_trouble(settings: ResolverSettings, *, url: str, names: Sequence[str]) -> str | None:
    """Say what is wrong with the index, asking for the pages of some names as uv does.

    Parameters
    ----------
    settings
        Credentials and time limit.
    url
        The index.
    names
        Normalised names; the pages are asked for at the same time.

    Returns
    -------
    str or None
        A reason that names the page; ``None`` where each answer is one that an index gives, 404 included.
    """
    timeout = aiohttp.ClientTimeout(total=settings.probe_seconds)
    headers = {"Accept": ACCEPT}
    if login := await asyncio.to_thread(login_for, settings, url):
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    # Not trust_env: it would take the operator's own netrc, too, which uv is not shown.
    async with aiohttp.ClientSession(timeout=timeout, headers=headers, proxy=proxy_for(url)) as session:
        answers = await asyncio.gather(*(_page_trouble(session, url, name) for name in names))
    return next((answer for answer in answers if answer), None)


def login_for(settings: ResolverSettings, url: str) -> str | None:
    """Return ``user:password`` for an index, from the settings or from netrc; ``None``: it takes none."""
    if settings.index_username or settings.index_password:
        return f"{settings.index_username}:{settings.index_password}"
    if settings.netrc is None:
        return None
    try:
        entry = netrc.netrc(settings.netrc).authenticators(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return f"{entry[0]}:{entry[2]}" if entry else None


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, or ``None``."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


async def _page_trouble(session: aiohttp.ClientSession, url: str, name: str) -> str | None:
    try:
        async with session.get(f"{url.rstrip('/')}/{name}/") as response:
            reason = status_trouble(response.status)
            if reason is None and response.status == 200:
                body = await response.content.read(_MAX_PAGE_BYTES)
                while chunk := await response.content.read(_MAX_PAGE_BYTES):
                    body += chunk
                reason = body_trouble(response.content_type, body)
    except TimeoutError:
        reason = "does not answer in time"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = f"cannot be reached ({type(error).__name__})"
    return f"the page of {name} {reason}" if reason else None


def status_trouble(status: int) -> str | None:
    """Say what is wrong with an answer's status, or ``None``: an index gives it."""
    match status:
        case 200 | 404 | 410:
            return None
        case 401 | 403 | 407:
            return f"answers {status}: the credentials are missing, wrong, or not enough"
        case 429:
            return "answers 429: too many requests"
    return f"answers {status}"


def body_trouble(content_type: str, body: bytes) -> str | None:
    """Return why a page is none that an index gives; ``None``: it is one."""
    if content_type.endswith("json"):
        try:
            listed = isinstance(json.loads(body)["files"], list)
        except (ValueError, KeyError, TypeError):
            listed = False
        return None if listed else "answers 200 with JSON that is no project page (PEP 691)"
    text = body.decode("utf-8", "replace")
    if _DISTRIBUTION.search(text) or _SIMPLE_PAGE.search(text):
        return None
    return "answers 200 with a page that is no project page (PEP 503); a login page or a proxy's, perhaps"
