"""A depot that listens: store, fetcher and application together, for as long as a context lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from ..domain.errors import UnavailableError
from .fetch import Fetcher, FetchSettings
from .server import build_app, build_runner
from .store import DepotStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the depot listens: a TCP address (an empty host: all of them), a unix socket, or both."""

    host: str | None = None
    port: int = 0
    unix: Path | None = None


@contextlib.asynccontextmanager
async def serving(
    state: Path,
    listening: Listening,
    *,
    secret: bytes,
    settings: FetchSettings,
    max_size: int | None = None,
    guarddog: Path | None = None,
) -> AsyncIterator[web.AppRunner]:
    """Serve a depot for the time of the context; ``runner.addresses`` tells where.

    Raises
    ------
    UnavailableError
        Where the folder cannot be used or the address cannot be listened on.
    """
    try:
        store = await asyncio.to_thread(DepotStore, state, max_size=max_size)
    except OSError as error:
        raise UnavailableError(f"the folder {state} cannot be used: {error.strerror}.") from error
    async with Fetcher(store, settings=settings) as fetcher:
        runner = build_runner(build_app(store, fetcher, secret=secret, guarddog=guarddog))
        await runner.setup()
        try:
            if listening.unix is not None:
                await _unix_site(runner, listening.unix)
            if listening.host is not None:
                await web.TCPSite(runner, listening.host or None, listening.port).start()
            yield runner
        except OSError as error:
            raise UnavailableError(f"the depot cannot listen: {error.strerror or error}.") from error
        finally:
            await runner.cleanup()


async def _unix_site(runner: web.AppRunner, path: Path) -> None:
    """Listen on a socket; as on TCP, the token decides, and the socket's folder who comes that far."""
    await web.UnixSite(runner, str(path)).start()
    await asyncio.to_thread(path.chmod, 0o666)
