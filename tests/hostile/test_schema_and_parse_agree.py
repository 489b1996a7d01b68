"""Hypothesis: what the schema lets into the cluster is read, and what it refuses is refused."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skillwarden.api.v1alpha1 import parse
from skillwarden.domain.errors import InvalidInputError

Body = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]

WHOLE: dict[str, Body] = {
    "Skill": {
        "description": "x",
        "agentRef": {"name": "a"},
        "mode": "Service",
        "source": {"files": [{"path": "main.py", "content": "x"}]},
        "runtime": {"language": "Python", "version": "3.12"},
        "packages": {"python": ["numpy"], "node": {"manager": "npm", "dependencies": ["a@^1"]}},
        "entrypoint": {"command": ["python"]},
        "sandbox": {
            "replicas": 1,
            "suspend": False,
            "env": [{"name": "A", "value": "b"}],
            "resources": {"cpu": "1", "memory": "1Gi", "ephemeralStorage": 1024},
            "timeoutSeconds": 5,
            "runtimeClassName": "gvisor",
            "network": {"egress": [{"cidr": "192.0.2.0/24", "port": 443, "protocol": "TCP"}]},
        },
    },
    "SkillRun": {
        "skillRef": {"name": "a"},
        "agentRef": {"name": "b"},
        "input": "x",
        "ttlSecondsAfterFinished": 5,
    },
    "Agent": {"maturity": "Intern"},
    "PackagePolicy": {
        "enforcement": "Enforce",
        "bans": [{"ecosystem": "PyPI", "names": ["a*"], "versions": "*", "message": "m"}],
        "unlisted": "Abstain",
        "maturity": {"Student": "Deny"},
        "rules": [{"name": "r", "match": {"ecosystem": "PyPI", "names": ["*"]}, "action": "Allow"}],
        "findings": {"vulnerability": {"Critical": "Deny"}, "typosquat": "Allow"},
        "scanning": {"maxAdvisoryAge": "48h"},
        "sandbox": {"requireIsolation": True, "egress": "Deny"},
    },
}
JUNK: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1,
        2**31,
        2**63,
        10**400,
        1.5,
        "",
        "x",
        "X",
        "x" * 300,
        "x" * 5000,
        " ",
        "-",
        "*",
        "3.12",
    ),
    *("a\x00b", "a\nb", "a\u202eb", "\ud800", "1e3", "500m", "1Gi", "72h", "-5s", "::/0", "0.0.0.0/0"),
    *([], {}, [[]], [{}], ["x", "x"], {"x": 1}, {"name": "x"}, ["x"] * 2000),
]


def schema_of(kind: str) -> Body:
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        body = yaml.safe_load(path.read_text())
        if body["spec"]["names"]["kind"] == kind:
            spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            return dict(_strict(spec))
    raise AssertionError(f"there is no CRD of {kind}")


def _strict(schema: Any) -> Any:
    """Return a schema as ``kubectl apply`` validates it: unknown fields refused, int-or-string a union.

    What stands twice in a set is left out: to read it twice does no harm, and intake says so of packages.
    """
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(item) for name, item in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string") is True:
        made["type"] = ["integer", "string"]
    return made


SCHEMAS = {kind: jsonschema.Draft202012Validator(schema_of(kind)) for kind in WHOLE}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def near_valid(draw: st.DrawFn, kind: str) -> Body:
    """A whole spec with a few places dropped, replaced by junk, doubled, or with a field beside them."""
    spec = copy.deepcopy(WHOLE[kind])
    for _ in range(draw(st.integers(1, 3))):
        known = places(spec)
        if not known:
            break
        *parents, last = draw(st.sampled_from(known))
        node: Any = spec
        for part in parents:
            node = node[part]
        match draw(st.sampled_from(["drop", "junk", "text", "double", "beside"])):
            case "drop":
                del node[last]
            case "junk":
                node[last] = copy.deepcopy(draw(st.sampled_from(JUNK)))
            case "text":
                node[last] = draw(st.text(max_size=8))
            case "double" if isinstance(node, list):
                node.append(copy.deepcopy(node[last]))
            case "beside" if isinstance(node, dict):
                node[draw(st.sampled_from(["extra", "name", "\x00"]))] = copy.deepcopy(
                    draw(st.sampled_from(JUNK))
                )
            case _:
                pass
    return spec


def accepted_by_schema(kind: str, spec: Body) -> bool:
    try:
        return SCHEMAS[kind].is_valid(spec)
    except (re.error, UnicodeError):
        return False


#: What parse refuses and no structural schema can say: each is a condition on the object, with a reason.
BEYOND_SCHEMA = re.compile(
    "replicas is for mode|version is a minor of|is not a version range|is not a range of npm|no name of a|"
    "no version can be|is not an IP network|base64|"
    "null|not valid Unicode|integer|set twice|more than once|twice|quantity|too large|at least|at most|"
    "is longer|duration|finite"
)


@pytest.mark.parametrize("kind", WHOLE)
def test_the_whole_object_is_valid(kind: str) -> None:
    assert accepted_by_schema(kind, WHOLE[kind])
    parse(kind, {"metadata": {"name": "x"}, "spec": WHOLE[kind]}).to_domain()


@pytest.mark.parametrize("kind", WHOLE)
def test_schema_and_parse_agree_on_what_is_nearly_valid(kind: str) -> None:
    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(near_valid(kind))
    def agree(spec: Body) -> None:
        try:
            parse(kind, {"metadata": {"name": "x"}, "spec": spec}).to_domain()
            refusal = ""
        except InvalidInputError as error:
            refusal = str(error)
        said = accepted_by_schema(kind, spec)
        if refusal:
            assert not said or BEYOND_SCHEMA.search(refusal), (refusal, spec)
            assert refusal.isprintable() or "\n" not in refusal
            assert len(refusal) < 6000
        else:
            assert said, json.dumps(spec)[:2000]

    agree()


@pytest.mark.parametrize("depth", [500, 5_000])
def test_an_object_that_is_nested_too_deep_is_refused(depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = {"a": deep}
    spec = {**WHOLE["Skill"], "sandbox": deep}
    with pytest.raises(InvalidInputError):
        parse("Skill", {"metadata": {"name": "x"}, "spec": spec})
