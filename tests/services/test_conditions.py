"""Conditions: a transition time moves only on a flip, texts are bounded, the order is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from make_domain import NOW

from skillwarden.domain.conditions import (
    MAX_MESSAGE,
    ConditionDraft,
    ConditionType,
    Status,
    merge,
    ready,
    shorten,
    timestamp,
)

DRAFTS = st.lists(
    st.builds(
        ConditionDraft,
        st.sampled_from([str(kind) for kind in ConditionType]),
        st.sampled_from(Status),
        st.sampled_from(["One", "Two"]),
        st.text(max_size=20),
    ),
    unique_by=lambda item: item.type,
)


def at(hours: int, drafts: list[ConditionDraft], observed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return merge(drafts, observed=observed, generation=7, now=NOW + timedelta(hours=hours))


@given(DRAFTS, DRAFTS)
def test_the_transition_time_moves_only_when_the_status_flips(
    first: list[ConditionDraft], second: list[ConditionDraft]
) -> None:
    before = {item["type"]: item for item in at(0, first, [])}
    for item in at(1, second, list(before.values())):
        known = before.get(item["type"])
        same = known is not None and known["status"] == item["status"]
        assert item["lastTransitionTime"] == timestamp(NOW + timedelta(hours=0 if same else 1))


@given(DRAFTS)
def test_merging_again_changes_nothing(drafts: list[ConditionDraft]) -> None:
    once = at(0, drafts, [])
    assert at(5, drafts, once) == once
    assert [item["type"] for item in once] == [item.type for item in drafts]
    assert all(item["observedGeneration"] == 7 for item in once)


@given(st.text(max_size=3000))
def test_a_message_fits_and_says_when_it_was_cut(text: str) -> None:
    short = shorten(text)
    assert len(short) <= MAX_MESSAGE
    assert short == text or short.endswith(" …")


@given(DRAFTS)
def test_ready_is_true_only_if_nothing_but_isolation_stands_in_the_way(drafts: list[ConditionDraft]) -> None:
    in_the_way = [
        item
        for item in drafts
        if item.status is not Status.TRUE and item.type != ConditionType.NETWORK_ISOLATED
    ]
    result = ready(drafts)
    assert (result.status is Status.TRUE) == (not in_the_way)
    if in_the_way:
        assert (result.reason, result.message) == (in_the_way[0].reason, in_the_way[0].message)
        assert result.status is Status.FALSE


def test_a_time_is_written_in_whole_seconds_of_utc() -> None:
    assert timestamp(NOW + timedelta(microseconds=5)) == "2026-03-01T12:00:00Z"
