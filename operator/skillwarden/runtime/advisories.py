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

    @property
    def problem(self) -> str:
        """Why nothing is synced any more although it should be; empty where all is well."""
        task = self._task
        return f"syncing advisories ended: {task.exception()!r}" if task and _failed(task) else ""

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
            pause = self._interval
            try:
                report = await sync(self._source, into=self._into)
                log.info("advisories synced", revision=report.revision)
                retry = FIRST_RETRY_SECONDS
            except AdvisoryError as error:
                pause, retry = min(self._interval, retry), min(2 * retry, RETRY_SECONDS)
                log.warning("advisories cannot be synced; the last good ones stand", error=str(error))
            await asyncio.sleep(pause)


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled()
