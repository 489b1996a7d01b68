"""The files of crds/: what they must be for an API server, for kubectl explain and for /scale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from skillwarden.api.crdgen import crd, filename, main, render
from skillwarden.api.structural import structural_schema
from skillwarden.api.v1alpha1.common import ApiModel
from skillwarden.api.v1alpha1.kinds import KINDS, Kind

Schema = dict[str, Any]
ALLOWED = {
    "additionalProperties", "anyOf", "default", "description", "enum", "format", "items", "maxItems",
    "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "not",
    "pattern", "properties", "required", "type", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-validations",
}  # fmt: skip


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Walk every schema below ``spec`` and ``status``."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}[*]")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def tree(kind: Kind, schemas: dict[str, Schema]) -> list[tuple[str, Schema]]:
    halves = schemas[kind.kind]["properties"]
    return [*nodes(halves["spec"], "spec"), *nodes(halves["status"], "status")]


def test_the_file_is_what_the_models_say(kind: Kind, repo_root: Path) -> None:
    assert (repo_root / "crds" / filename(kind)).read_text() == render(kind), "run `make crds`"


def test_no_file_is_left_over(repo_root: Path) -> None:
    assert {path.name for path in (repo_root / "crds").iterdir()} == {filename(kind) for kind in KINDS}


def test_the_generator_writes_every_file(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new")]) == 0
    assert len(list((tmp_path / "new").iterdir())) == len(KINDS)


def test_the_generator_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    assert "usage" in capsys.readouterr().err


def test_yaml_reads_back_as_it_was_written(kind: Kind) -> None:
    assert yaml.safe_load(render(kind)) == crd(kind)


def test_every_node_is_structural(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        assert set(node) <= ALLOWED, path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert node.get("default", 0) is not None, path


def test_every_field_is_described(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        if not path.endswith(("]", "spec.", "status.")):
            assert len(node.get("description", "")) > 10, path
            assert node["description"].endswith("."), path


def test_every_string_is_bounded(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        if node.get("type") == "string":
            assert "maxLength" in node or "enum" in node, path


def test_every_list_is_bounded_and_says_how_it_merges(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        if node.get("type") == "array":
            assert "maxItems" in node, path
            assert node["x-kubernetes-list-type"] in {"atomic", "set", "map"}, path


def test_every_map_is_bounded(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_keys_of_list_maps_are_required(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        for key in node.get("x-kubernetes-list-map-keys", []):
            assert key in node["items"]["required"], path


def test_no_pattern_needs_more_than_re2_has(tree: list[tuple[str, Schema]]) -> None:
    for path, node in tree:
        pattern = node.get("pattern", "^$")
        assert pattern.startswith("^"), path
        assert pattern.endswith("$"), path
        assert "(?" not in pattern, path


def test_rules_in_cel_have_a_message_and_stand_below_the_root(
    kind: Kind, tree: list[tuple[str, Schema]], schemas: dict[str, Schema]
) -> None:
    assert "x-kubernetes-validations" not in schemas[kind.kind]
    for path, node in tree:
        for rule in node.get("x-kubernetes-validations", []):
            assert path.startswith("spec"), path
            assert rule["message"], path


def test_spec_is_required(kind: Kind, schemas: dict[str, Schema]) -> None:
    assert schemas[kind.kind]["required"] == ["spec"]


def test_every_kind_has_status_conditions_and_is_of_the_category(kind: Kind, crds: dict[str, Schema]) -> None:
    spec = crds[kind.kind]["spec"]
    (version,) = spec["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["conditions"]["items"]["properties"]["message"]["maxLength"] == 32768
    assert status["observedGeneration"]["type"] == "integer"
    assert version["subresources"]["status"] == {}
    assert spec["names"]["categories"] == ["skillwarden"]
    assert spec["names"]["shortNames"] == [kind.short]
    assert spec["scope"] == ("Cluster" if kind.kind == "ClusterPackagePolicy" else "Namespaced")


def test_defaults_reach_replicas_without_a_sandbox(
    schemas: dict[str, Schema], crds: dict[str, Schema]
) -> None:
    spec = schemas["Skill"]["properties"]["spec"]["properties"]
    assert spec["sandbox"]["default"] == {}
    assert spec["sandbox"]["properties"]["replicas"]["default"] == 1
    scale = crds["Skill"]["spec"]["versions"][0]["subresources"]["scale"]
    assert scale["specReplicasPath"] == ".spec.sandbox.replicas"


def test_a_skill_shows_what_a_reader_acts_on(crds: dict[str, Schema]) -> None:
    columns = crds["Skill"]["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if not column.get("priority")]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert narrow == ["Verdict", "Ready", "Reason", "Packages", "Critical", "Age"]
    assert wide == ["Maturity", "Lock", "Agent"]


def test_a_union_is_refused_rather_than_written() -> None:
    class Odd(ApiModel):
        field: int | list[str]

    with pytest.raises(ValueError, match=r"Odd\.field: .* not a union"):
        structural_schema(Odd)
