"""Isolation: what was seen to be open is open, whatever is attested; what is not known is not true."""

from __future__ import annotations

import pytest

from skillwarden.domain.conditions import NetworkReason, Status
from skillwarden.domain.naming import LABEL_COMPONENT
from skillwarden.services.isolation import Isolation, Sighting
from skillwarden.services.judge import network_condition

ENFORCED, OPEN, BLIND = Sighting(True, False), Sighting(True, True), Sighting(False, False)
LABELS = {LABEL_COMPONENT: "sandbox"}


@pytest.mark.parametrize(
    ("attested", "sighting", "expected", "words"),
    [
        (None, None, None, "Nobody attests"),
        (True, None, True, "The platform attests"),
        (False, None, False, "does not enforce"),
        (None, ENFORCED, True, "A canary Pod could not reach"),
        (None, OPEN, False, "A canary Pod reached"),
        (None, BLIND, None, "Nobody attests"),
        (True, OPEN, False, "although the platform attests"),
        (True, BLIND, True, "The platform attests"),
        (False, ENFORCED, False, "does not enforce"),
        # Reached by the closed one alone: it is open, whatever kept the other out.
        (True, Sighting(False, True), False, "A canary Pod reached"),
    ],
)
def test_what_is_known(
    attested: bool | None, sighting: Sighting | None, expected: bool | None, words: str
) -> None:
    isolation = Isolation(attested)
    isolation.saw(sighting)
    assert isolation.enforced is expected
    condition = network_condition(isolation, labels=LABELS, others=())
    assert (condition.status is Status.TRUE) is (expected is True)
    assert words in condition.message


def test_skills_are_judged_anew_when_it_changes_and_only_then() -> None:
    isolation, told = Isolation(), []
    isolation.on_change = lambda: told.append(isolation.enforced)
    for sighting in (BLIND, ENFORCED, ENFORCED, Sighting(True, False, pids=100), OPEN, ENFORCED):
        isolation.saw(sighting)
    assert told == [True, False, True]
    assert isolation.pids is None


def test_one_that_could_not_tell_takes_nothing_back() -> None:
    isolation = Isolation()
    isolation.saw(OPEN)
    for sighting in (BLIND, None):
        isolation.saw(sighting)
        assert isolation.enforced is False


def test_a_foreign_policy_that_opens_a_sandbox_is_named() -> None:
    condition = network_condition(Isolation(True), labels=LABELS, others=("theirs",))
    assert (condition.status, condition.reason) == (Status.FALSE, NetworkReason.OVERLAPPING_POLICY)
    assert "theirs" in condition.message
