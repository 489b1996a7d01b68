"""Range evaluation, by table and against a naive oracle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from skillwarden.advisories.ranges import Affected, Event, EventKind, is_affected, sort_events, version_token


def affected(*events: tuple[str, str], versions: tuple[str, ...] = ()) -> Affected:
    walked = sort_events(Event(EventKind(kind), version) for kind, version in events)
    return Affected(versions=frozenset(map(version_token, versions)), ranges=(walked,) if events else ())


CASES: dict[str, tuple[Affected, str, bool]] = {
    "before the fix": (affected(("introduced", "0"), ("fixed", "2.0")), "1.9", True),
    "at the fix": (affected(("introduced", "0"), ("fixed", "2.0")), "2.0", False),
    "a pre-release of the fix is before it": (
        affected(("introduced", "0"), ("fixed", "2.0")),
        "2.0rc1",
        True,
    ),
    "a development release of the fix is before it": (
        affected(("introduced", "0"), ("fixed", "2.0")),
        "2.0.dev3",
        True,
    ),
    "a post-release of the fix is after it": (
        affected(("introduced", "0"), ("fixed", "2.0")),
        "2.0.post1",
        False,
    ),
    "an epoch is above every version without": (
        affected(("introduced", "0"), ("fixed", "2.0")),
        "1!0.1",
        False,
    ),
    "zero is before its own development release": (
        affected(("introduced", "0"), ("fixed", "1")),
        "0.dev0",
        True,
    ),
    "before the introduction": (affected(("introduced", "1.5"), ("fixed", "2.0")), "1.4", False),
    "a pre-release of the introduction is before it": (
        affected(("introduced", "1.5"), ("fixed", "2.0")),
        "1.5a1",
        False,
    ),
    "trailing zeros make no difference": (affected(("introduced", "0"), ("fixed", "2")), "2.0.0", False),
    "the last affected version itself": (
        affected(("introduced", "1"), ("last_affected", "1.5")),
        "1.5",
        True,
    ),
    "after the last affected": (affected(("introduced", "1"), ("last_affected", "1.5")), "1.5.1", False),
    "the only affected version": (affected(("introduced", "1.5"), ("last_affected", "1.5")), "1.5", True),
    "below the limit": (affected(("introduced", "1"), ("limit", "3")), "2.9", True),
    "at the limit": (affected(("introduced", "1"), ("limit", "3")), "3", False),
    "below the highest of two limits": (
        affected(("introduced", "1"), ("limit", "2"), ("limit", "4")),
        "3",
        True,
    ),
    "the limit of everything": (affected(("introduced", "1"), ("limit", "*")), "300", True),
    "fixed on one branch and introduced again on the next": (
        affected(("introduced", "0"), ("fixed", "1.5"), ("introduced", "2.0"), ("fixed", "2.3")),
        "2.1",
        True,
    ),
    "between two branches": (
        affected(("introduced", "0"), ("fixed", "1.5"), ("introduced", "2.0"), ("fixed", "2.3")),
        "1.7",
        False,
    ),
    "events in no order": (
        affected(("introduced", "0"), ("fixed", "3.1.1"), ("fixed", "3.2.2"), ("introduced", "3.2.0")),
        "3.2.1",
        True,
    ),
    "an adjoining branch that begins where the last ends": (
        affected(("introduced", "0"), ("fixed", "3.1.1"), ("introduced", "3.1.1"), ("fixed", "3.1.3")),
        "3.1.2",
        True,
    ),
    "listed, though no range has it": (
        affected(("introduced", "3"), ("fixed", "4"), versions=("1.0",)),
        "1.0",
        True,
    ),
    "listed under another spelling": (affected(versions=("v1.0.0-RC1",)), "1.0rc1", True),
    "not listed": (affected(versions=("1.0",)), "1.1", False),
    "a local build of a listed version": (affected(versions=("2.0",)), "2.0+cu118", True),
    "a local build of the last affected": (
        affected(("introduced", "0"), ("last_affected", "2.0")),
        "2.0+cu118",
        True,
    ),
    "a local build of the fix": (affected(("introduced", "0"), ("fixed", "2.0")), "2.0+cu118", False),
    "a fix that is itself a local version": (
        affected(("introduced", "0"), ("fixed", "2.0+security.1")),
        "2.0+security.1",
        False,
    ),
    "before a fix that is itself a local version": (
        affected(("introduced", "0"), ("fixed", "2.0+security.1")),
        "2.0",
        True,
    ),
    "a listed version that PEP 440 does not know": (affected(versions=("2004d",)), "2004d", True),
    "a version that PEP 440 does not know, not listed": (
        affected(("introduced", "0"), versions=("2004d",)),
        "2004e",
        False,
    ),
    "a version that PEP 440 does not know, and no list to look in": (
        affected(("introduced", "0"), ("fixed", "1")),
        "2004e",
        True,
    ),
    "an entry that cannot be evaluated": (Affected(malformed="no idea"), "99", True),
    "an entry that says nothing": (Affected(), "1.0", False),
}


@pytest.mark.parametrize("sentence", CASES)
def test_a_version_is_affected_exactly_where_the_schema_says(sentence: str) -> None:
    entry, version, expected = CASES[sentence]
    assert is_affected(version, entry) is expected


def test_an_event_that_pep_440_cannot_order_refuses_the_range() -> None:
    with pytest.raises(ValueError, match="2019-09-12"):
        sort_events([Event(EventKind.INTRODUCED, "0"), Event(EventKind.FIXED, "2019-09-12x")])


RELEASES = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
VERSIONS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "1!"]),
    RELEASES,
    st.sampled_from(["", "", "a1", "b2", "rc1"]),
    st.sampled_from(["", "", ".post1"]),
    st.sampled_from(["", "", ".dev1"]),
)
LOCALS = st.sampled_from(["", "", "+cpu", "+cu118.1"])
EVENTS = st.lists(
    st.tuples(st.sampled_from(["introduced", "fixed", "last_affected", "limit"]), VERSIONS | st.just("0")),
    max_size=5,
)


def oracle(version: str, events: list[tuple[str, str]], listed: list[str]) -> bool:
    """Judge by the definition alone: the last event at or below the version decides."""
    asked = Version(version)
    public = Version(asked.public)
    if any(Version(item) in (asked, public) for item in listed):
        return True
    state: Any = (None, False)
    lowest = (Version("0.dev0"), -1)
    for kind, bound in events:
        key = lowest if (kind, bound) == ("introduced", "0") else (Version(bound), 0)
        everything = key is lowest
        if kind == "introduced" and (everything or public >= Version(bound)):
            candidate = ((everything is False, key[0], 1), True)
        elif kind == "fixed" and public >= Version(bound):
            candidate = ((True, key[0], 0), False)
        elif kind == "last_affected" and public > Version(bound):
            candidate = ((True, key[0], 2), False)
        else:
            continue
        if state[0] is None or candidate[0] >= state[0]:
            state = candidate
    limits = [Version(bound) for kind, bound in events if kind == "limit"]
    return state[1] and (not limits or any(public < limit for limit in limits))


@given(version=VERSIONS, local=LOCALS, events=EVENTS, listed=st.lists(VERSIONS, max_size=3))
def test_evaluation_agrees_with_a_naive_oracle(
    version: str, local: str, events: list[tuple[str, str]], listed: list[str]
) -> None:
    entry = affected(*events, versions=tuple(listed))
    assert is_affected(version + local, entry) is oracle(version + local, events, listed)


@given(version=st.text(max_size=20), events=EVENTS)
def test_evaluation_never_raises_for_a_strange_version(version: str, events: list[tuple[str, str]]) -> None:
    assert is_affected(version, affected(*events)) in {True, False}
