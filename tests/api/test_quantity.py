"""Quantities and durations: what counts, how it rounds, and what is said of the rest."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.api.v1alpha1.quantity import (
    DURATION_PATTERN,
    QUANTITY_PATTERN,
    millicores,
    parse_duration,
    parse_quantity,
    whole_bytes,
)


@pytest.mark.parametrize(("text", "expected"), [
    ("500m", 500), ("2", 2000), (2, 2000), ("0.5", 500), ("1.2345", 1235), ("1m", 1),
])  # fmt: skip
def test_cpu_in_millicores_rounded_up(text: int | str, expected: int) -> None:
    assert millicores(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("256Mi", 256 * 2**20), ("1Gi", 2**30), ("1G", 10**9), ("1.5Ki", 1536), (77, 77), ("1k", 1000),
    ("100m", 1), ("0.1", 1), ("1Ti", 2**40), ("1Pi", 2**50),
])  # fmt: skip
def test_memory_in_bytes_rounded_up(text: int | str, expected: int) -> None:
    assert whole_bytes(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "m", "1mi", "1 Gi", "-1", "+1", "1e3", ".5", "1.", "0", "0m", "\u0661", "1\n", "9" * 30, True],
)
def test_what_is_no_amount_is_refused(text: int | str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_quantity(text)


@pytest.mark.parametrize(("text", "expected"), [
    ("72h", timedelta(hours=72)), ("1h30m", timedelta(minutes=90)), ("1.5h", timedelta(minutes=90)),
    ("90s", timedelta(seconds=90)), ("1h1m1s1ms", timedelta(hours=1, minutes=1, seconds=1, milliseconds=1)),
    ("5ms", timedelta(milliseconds=5)), ("0s", timedelta(0)),
])  # fmt: skip
def test_durations_as_go_writes_them(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "72", "h", "3d", "1w", "-1h", "1 h", "1h ", "1H", "1h\n", "99999999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a Go duration|longer than ten years"):
        parse_duration(text)


@given(st.from_regex(re.compile(QUANTITY_PATTERN, re.ASCII), fullmatch=True))
def test_the_schema_lets_through_only_what_is_read_or_said(text: str) -> None:
    try:
        assert parse_quantity(text) > 0
    except ValueError as error:
        assert "is not" in str(error)


@given(st.from_regex(re.compile(DURATION_PATTERN, re.ASCII), fullmatch=True))
def test_a_duration_of_the_schema_is_read_unless_too_long(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError as error:
        assert "longer than ten years" in str(error)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_quantity, parse_duration):
        try:
            parse(text)
        except ValueError as error:
            assert len(str(error)) < 200
