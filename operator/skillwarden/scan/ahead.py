"""Answers begun for locks still being made: a lock's versions are known before who requires whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from skillwarden.domain.package import PackageId

_T = TypeVar("_T")
#: Closures whose lock never came (its resolution failed) leave one each.
_LIMIT = 8


class Ahead(Generic[_T]):
    """What was begun, by exactly the packages that it is about.

    Parameters
    ----------
    limit
        Answers that nobody claimed are kept up to here; of more, the oldest are ended.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._begun: dict[frozenset[PackageId], asyncio.Task[_T]] = {}
        self._ending: set[asyncio.Task[_T]] = set()

    def begin(self, packages: frozenset[PackageId], ask: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        """Begin in the background what nobody has begun."""
        if packages in self._begun:
            return
        self._begun[packages] = asyncio.create_task(ask())
        while len(self._begun) > self._limit:
            self._end(next(iter(self._begun)))

    def claim(self, packages: frozenset[PackageId]) -> asyncio.Task[_T] | None:
        """Return what was begun; it is the caller's from now on, who ends it by ending the wait for it."""
        return self._begun.pop(packages, None)

    async def close(self) -> None:
        """End what nobody claimed."""
        for packages in list(self._begun):
            self._end(packages)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, packages: frozenset[PackageId]) -> None:
        task = self._begun.pop(packages)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[_T]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            # How it failed is nobody's concern: a scan asks anew, and tells.
            task.exception()
