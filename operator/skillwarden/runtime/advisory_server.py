"""The advisory server's process: it syncs, serves and shows how it fares."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from ..advisories.export import Exports
from ..advisories.feed import AdvisoryFeed
from ..advisories.server import build_app
from ..domain.errors import UnavailableError
from .advisories import AdvisoryKeeper
from .listening import listen
from .metrics import show_advisories
from .probes import Probes

_EXPORTS = "dumps"


@contextlib.asynccontextmanager
async def advisory_server(
    keeper: AdvisoryKeeper, *, into: Path, address: str
) -> AsyncIterator[web.AppRunner]:
    """Serve for the time of the context; ``runner.addresses`` tells where.

    Parameters
    ----------
    keeper
        Fills the folder.
    into
        Folder of the index.
    address
        ``HOST:PORT``.

    Raises
    ------
    UnavailableError
        Where the address cannot be listened on.
    """
    feed = AdvisoryFeed(into)
    registry = CollectorRegistry()
    requests = Counter(
        "skillwarden_advisories_requests",
        "Requests to the advisory server, by route and HTTP status.",
        ("route", "status"),
        registry=registry,
    )
    show_advisories(registry, age=lambda: feed.age_seconds(datetime.now(UTC)), revision=lambda: feed.revision)
    app = build_app(
        feed,
        Exports(into / _EXPORTS),
        count=lambda route, status: requests.labels(route=route, status=str(status)).inc(),
    )
    probes = Probes(registry=registry, ready=lambda: feed.current() is not None, stuck=lambda: "")
    probes.attach(app)
    try:
        runner = await listen(app, address)
    except OSError as error:
        raise UnavailableError(
            f"the advisory server cannot listen on {address}: {error.strerror or error}."
        ) from error
    try:
        keeper.start()
        yield runner
    finally:
        await keeper.stop()
        await runner.cleanup()
