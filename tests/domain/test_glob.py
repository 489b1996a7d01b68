"""Name patterns."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.domain.glob import glob_matches, is_glob, literal_prefix

NAMES = st.text(alphabet="ab-", max_size=12)
PATTERNS = st.text(alphabet="ab-*", max_size=12)


@pytest.mark.parametrize(
    ("sentence", "pattern", "name", "matches"),
    [
        ("a pattern without a star is the name itself", "numpy", "numpy", True),
        ("a pattern without a star is no prefix", "numpy", "numpy-financial", False),
        ("a star stands for nothing, too", "numpy*", "numpy", True),
        ("a star at the end is a prefix", "telnet*", "telnetlib3", True),
        ("a star at the front is a suffix", "*-internal", "acme-internal", True),
        ("a star in the middle", "acme-*-sdk", "acme-core-sdk", True),
        ("beginning and end do not overlap", "aba*ba", "aba", False),
        ("a run and the end do not overlap", "a*b*b", "ab", False),
        ("the runs between stars keep their order", "*a*b*", "ba", False),
        ("the last run is the end even where it stands earlier, too", "a*b", "abab", True),
        ("only a star matches everything", "*", "", True),
        ("a dot is a dot", "a.b", "axb", False),
        ("a question mark is itself", "a?", "ab", False),
        ("a bracket is itself", "[ab]", "a", False),
    ],
)
def test_pattern(sentence: str, pattern: str, name: str, matches: bool) -> None:
    assert glob_matches(pattern, name) is matches, sentence


@given(PATTERNS, NAMES)
def test_agrees_with_a_regular_expression_where_only_stars_are_special(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
    assert glob_matches(pattern, name) is expected
    assert fnmatch.fnmatchcase(name, pattern) is expected


@given(PATTERNS, NAMES)
def test_every_match_begins_with_the_literal_prefix(pattern: str, name: str) -> None:
    if glob_matches(pattern, name):
        assert name.startswith(literal_prefix(pattern))
    assert is_glob(pattern) is ("*" in pattern)


def test_many_stars_against_a_hostile_name_end() -> None:
    # A backtracking matcher needs more steps here than there are atoms; the suite's timeout would show it.
    assert not glob_matches("*a" * 2_000 + "b*", "a" * 20_000)
