"""Structural schemas: pruning, defaulting, validation, and which definitions are accepted."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiserver_support import CRDS, GADGETS, GROUP, Client, fresh_group, make_crd, make_gadget, make_schema
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.localcluster.apiserver.schema import apply_defaults, prune, validate

SPEC = make_schema()["properties"]["spec"]

INVALID = {
    "a missing required field": ({}, "spec.mode", "Required value"),
    "a wrong type": ({"mode": 5}, "spec.mode", "must be of type string"),
    "null for what is required": ({"mode": None}, "spec.mode", "Required value"),
    "a value outside of the enum": ({"mode": "X"}, "spec.mode", 'supported values: "Task", "Service"'),
    "a number below its minimum": ({"replicas": -1}, "spec.replicas", "greater than or equal to 0"),
    "a fraction for an integer": ({"replicas": 1.5}, "spec.replicas", "must be of type integer"),
    "a truth value for an integer": ({"replicas": True}, "spec.replicas", "must be of type integer"),
    "a list for int-or-string": ({"port": []}, "spec.port", "integer,string"),
    "too long a text": ({"note": "n" * 21}, "spec.note", "may not be more than 20"),
    "too many items": ({"env": [{"name": n} for n in "ABCD"]}, "spec.env", "must have at most 3 items"),
    "two items of a key": ({"env": [{"name": "A"}, {"name": "A"}]}, "spec.env[1]", "Duplicate value"),
    "a pattern not met": ({"env": [{"name": "a"}]}, "spec.env[0].name", "should match '^[A-Z]+$'"),
    "an item without its key": ({"env": [{}]}, "spec.env[0].name", "Required value"),
    "two equal items of a set": ({"tags": ["a", "a"]}, "spec.tags[1]", "Duplicate value"),
    "a wrong type in a map": ({"labels": {"k": 1}}, "spec.labels.k", "must be of type string"),
}


@pytest.mark.parametrize("case", INVALID)
async def test_invalid(gadgets: Client, case: str) -> None:
    spec, field, complaint = INVALID[case]
    body = make_gadget(**spec)
    if not spec:
        body["spec"] = {}
    answer = await gadgets.post(GADGETS, body)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    causes = answer.body["details"]["causes"]
    assert any(cause["field"] == field and complaint in cause["message"] for cause in causes), causes


@pytest.mark.parametrize(
    "spec",
    [
        {"port": 80},
        {"port": "http"},
        {"note": None},
        {"free": {"any": {"thing": [1, None]}}},
        {"labels": {"k": "v"}},
        {"size": 2.0},
        {"tags": []},
    ],
)
async def test_valid(gadgets: Client, spec: dict[str, Any]) -> None:
    made = await gadgets.made(GADGETS, make_gadget(**spec))
    assert spec.items() <= made["spec"].items()


async def test_defaults_are_filled_in_at_every_depth(gadgets: Client) -> None:
    made = await gadgets.made(GADGETS, make_gadget())
    assert made["spec"] == {"mode": "Task", "replicas": 1, "limits": {"cpu": "500m"}}
    partly = await gadgets.made(GADGETS, make_gadget("two", limits={}, replicas=None))
    assert partly["spec"] == {"mode": "Task", "replicas": 1, "limits": {"cpu": "500m"}}


async def test_unknown_fields_are_pruned_except_where_kept(gadgets: Client) -> None:
    body = make_gadget(oops=1, env=[{"name": "A", "oops": 1}], free={"kept": 1}, limits={"oops": 1})
    made = await gadgets.made(GADGETS, body)
    assert made["spec"]["env"] == [{"name": "A"}]
    assert made["spec"]["free"] == {"kept": 1}
    assert made["spec"]["limits"] == {"cpu": "500m"}
    assert "oops" not in made["spec"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05Z", "yesterday"),
        ("date", "2026-01-02", "2026-13-02"),
        ("byte", "aGk=", "%%%"),
        ("duration", "1h30m", "90 minutes"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("no-such-format", "anything", None),
    ],
)
def test_formats(name: str, good: str, bad: str | None) -> None:
    schema = {"type": "string", "format": name}
    assert validate(good, schema) == []
    if bad is not None:
        assert validate(bad, schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "format": "int32"}, 2**31 - 1, 2**31),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, 0.5, 1),
        ({"type": "integer", "multipleOf": 5}, 10, 11),
        ({"type": "string", "minLength": 2}, "ab", "a"),
        ({"type": "array", "minItems": 1, "items": {"type": "string"}}, ["a"], []),
        (
            {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
            {},
            {"a": "", "b": ""},
        ),
        ({"type": "object", "minProperties": 1}, {"a": 1}, {}),
        ({"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}, "b", "c"),
        ({"type": "string", "oneOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, "a", "ab"),
        ({"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, "ab", "a"),
        ({"type": "string", "not": {"pattern": "^a"}}, "b", "a"),
        ({"type": "string", "nullable": True}, None, 5),
    ],
)
def test_keywords(schema: dict[str, Any], good: Any, bad: Any) -> None:
    assert validate(good, schema) == []
    assert validate(bad, schema)


BROKEN = {
    "a field without a type": ({"properties": {"a": {}}}, ".type"),
    "a reference": ({"properties": {"a": {"$ref": "#/x"}}}, "$ref"),
    "unique items": ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
    "a list of anything": ({"type": "array"}, ".items"),
    "properties beside additional ones": (
        {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        "additionalProperties",
    ),
    "a default of another type": ({"properties": {"a": {"type": "string", "default": 5}}}, ".default"),
    "a map without keys": (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
        "x-kubernetes-list-map-keys",
    ),
    "a map whose key may be absent": (
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}},
        },
        "properties[k].default",
    ),
    "a keyword of a later draft": ({"properties": {"a": {"type": "string", "const": "x"}}}, "const"),
    "a numeric exclusive bound": (
        {"properties": {"a": {"type": "integer", "exclusiveMinimum": 0}}},
        "exclusiveMinimum",
    ),
    "a look-ahead": ({"properties": {"a": {"type": "string", "pattern": "(?!x)"}}}, "pattern"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_definitions_that_no_real_server_takes(api: Client, case: str) -> None:
    part, where = BROKEN[case]
    schema = make_schema()
    schema["properties"]["spec"]["properties"]["x"] = {"type": "object", **part}
    crd = make_crd(schema, group=fresh_group())
    answer = await api.post(f"{CRDS}?fieldValidation=Strict", crd)
    # 400 where the definition cannot even be read.
    assert answer.status in {400, 422}
    assert where in answer.message
    assert (await api.get(f"{CRDS}/{crd['metadata']['name']}")).status == 404


async def test_a_definition_must_be_named_after_what_it_defines(api: Client) -> None:
    crd = make_crd()
    crd["metadata"]["name"] = f"others.{GROUP}"
    assert (await api.post(CRDS, crd)).status == 422
    crd = make_crd(group=fresh_group())
    crd["spec"]["versions"][0]["storage"] = False
    assert (await api.post(CRDS, crd)).status == 422


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("abC", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
ANY_SPEC = st.dictionaries(st.sampled_from([*SPEC["properties"], "oops"]), JSON)


@given(ANY_SPEC)
def test_pruning_and_defaulting_twice_is_doing_it_once(spec: dict[str, Any]) -> None:
    once = prune(spec, SPEC)
    apply_defaults(once, SPEC)
    twice = prune(copy.deepcopy(once), SPEC)
    apply_defaults(twice, SPEC)
    assert once == twice


@given(ANY_SPEC)
def test_pruning_keeps_the_input_and_reports_what_it_drops(spec: dict[str, Any]) -> None:
    before = copy.deepcopy(spec)
    unknown: list[str] = []
    pruned = prune(spec, SPEC, "", unknown)
    assert spec == before
    assert ("oops" in unknown) == ("oops" in spec)
    assert (pruned == spec) == (not unknown)


@given(ANY_SPEC)
def test_validation_never_breaks(spec: dict[str, Any]) -> None:
    for cause in validate(spec, SPEC, "spec"):
        assert cause.field.startswith("spec")
        assert cause.message


def test_the_end_of_a_pattern_is_the_end_of_the_text() -> None:
    schema = {"type": "string", "pattern": "^[a-z]+$"}
    assert list(validate("numpy", schema, "spec")) == []
    assert [cause.reason for cause in validate("numpy\n", schema, "spec")] == ["FieldValueInvalid"]
