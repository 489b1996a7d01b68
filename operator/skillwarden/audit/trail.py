"""The trail: takes records from the event loop at once, and writes them in a thread of its own.

Recording never waits and never raises: an operator whose audit disk is full goes on governing. What could
not be written is counted, logged, and stands in the chain as a record of its own (``Lost``) as soon as there
is room.
"""

from __future__ import annotations

import errno
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
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
Entry = tuple[str, datetime, Mapping[str, Any]]


@dataclass(slots=True)
class _State:
    """What one sink has still to write, and what it lost."""

    waiting: deque[Entry]
    lost: int = 0
    failing: bool = False
    opened: bool = False

    @property
    def owes(self) -> bool:
        """Whether anything is to be written: a record, or that some are missing."""
        return bool(self.waiting or self.lost)


class Trail:
    """Writes records to every sink.

    Parameters
    ----------
    sinks
        Where they go; each has a chain of its own.
    now
        UTC clock.
    about
        What every ``Start`` says.
    always
        What every record says, such as the operator's version.
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
        always: Mapping[str, Any] | None = None,
        limit: int = LIMIT,
        on_written: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._now = now
        self._always = dict(always or {})
        self._about = {**about, **self._always}
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
            Where a sink cannot be written because it is set up wrongly. A full disk is no such reason: it is
            tried again, for what runs must be governed meanwhile.
        """
        for sink in self._sinks:
            try:
                self._open(sink)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                log.error("audit records cannot be written", sink=sink.name, error=str(error))
                self._states[sink.name].failing = True
        for thread in self._threads:
            thread.start()

    def record(self, event: str, **fields: Any) -> None:
        """Take a record; empty fields are left out. It is written soon."""
        kept = {key: value for key, value in fields.items() if value not in (None, "", [], {})}
        entry = (event, self._now(), {**kept, **self._always})
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
            state = self._states[sink.name]
            for _ in state.waiting:
                self._on_lost(sink.name)
            if left := len(state.waiting) + state.lost:
                log.error("audit records were not written before the end", sink=sink.name, records=left)
            if not thread.is_alive():
                sink.close()

    def _open(self, sink: Sink) -> None:
        sink.open(self._now(), self._about)
        self._states[sink.name].opened = True
        self._on_written(sink.name)

    def _lose(self, sink: Sink, state: _State) -> None:
        if not state.lost:
            log.error("audit records are lost: too many wait", sink=sink.name, waiting=len(state.waiting))
        state.lost += 1
        self._on_lost(sink.name)

    def _work(self, sink: Sink) -> None:
        state = self._states[sink.name]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: state.owes or self._ending)
                if not state.owes:
                    return
                entry = state.waiting[0] if state.waiting else None
                lost, last_try = state.lost, self._ending
            if self._written(sink, state, entry, lost):
                continue
            if last_try:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._ending, timeout=_RETRY_SECONDS)

    def _written(self, sink: Sink, state: _State, entry: Entry | None, lost: int) -> bool:
        """Write how many are missing, and the one that waits longest; what cannot be written waits."""
        try:
            if not state.opened:
                self._open(sink)
            if lost:
                sink.write("Lost", self._now(), {"records": lost, **self._always})
                with self._changed:
                    state.lost -= lost
                self._on_written(sink.name)
            if entry is not None:
                sink.write(*_bounded(entry))
        except Exception as error:
            # Whatever it is: a thread that ended would lose everything from here on, in silence.
            if not state.failing:
                log.error("audit records cannot be written", sink=sink.name, error=str(error))
            state.failing = True
            return False
        if state.failing:
            log.info("audit records are written again", sink=sink.name)
        state.failing = False
        if entry is not None:
            with self._changed:
                state.waiting.popleft()
            self._on_written(sink.name)
        if not state.owes:
            self._sync(sink)
        return True

    def _sync(self, sink: Sink) -> None:
        try:
            sink.sync()
        except OSError as error:
            log.error(
                "audit records may not outlast a crash of this machine", sink=sink.name, error=str(error)
            )


def _bounded(entry: Entry) -> Entry:
    """Return an entry whose line is not longer than one may be; what is left out is said."""
    event, time, fields = entry
    room = MAX_LINE // 2
    if len(line_of(fields)) <= room:
        return entry
    kept: dict[str, Any] = {}
    left_out: dict[str, int] = {}
    for name, value in sorted(fields.items(), key=lambda item: len(line_of({item[0]: item[1]}))):
        # The short ones first: who, what and when stay, and of a long list its beginning.
        items = value if isinstance(value, list) else [value]
        fitting = _fitting(items, room)
        room -= len(line_of({name: items[:fitting]}))
        if fitting == len(items):
            kept[name] = value
            continue
        left_out[name] = len(items) - fitting
        if isinstance(value, list):
            kept[name] = value[:fitting]
    return event, time, {**kept, "leftOut": left_out}


def _fitting(items: Sequence[Any], room: int) -> int:
    """Count the first items that fit into some bytes."""
    for count, item in enumerate(items):
        room -= len(line_of({"": item}))
        if room < 0:
            return count
    return len(items)
