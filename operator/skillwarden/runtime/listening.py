"""Opens a port of the operator's process."""

from __future__ import annotations

import ssl

from aiohttp import web

from .address import host_and_port


async def listen(
    app: web.Application, address: str, *, ssl_context: ssl.SSLContext | None = None
) -> web.AppRunner:
    """Serve an application on ``HOST:PORT`` (no host: all of them); the caller cleans the runner up."""
    host, port = host_and_port(address)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    # No host: aiohttp listens on every address of both families; a cluster may have IPv6 alone.
    await web.TCPSite(runner, host or None, port, ssl_context=ssl_context).start()
    return runner
