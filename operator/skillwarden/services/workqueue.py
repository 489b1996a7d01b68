"""The work queue: keys, not events; one worker at a time for a key; back-off for what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .fairness import Lane, Lanes

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A queue of keys that holds each key at most once.

    A key added while a worker has it is handed out again once that worker is done, so that no change is
    lost and no key is worked on twice at a time. Memory is bounded by the number of distinct keys.

    Parameters
    ----------
    lane
        Whose a key is; lanes take turns.
    on_wait
        Told how many seconds each key waited for a worker.
    base_delay, max_delay
        Seconds; a key's back-off doubles from the first to the second.
    """

    def __init__(
        self,
        *,
        lane: Callable[[K], Lane] = hash,
        on_wait: Callable[[float], None] = lambda _: None,
        base_delay: float = 0.5,
        max_delay: float = 300.0,
    ) -> None:
        self._lane = lane
        self._ready: Lanes[K] = Lanes()
        # Since when a key waits, or is worked on.
        self._waiting: dict[K, float] = {}
        self._active: dict[K, float] = {}
        self._on_wait = on_wait
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._wakeup = asyncio.Condition()
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Count the keys that wait for a worker."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nobody works (timers may still be set)."""
        return not len(self._ready) and not self._active

    def add(self, key: K) -> None:
        """Have the key worked on soon."""
        if key in self._active:
            self._again.add(key)
            return
        if key in self._waiting:
            return
        self._waiting[key] = asyncio.get_running_loop().time()
        self._ready.put(self._lane(key), key)
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add_after(self, key: K, delay: float) -> None:
        """Have the key worked on after some seconds; the earliest of several wishes counts."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(delay, 0.0)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    def retry(self, key: K) -> float:
        """Have the key worked on after its back-off; return the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = float(min(self._max_delay, self._base_delay * 2 ** min(failures, 30)))
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Start the key's back-off anew: it went well."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Count the key's back-offs since it last went well."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """Wait for a key; the caller owes ``done``."""
        async with self._wakeup:
            await self._wakeup.wait_for(lambda: len(self._ready) > 0)
            key = self._ready.take()
            now = asyncio.get_running_loop().time()
            self._on_wait(now - self._waiting.pop(key))
            self._active[key] = now
            return key

    def done(self, key: K) -> None:
        """Give the key back; it is queued again if it was added meanwhile."""
        self._active.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def longest(self) -> tuple[K | None, float]:
        """Return the key that has been worked on for longest, and for how many seconds."""
        if not self._active:
            return None, 0.0
        key = min(self._active, key=self._active.__getitem__)
        return key, asyncio.get_running_loop().time() - self._active[key]

    def close(self) -> None:
        """Cancel every timer."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _notify(self) -> None:
        async with self._wakeup:
            self._wakeup.notify()
