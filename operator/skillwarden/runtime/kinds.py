"""Notices that a kind is served again: its CRD was deleted and came back while the operator ran."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from ..domain.errors import SkillwardenError

log = structlog.get_logger(__name__)

#: Seconds between two looks; one small request each.
LOOK_SECONDS = 10.0


class KindFollower:
    """Looks which kinds are served, and says when one has come back.

    Parameters
    ----------
    served
        Names of the kinds that the API server serves now.
    returned
        Called when a kind is served that was not at the look before.
    look_seconds
        Between two looks.
    """

    def __init__(
        self,
        served: Callable[[], Awaitable[frozenset[str]]],
        *,
        returned: Callable[[], None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._served = served
        self._returned = returned
        self._seconds = look_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking in the background."""
        self._task = asyncio.create_task(self._follow(), name="kinds")

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        before: frozenset[str] | None = None
        while True:
            try:
                now = await self._served()
            except SkillwardenError as error:
                log.debug("the served kinds cannot be read", error=str(error))
            else:
                if before is not None and now - before:
                    log.info("kinds are served again; the watch starts anew", kinds=sorted(now - before))
                    self._returned()
                before = now
            await asyncio.sleep(self._seconds)
