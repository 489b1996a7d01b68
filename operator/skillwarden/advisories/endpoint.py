"""An endpoint over the index that auditors ask, so that they cross-check the same advisories.

It speaks OSV's query (pip-audit) and npm's bulk advisories (``npm audit``). It lives as long as one scan, on
loopback, under a path that nobody else can guess.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from skillwarden.domain.package import PackageId

from .answers import BULK_PATH, MAX_REQUEST, QUERY_PATH, Answers
from .index import AdvisoryIndex

#: What npm asked about: its answer lists what it found, not what it looked at.
ASKED: web.AppKey[set[PackageId]] = web.AppKey("asked")


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
        return f"{self.url}{QUERY_PATH}"


def make_app(index: AdvisoryIndex, *, prefix: str) -> web.Application:
    """Return the application; it answers ``POST /PREFIX/v1/query`` and npm's bulk endpoint, nothing else."""
    app = web.Application(client_max_size=MAX_REQUEST)
    app[ASKED] = set()
    answers = Answers(lambda: index, on_bulk=app[ASKED].update)
    app.router.add_post(f"/{prefix}{QUERY_PATH}", answers.query)
    app.router.add_post(f"/{prefix}{BULK_PATH}", answers.bulk)
    return app


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
