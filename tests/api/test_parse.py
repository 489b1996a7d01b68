"""What parse takes and refuses: everything the schema does, and in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft7Validator

from skillwarden.api.v1alpha1 import MODELS, parse
from skillwarden.domain.errors import InvalidInputError

Body = dict[str, Any]
Make = Callable[..., Body]
FILES = [{"path": "main.py", "content": "x"}]
REF = {"name": "src", "sha256": "a" * 64}


def with_rule(**match: Any) -> Body:
    rule = {"name": "r", "match": {"ecosystem": "PyPI", "names": ["a"], **match}, "action": "Allow"}
    return {"rules": [rule]}


def to(cidr: str, **fields: Any) -> Body:
    return {"sandbox": {"network": {"egress": [{"cidr": cidr, "port": 443, **fields}]}}}


#: What is wrong: kind, fields of the spec, and what the message must say. The schema refuses each, too.
REFUSED: dict[str, tuple[str, Body, str]] = {
    "a newline in a requirement": (
        "Skill", {"packages": {"python": ["numpy\n--index-url x"]}}, "spec.packages.python[0]"),
    "a control character in a requirement": (
        "Skill", {"packages": {"python": ["a", "b\x1b[2J"]}}, "spec.packages.python[1]"),
    "a name of 10,000 characters": (
        "Skill", {"packages": {"python": ["a" * 10_000]}}, "is longer than 512 characters"),
    "an empty requirement": ("Skill", {"packages": {"python": [""]}}, "must not be empty"),
    "a number for a requirement": ("Skill", {"packages": {"python": [3]}}, "must be a string, not a number"),
    "one string for a list": ("Skill", {"packages": {"python": "numpy"}}, "must be a list, not a string"),
    "501 requirements": (
        "Skill", {"packages": {"python": [f"a{i}" for i in range(501)]}}, "has more than 500 items"),
    "packages of another ecosystem": (
        "Skill", {"packages": {"ruby": {}}}, "spec.packages.ruby: is not a known field"),
    "npm packages that name none": (
        "Skill", {"packages": {"node": {"dependencies": []}}}, "node.dependencies: must not be"),
    "another package manager": (
        "Skill", {"packages": {"node": {"manager": "bun", "dependencies": ["a"]}}}, "packages.node.manager"),
    "a name that climbs": (
        "PackagePolicy", {"bans": [{"ecosystem": "npm", "names": ["@a/../b"]}]}, "names[0]"),
    "an unknown field": ("Skill", {"secrets": []}, "spec.secrets: is not a known field"),
    "an unknown mode": ("Skill", {"mode": "Cron"}, "spec.mode: must be 'Task' or 'Service', not 'Cron'"),
    "another language": ("Skill", {"runtime": {"language": "Ruby"}}, "spec.runtime.language"),
    "a patch version": ("Skill", {"runtime": {"version": "3.12.1"}}, "spec.runtime.version"),
    "no source": ("Skill", {"source": {}}, "exactly one of files and configMapRef"),
    "two sources": (
        "Skill", {"source": {"files": FILES, "configMapRef": REF}}, "exactly one of files and configMapRef"),
    "no files": ("Skill", {"source": {"files": []}}, "spec.source.files: must not be empty"),
    "a file without content": (
        "Skill", {"source": {"files": [{"path": "a"}]}}, "exactly one of content and contentBase64"),
    "a file with two contents": (
        "Skill", {"source": {"files": [{"path": "a", "content": "x", "contentBase64": "eA=="}]}},
        "exactly one of content and contentBase64"),
    "an absolute path": ("Skill", {"source": {"files": [{"path": "/etc/x", "content": ""}]}}, "path"),
    "a digest in capitals": (
        "Skill", {"source": {"configMapRef": {"name": "a", "sha256": "A" * 64}}}, "configMapRef.sha256"),
    "an empty command": (
        "Skill", {"entrypoint": {"command": []}}, "spec.entrypoint.command: must not be empty"),
    "33 words": ("Skill", {"entrypoint": {"command": ["x"] * 33}}, "has more than 32 items"),
    "51 replicas": ("Skill", {"mode": "Service", "sandbox": {"replicas": 51}}, "spec.sandbox.replicas"),
    "a text for a number": (
        "Skill", {"sandbox": {"timeoutSeconds": "300"}}, "must be an integer, not a string"),
    "a number for a truth value": (
        "Skill", {"sandbox": {"suspend": 1}}, "spec.sandbox.suspend: must be true or false"),
    "no time at all": ("Skill", {"sandbox": {"timeoutSeconds": 0}}, "spec.sandbox.timeoutSeconds"),
    "a variable that no shell could hold": (
        "Skill", {"sandbox": {"env": [{"name": "A-B", "value": ""}]}}, "spec.sandbox.env[0].name"),
    "a fraction of a quantity as a number": (
        "Skill", {"sandbox": {"resources": {"cpu": 0.5}}}, "must be an integer or a string"),
    "a quantity without sense": (
        "Skill", {"sandbox": {"resources": {"memory": "much"}}}, "is not a quantity such as"),
    "a negative quantity": ("Skill", {"sandbox": {"resources": {"memory": -1}}}, "is not a quantity"),
    "no CPU": ("Skill", {"sandbox": {"resources": {"cpu": 0}}}, "is not greater than zero"),
    "another protocol": (
        "Skill", to("192.0.2.0/24", protocol="ICMP"), "protocol"),
    "a host name for a network": (
        "Skill", to("example.org"), "cidr"),
    "a port beyond the last": (
        "Skill", to("192.0.2.0/24", port=65536), "port"),
    "an agent's name in capitals": ("Skill", {"agentRef": {"name": "Data"}}, "spec.agentRef.name"),
    "an image": ("Skill", {"runtime": {"image": "x"}}, "spec.runtime.image: is not a known field"),
    "a run of nothing": ("SkillRun", {"skillRef": {}}, "spec.skillRef.name: is required"),
    "an input of 200,000 characters": ("SkillRun", {"input": "x" * 200_000}, "spec.input"),
    "gems in a policy": (
        "PackagePolicy",
        with_rule(ecosystem="RubyGems"),
        "must be 'PyPI' or 'npm', not 'RubyGems'",
    ),
    "a rule without names": ("PackagePolicy", with_rule(names=[]), "names: must not be empty"),
    "a name with a newline in a rule": ("PackagePolicy", with_rule(names=["a\nb"]), "names[0]"),
    "an unknown scope": ("PackagePolicy", with_rule(scope="All"), "scope"),
    "leave for malware": (
        "PackagePolicy", {"findings": {"malicious": "Allow"}},
        "spec.findings.malicious: must be 'Deny'"),
    "days": (
        "PackagePolicy", {"findings": {"minReleaseAge": {"duration": "3d"}}},
        "write days as hours, 3d is 72h"),
    "an age without a duration": (
        "PackagePolicy", {"findings": {"minReleaseAge": {}}}, "duration: is required"),
    "an age of projects without a duration": (
        "PackagePolicy", {"findings": {"minPackageAge": {"action": "Deny"}}},
        "minPackageAge.duration: is required"),
    "a selector in a namespace's policy": (
        "PackagePolicy", {"namespaceSelector": {}}, "is not a known field"),
    "a level that does not exist": (
        "PackagePolicy", {"maturity": {"Senior": "Allow"}}, "spec.maturity.Senior: is not a known field"),
    "no action at all": ("PackagePolicy", {"unlisted": "Ignore"}, "spec.unlisted"),
    "a selector's value that is a number": (
        "ClusterPackagePolicy", {"namespaceSelector": {"matchLabels": {"a": 1}}}, "matchLabels.a"),
    "a maturity in small letters": ("Agent", {"maturity": "student"}, "spec.maturity: must be 'Student'"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_parse_refuses_and_names_the_field(make: Make, kind: str, fields: Body, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(kind, make(kind, **fields))
    message = str(caught.value)
    assert said in message
    assert kind in message
    assert f"kubectl explain {kind.lower()}.spec" in message
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize("runtime", [{"language": "Node", "version": "3.12"}, {"version": "24"}])
def test_the_version_of_another_language_is_refused(
    make: Make, schemas: dict[str, Body], runtime: Body
) -> None:
    with pytest.raises(InvalidInputError, match="a minor of Python 3"):
        parse("Skill", make("Skill", runtime=runtime))
    below = schemas["Skill"]["properties"]["spec"]["properties"]["runtime"]
    assert "self.version.contains" in below["x-kubernetes-validations"][0]["rule"]


@pytest.mark.parametrize(("kind", "fields"), [case[:2] for case in REFUSED.values()], ids=REFUSED.keys())
def test_the_schema_refuses_it_too(make: Make, schemas: dict[str, Body], kind: str, fields: Body) -> None:
    """Unknown fields excepted: the API server prunes them, and refuses them where decoding is strict."""
    schema = close(schemas[kind]["properties"]["spec"])
    assert not Draft7Validator(schema).is_valid(make(kind, **fields)["spec"])


def close(schema: Body) -> Body:
    """Refuse unknown fields, as strict decoding does."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: close(below) for name, below in schema["properties"].items()}
        closed["additionalProperties"] = False
    if "items" in schema:
        closed["items"] = close(schema["items"])
    return closed


#: What JSON Schema cannot say, and CEL or list types do on a real API server.
REFUSED_BY_PARSE: dict[str, tuple[str, Body, str]] = {
    "a Task with replicas": ("Skill", {"sandbox": {"replicas": 2}}, "replicas is for mode Service"),
    "a selector In nothing": (
        "ClusterPackagePolicy",
        {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        "In and NotIn take one value or more",
    ),
    "a selector Exists with values": (
        "ClusterPackagePolicy",
        {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
        "Exists and DoesNotExist take none",
    ),
    "two rules of one name": (
        "PackagePolicy", {"rules": with_rule()["rules"] * 2}, "the name 'r' stands twice"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "said"), REFUSED_BY_PARSE.values(), ids=REFUSED_BY_PARSE.keys())
def test_parse_refuses_what_json_schema_cannot_say(make: Make, kind: str, fields: Body, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(kind, make(kind, **fields))
    assert said in str(caught.value)


@pytest.mark.parametrize("field", ["packages", "source", "agentRef"])
def test_null_is_refused_by_name(make: Make, field: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"spec\.{field} is null"):
        parse("Skill", make("Skill", **{field: None}))


@pytest.mark.parametrize("body", [
    pytest.param({"metadata": {"name": "x"}}, id="no spec"),
    pytest.param({"metadata": {"name": "x"}, "spec": None}, id="a null spec"),
    pytest.param({"metadata": {"name": "x"}, "spec": []}, id="a list for a spec"),
    pytest.param({"metadata": [], "spec": {}}, id="a list for metadata"),
    pytest.param({"spec": {}}, id="no metadata"),
    pytest.param({}, id="nothing"),
    pytest.param({"apiVersion": "skillwarden.io/v1", "metadata": {"name": "x"}, "spec": {}},
                 id="another version"),
    pytest.param({"kind": "Agent", "metadata": {"name": "x"}, "spec": {}}, id="another kind"),
    pytest.param({"metadata": {"name": "x"}, "spec": {"\ud800": 1}}, id="a lone surrogate"),
    pytest.param({"metadata": {"name": "x"}, "spec": {"a": object()}}, id="what JSON cannot hold"),
    pytest.param([], id="a list for an object"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["Skill", "SkillRun", "PackagePolicy", "ClusterPackagePolicy"])
def test_what_is_no_object_of_the_kind_is_refused_and_crashes_nothing(kind: str, body: Any) -> None:
    with pytest.raises(InvalidInputError):
        parse(kind, body)


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="The kinds are Skill, SkillRun"):
        parse("Skil", {})


def test_many_errors_are_cut(make: Make) -> None:
    with pytest.raises(InvalidInputError, match="and 95 more"):
        parse("Skill", make("Skill", packages={"python": ["\n"] * 100}))


@pytest.mark.parametrize("kind", MODELS)
def test_a_status_that_nobody_could_write_stops_nothing(make: Make, kind: str) -> None:
    parse(kind, make(kind) | {"status": {"verdict": 3, "conditions": "x"}})


@pytest.mark.parametrize("kind", MODELS)
def test_fields_of_metadata_that_the_server_adds_are_taken(make: Make, kind: str) -> None:
    body = make(kind)
    body["metadata"] |= {"managedFields": [{}], "labels": {"a": "b"}, "creationTimestamp": None}
    assert parse(kind, body).metadata.generation == 3
