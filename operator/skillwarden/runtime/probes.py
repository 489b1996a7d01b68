"""/metrics, /healthz and /readyz over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from .listening import listen

log = structlog.get_logger(__name__)


class Probes:
    """A small HTTP server for the kubelet and Prometheus.

    Parameters
    ----------
    registry
        What /metrics shows.
    ready
        Whether it can serve: for an operator, whether the world has been listed and is watched.
    stuck
        What does not go on although it should, or nothing: then a new start is the remedy.
    """

    def __init__(
        self, *, registry: CollectorRegistry, ready: Callable[[], bool], stuck: Callable[[], str]
    ) -> None:
        self._registry = registry
        self._ready = ready
        self._stuck = stuck
        self._runner: web.AppRunner | None = None

    def attach(self, app: web.Application) -> None:
        """Add the paths to an application that somebody else serves."""
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)

    async def start(self, address: str) -> int:
        """Listen on ``HOST:PORT``; return the port."""
        app = web.Application()
        self.attach(app)
        self._runner = await listen(app, address)
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _healthz(self, _: web.Request) -> web.Response:
        if why := self._stuck():
            log.error("this process is stuck", why=why)
            return web.Response(status=500, text=f"stuck: {why}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._ready() else web.Response(status=503, text="not yet\n")
