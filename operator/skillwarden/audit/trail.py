"""The trail: takes records from the event loop at once, and writes them in a thread of its own.

Recording never waits and never raises: an operator whose audit disk is full goes on governing. What could
not be written is counted, logged, and stands in the chain as a record of its own (``Lost``) as soon as there
is room.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from .record import MAX_LINE, line_of
from .sinks import Sink

log = structlog.get_logger(__name__)

LIMIT = 10_000
_RETRY_SECONDS = 1.0
Entry = tuple[str, datetime, Mapping[str, Any]]


@dataclass(slots=True)
class _State:
    """What one sink has still to write, and what it lost."""

    waiting: deque[Entry]
    lost: int = 0
    failing: bool = False


class Trail:
    """Writes records to every sink.

    Parameters
    ----------
    sinks
        Where they go; each has a chain of its own.
    now
        UTC clock.
    about
        What every ``Start`` says, such as the operator's version.
    limit
        Records that wait for one sink at most; what comes then is lost, and counted.
    on_written, on_lost
        Told the sink's name for each record written, and for each lost.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        now: Callable[[], datetime],
        about: Mapping[str, Any],
        limit: int = LIMIT,
        on_written: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._now = now
        self._about = about
        self._limit = limit
        self._on_written = on_written
        self._on_lost = on_lost
        self._states = {sink.name: _State(deque()) for sink in self._sinks}
        self._changed = threading.Condition()
        self._ending = False
        self._threads = [
            threading.Thread(target=self._work, args=(sink,), name=f"audit-{sink.name}", daemon=True)
            for sink in self._sinks
        ]

    def start(self) -> None:
        """Open every sink, and begin to write.

        Raises
        ------
        OSError, InvalidInputError
            Where a sink cannot be written from the start.
        """
        for sink in self._sinks:
            sink.open(self._now(), self._about)
            self._on_written(sink.name)
        for thread in self._threads:
            thread.start()

    def record(self, event: str, **fields: Any) -> None:
        """Take a record; empty fields are left out. It is written soon."""
        kept = {key: value for key, value in fields.items() if value not in (None, "", [], {})}
        entry = (event, self._now(), kept)
        with self._changed:
            for sink in self._sinks:
                state = self._states[sink.name]
                if len(state.waiting) < self._limit:
                    state.waiting.append(entry)
                else:
                    self._lose(sink, state)
            self._changed.notify_all()

    def close(self, *, seconds: float = 5.0) -> None:
        """Write what waits, for some seconds at most, and close the sinks."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread, sink in zip(self._threads, self._sinks, strict=True):
            if thread.ident is not None:
                thread.join(seconds)
            left = len(self._states[sink.name].waiting)
            if left:
                log.error("audit records were not written before the end", sink=sink.name, records=left)
            if not thread.is_alive():
                sink.close()

    def _lose(self, sink: Sink, state: _State) -> None:
        state.lost += 1
        self._on_lost(sink.name)

    def _work(self, sink: Sink) -> None:
        state = self._states[sink.name]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: state.waiting or self._ending)
                if not state.waiting:
                    return
                entry, lost, last_try = state.waiting[0], state.lost, self._ending
            if self._written(sink, state, entry, lost):
                continue
            if last_try:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._ending, timeout=_RETRY_SECONDS)

    def _written(self, sink: Sink, state: _State, entry: Entry, lost: int) -> bool:
        """Write a record, and before it how many are missing; what cannot be written waits."""
        try:
            if lost:
                sink.write("Lost", self._now(), {"records": lost})
                with self._changed:
                    state.lost -= lost
            sink.write(*_bounded(entry))
        except OSError as error:
            if not state.failing:
                log.error("audit records cannot be written", sink=sink.name, error=str(error))
            state.failing = True
            return False
        if state.failing:
            log.info("audit records are written again", sink=sink.name)
        state.failing = False
        with self._changed:
            state.waiting.popleft()
        self._on_written(sink.name)
        return True


def _bounded(entry: Entry) -> Entry:
    """Return an entry whose line is not longer than one may be; what is left out is said."""
    event, time, fields = entry
    size = len(line_of(fields))
    if size <= MAX_LINE // 2:
        return entry
    kept = {key: value for key, value in fields.items() if len(line_of({key: value})) <= MAX_LINE // 32}
    return event, time, {**kept, "leftOut": sorted(fields.keys() - kept.keys())}
