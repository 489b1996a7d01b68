"""Tells the depot what is still needed, so that what it deletes to make room is needed by nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from ..depot.digests import hex_of
from ..depot.protocol import Depot, InUse, Usage
from ..domain.errors import InvalidInputError, SkillwardenError
from .store import Store

log = structlog.get_logger(__name__)

#: How long a mark holds; the operator may be down for as long.
LASTS = timedelta(days=1)
_AT_ONCE = 100


async def in_use(store: Store) -> InUse:
    """Return what the Skills, runs and Pods that are known need of the depot."""
    locks: set[str] = set()
    contents: set[str] = set()
    inputs: set[str] = set()
    for number, skill in enumerate(store.skills.values()):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        status = skill.status
        locks.add((status.get("lock") or {}).get("digest") or "")
        contents |= {skill.content_digest or "", status.get("contentDigest") or ""}
    for run in store.runs.values():
        locks.add(run.status.get("lockDigest") or "")
        contents.add(run.status.get("contentDigest") or "")
        inputs.add(run.input_digest or "")
    for pod in store.pods.values():
        locks.add(pod.pod.lock_digest or "")
        contents.add(pod.pod.content_digest or "")
    return InUse(
        frozenset(filter(_is_digest, locks)),
        frozenset(filter(_is_digest, contents)),
        frozenset(filter(_is_digest, inputs)),
    )


def _is_digest(text: str) -> bool:
    """Whether the depot takes it: for one text that is none, it would refuse the whole mark."""
    try:
        hex_of(text)
    except InvalidInputError:
        return False
    return True


class Marker:
    """Renews this operator's mark again and again.

    Parameters
    ----------
    store, depot
        What is known, and who is told.
    holder
        Tells the operators of one depot apart.
    interval, retry
        Between two marks, and after one that did not get through.
    on_usage
        Told how full the depot is.
    """

    def __init__(
        self,
        store: Store,
        depot: Depot,
        *,
        holder: str,
        interval: timedelta,
        retry: timedelta,
        on_usage: Callable[[Usage], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._depot = depot
        self._holder = holder
        self._interval = interval
        self._retry = retry
        self._on_usage = on_usage

    async def run(self) -> None:
        """Mark for ever; a failure to is logged and tried again soon."""
        while True:
            try:
                usage = await self._depot.mark(
                    self._holder, await in_use(self._store), seconds=LASTS.total_seconds()
                )
            except SkillwardenError as error:
                log.warning("the depot cannot be told what is in use", error=str(error))
                await asyncio.sleep(self._retry.total_seconds())
            else:
                self._on_usage(usage)
                await asyncio.sleep(self._interval.total_seconds())
