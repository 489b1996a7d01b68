"""How long an author waits: from when a Skill, or a change of it, is seen, to its verdict and to Ready.

Measured from when it is first seen here: an object does not say when its spec was changed. What waits for a
person, or is denied, is no wait of ours for Ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .records import SkillRecord

Seconds = Callable[[float], None]


@dataclass(slots=True)
class _Wait:
    generation: int
    since: float
    judged: bool = False


class Waits:
    """Tells each wait once, when it ends.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    on_verdict, on_ready
        Are told the seconds until a generation had its verdict, and until it was Ready.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        on_verdict: Seconds = lambda _: None,
        on_ready: Seconds = lambda _: None,
    ) -> None:
        self._clock = clock
        self._on_verdict = on_verdict
        self._on_ready = on_ready
        self._waits: dict[str, _Wait] = {}

    def __len__(self) -> int:
        """Count those that wait."""
        return len(self._waits)

    def begin(self, record: SkillRecord) -> None:
        """Take note of a Skill that is looked at; one whose present spec has a verdict waits for none."""
        uid, known = record.key.uid, self._waits.get(record.key.uid)
        if known is not None and known.generation == record.generation:
            return
        if record.observed_generation == record.generation and _judged(record.outcome[0]):
            self._waits.pop(uid, None)
            return
        self._waits[uid] = _Wait(record.generation, self._clock())

    def told(self, record: SkillRecord, status: Mapping[str, Any]) -> None:
        """Take note of a status that was written."""
        wait = self._waits.get(record.key.uid)
        if wait is None or wait.generation != record.generation or not _judged(status.get("verdict")):
            return
        seconds = self._clock() - wait.since
        if not wait.judged:
            wait.judged = True
            self._on_verdict(seconds)
        ready = _ready(status)
        if ready:
            self._on_ready(seconds)
        if ready or status.get("verdict") != "Allowed":
            del self._waits[record.key.uid]

    def forget(self, living: set[str]) -> None:
        """Drop the Skills that are gone, by uid."""
        for uid in [uid for uid in self._waits if uid not in living]:
            del self._waits[uid]


def _judged(verdict: str | None) -> bool:
    return verdict not in {None, "", "Unknown"}


def _ready(status: Mapping[str, Any]) -> bool:
    return any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in status.get("conditions") or ()
    )
