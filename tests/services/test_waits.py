"""Each wait of an author is told once, and what waits for a person is none."""

from __future__ import annotations

from typing import Any

from skillwarden.domain.skill import SkillKey
from skillwarden.services.records import SkillRecord
from skillwarden.services.waits import Waits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Told:
    def __init__(self) -> None:
        self.clock = Clock()
        self.verdicts: list[float] = []
        self.ready: list[float] = []
        self.waits = Waits(self.clock, on_verdict=self.verdicts.append, on_ready=self.ready.append)


def status(verdict: str = "Unknown", *, ready: bool = False, generation: int = 1) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {"verdict": verdict, "observedGeneration": generation, "conditions": [condition]}


def record(generation: int = 1, *, uid: str = "u", **given: Any) -> SkillRecord:
    made = SkillRecord(key=SkillKey("team", "demo", uid), generation=generation)
    return made.with_status({"metadata": {}, "status": given})


def test_verdict_and_ready_are_told_once_each() -> None:
    told = Told()
    told.waits.begin(record())
    told.clock.now = 2
    told.waits.told(record(), status())
    told.waits.begin(record())
    told.waits.told(record(), status("Allowed"))
    told.clock.now = 5
    told.waits.told(record(), status("Allowed", ready=True))
    told.waits.told(record(), status("Allowed", ready=True))
    assert (told.verdicts, told.ready, len(told.waits)) == ([2.0], [5.0], 0)


def test_what_waits_for_a_person_or_is_denied_does_not_wait_for_ready() -> None:
    for verdict in ("ApprovalRequired", "Denied"):
        told = Told()
        told.waits.begin(record())
        told.waits.told(record(), status(verdict))
        told.clock.now = 900
        told.waits.told(record(), status("Allowed", ready=True))
        assert (told.verdicts, told.ready) == ([0.0], [])


def test_a_changed_spec_waits_anew_and_a_known_one_does_not() -> None:
    told = Told()
    told.waits.begin(record(3, **status("Allowed", generation=3)))
    assert len(told.waits) == 0
    told.waits.begin(record(4, **status("Allowed", generation=3)))
    told.clock.now = 1
    told.waits.told(record(4), status("Allowed", ready=True, generation=4))
    assert (told.verdicts, told.ready) == ([1.0], [1.0])


def test_what_is_gone_is_forgotten() -> None:
    told = Told()
    told.waits.begin(record(uid="a"))
    told.waits.begin(record(uid="b"))
    told.waits.forget({"b"})
    assert len(told.waits) == 1
