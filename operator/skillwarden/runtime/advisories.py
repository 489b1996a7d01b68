"""Keeps the advisories fresh from inside a process that lasts: the operator, or the advisory server."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from ..advisories.errors import AdvisoryError
from ..advisories.sync import sync

log = structlog.get_logger(__name__)

#: Seconds until another try after a failed sync, doubled each time up to the second. The last good index
#: stands meanwhile, and ages; where there is none, nothing can be judged, and the source may come up soon.
FIRST_RETRY_SECONDS = 5.0
RETRY_SECONDS = 60.0


class AdvisoryKeeper:
    """Syncs at start and every ``interval`` seconds.

    Parameters
    ----------
    source
        Folder or URL, as ``skillwarden advisories sync --from`` takes it.
    into
        Folder of the index.
    interval
        Seconds.
    """

    def __init__(self, source: str, *, into: Path, interval: float) -> None:
        self._source = source
        self._into = into
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start syncing in the background."""
        self._task = asyncio.create_task(self._keep(), name="advisory-sync")

    async def stop(self) -> None:
        """Stop syncing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while True:
            if await self._synced():
                pause, retry = self._interval, FIRST_RETRY_SECONDS
            else:
                pause, retry = min(self._interval, retry), min(2 * retry, RETRY_SECONDS)
            await asyncio.sleep(pause)

    async def _synced(self) -> bool:
        """Sync once; what fails is logged, also by a bug of ours: the process goes on governing."""
        try:
            report = await sync(self._source, into=self._into)
        except AdvisoryError as error:
            log.warning("advisories cannot be synced; the last good ones stand", error=str(error))
        except Exception:
            log.exception("syncing advisories broke; the last good ones stand")
        else:
            log.info("advisories synced", revision=report.revision)
            return True
        return False
