"""Label and field selectors, JSONPath columns, ages and quantities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.localcluster.apiserver import jsonpath
from skillwarden.localcluster.apiserver.errors import ApiError
from skillwarden.localcluster.apiserver.formats import format_quantity, parse_quantity
from skillwarden.localcluster.apiserver.selectors import Selection, parse_fields, parse_labels
from skillwarden.localcluster.apiserver.tables import age

LABELS = {"app": "web", "tier": "gold", "empty": "", "example.io/x": "y"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=api", False),
        ("app!=api", True),
        ("absent!=x", True),
        ("app in (web,api)", True),
        ("app in (api)", False),
        ("app notin (api)", True),
        ("absent notin (x)", True),
        ("absent in (x)", False),
        ("app", True),
        ("!app", False),
        ("!absent", True),
        ("empty=", True),
        ("example.io/x=y,app", True),
        ("app in (web, api),tier!=tin,!absent", True),
        ("app=web,tier=tin", False),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    chosen = Selection(labels=parse_labels(selector))
    assert chosen.matches({"metadata": {"labels": LABELS}}) is matches


@pytest.mark.parametrize("selector", ["a b", "a===b", "a in b", "a in (b", "=b", ",", "a=$", "a in ($)"])
def test_what_is_no_label_selector(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(selector)
    assert caught.value.code == 400


def test_field_selectors() -> None:
    known = frozenset({"metadata.name", "spec.node", "spec.on"})
    obj = {"metadata": {"name": "one"}, "spec": {"on": True}}

    def matches(text: str) -> bool:
        return Selection(fields=parse_fields(text, known)).matches(obj)

    assert matches("metadata.name=one,spec.node=")
    assert matches("spec.node!=n1")
    assert matches("spec.on=true")
    assert not matches("metadata.name!=one")
    with pytest.raises(ApiError, match=r"not supported: spec\.other"):
        parse_fields("spec.other=1", known)


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["x", "y", "z"])


@given(st.dictionaries(KEYS, VALUES), KEYS, st.lists(VALUES, min_size=1))
def test_a_term_and_its_opposite_part_all_objects(
    labels: dict[str, str], key: str, values: list[str]
) -> None:
    def matches(selector: str) -> bool:
        return Selection(labels=parse_labels(selector)).matches({"metadata": {"labels": labels}})

    listed = ",".join(values)
    assert matches(f"{key} in ({listed})") != matches(f"{key} notin ({listed})")
    assert matches(key) != matches(f"!{key}")
    assert matches(f"{key}={values[0]}") != matches(f"{key}!={values[0]}")


DOCUMENT = {
    "spec": {"list": [{"n": 1}, {"n": 2}], "dotted.key": "d", "flag": False},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (".spec.flag", [False]),
        ("{.spec.flag}", [False]),
        ("$.spec.flag", [False]),
        (".spec.list[0].n", [1]),
        (".spec.list[-1].n", [2]),
        (".spec.list[*].n", [1, 2]),
        (".spec.list[9].n", []),
        (".spec['dotted.key']", ["d"]),
        (r".spec.dotted\.key", ["d"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Old')].status", ["False"]),
        ('.status.conditions[?(@.type!="Old")].status', ["True"]),
        (".nothing.at.all", []),
    ],
)
def test_jsonpath(path: str, wanted: list[Any]) -> None:
    assert jsonpath.find(path, DOCUMENT) == wanted


def test_a_jsonpath_that_is_not_understood() -> None:
    with pytest.raises(ValueError, match="not a JSONPath"):
        jsonpath.find(".a[?(@.b > 3)]", DOCUMENT)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (119, "119s"),
        (200, "3m20s"),
        (300, "5m"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (10 * 3600, "10h"),
        (3 * 86400 + 3600, "3d1h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y"),
        (-5, "0s"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    then = datetime.now(UTC) - timedelta(seconds=seconds + 0.5)
    assert age(then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1000Mi", "1000Mi"), ("1e3", "1k"), ("0", "0")],
)
def test_quantities_are_written_the_canonical_way(text: str, canonical: str) -> None:
    assert format_quantity(parse_quantity(text), binary=text.endswith("i")) == canonical


@pytest.mark.parametrize("text", ["", "x", "1x", "1 Gi", "--1", "1.2.3", True, None, []])
def test_what_is_no_quantity(text: Any) -> None:
    with pytest.raises(ValueError, match="quantities"):
        parse_quantity(text)


@given(st.integers(0, 10**15), st.booleans())
def test_a_written_quantity_reads_as_it_was(value: int, binary: bool) -> None:
    assert parse_quantity(format_quantity(Decimal(value), binary=binary)) == value
