"""Version ranges of policies."""

from __future__ import annotations

import operator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from skillwarden.domain.package import Ecosystem
from skillwarden.domain.ranges import lowest_above, parse_range, sort_versions


@pytest.mark.parametrize(
    ("sentence", "text", "version", "matches", "may_hold"),
    [
        ("a star is every version", "*", "1.0", True, True),
        ("a star is a version that nobody can read, too", "*", "not-a-version", True, True),
        ("nothing written is every version", "", "1.0", True, True),
        ("a bound", ">=1.26", "1.26.4", True, True),
        ("outside of a bound", ">=1.26", "1.25.9", False, False),
        ("pre-releases lie in ranges", ">=1.0", "2.0rc1", True, True),
        ("a pin meets the same version", "==1.21.0", "1.21.0", True, True),
        ("a pin meets the same version without its zeros", "==1.21", "1.21.0", True, True),
        ("a pin meets a local build of it", "==1.21.0", "1.21.0+cu121", True, True),
        ("an empty range holds nothing", ">=2,<1", "1.5", False, False),
        ("a pre-release comes before its release", "<2.0", "2.0rc1", False, True),
        ("so does a development release", "<1.26", "1.26.0.dev1", False, True),
        ("a beta of the version that mends", "<5.4", "5.4b1", False, True),
        ("the release itself does not", "<2.0", "2.0", False, False),
        ("a post-release comes after its release", ">1.7", "1.7.0.post1", False, True),
        ("so does a local build", ">1.7", "1.7+cu121", False, True),
        ("the release itself does not come after", ">1.7", "1.7.0", False, False),
        ("every bound must hold", ">1,<2.0", "3.0rc1", False, False),
        ("what is left out is left out", "<2.0,!=2.0rc1", "2.0rc1", False, False),
        ("an unreadable version may lie in any range", ">=1", "not-a-version", False, True),
        ("an unreadable range may hold any version", "1.x || 2", "1.5", False, True),
    ],
)
def test_range(sentence: str, text: str, version: str, matches: bool, may_hold: bool) -> None:
    versions = parse_range(Ecosystem.PYPI, text)
    assert versions.matches(version) is matches, sentence
    assert versions.may_hold(version) is may_hold, sentence


VERSIONS = [
    "".join(parts)
    for parts in product(["1.0", "1", "1.1", "1!0.1"], ["", "a1", "rc1"], ["", ".post1"], ["", ".dev3"])
]
BOUNDS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@given(st.sampled_from(sorted(BOUNDS)), st.sampled_from(VERSIONS))
def test_a_ban_holds_what_the_order_of_versions_puts_inside(sign: str, bound: str) -> None:
    versions = parse_range(Ecosystem.PYPI, f"{sign}{bound}")
    inside = {version for version in VERSIONS if BOUNDS[sign](Version(version), Version(bound))}
    assert {version for version in VERSIONS if versions.may_hold(version)} == inside
    assert {version for version in VERSIONS if versions.matches(version)} <= inside


def test_versions_sort_as_versions_and_stand_once() -> None:
    assert sort_versions(Ecosystem.PYPI, ["1.10", "1.9", "1.10", "odd", "1.9rc1"]) == (
        "1.9rc1",
        "1.9",
        "1.10",
        "odd",
    )


@pytest.mark.parametrize(
    ("sentence", "version", "fixed", "expected"),
    [
        ("the lowest that is higher, not the first in the list", "1.5", ("3.0", "2.1", "1.4"), "2.1"),
        ("as versions, not as text", "1.9", ("1.10",), "1.10"),
        ("the locked one itself is not above", "1.5", ("1.5",), None),
        ("nothing is above an unreadable one", "odd", ("1.5",), None),
        ("unreadable candidates are left out", "1.0", ("odd",), None),
    ],
)
def test_lowest_above(sentence: str, version: str, fixed: tuple[str, ...], expected: str | None) -> None:
    assert lowest_above(Ecosystem.PYPI, version, fixed) == expected, sentence
