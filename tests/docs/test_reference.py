"""docs/reference: what the definitions say, all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.kinds import KINDS, Kind

Schema = dict[str, Any]


def objects(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield each object with fields of its own, by its path."""
    if "properties" in schema:
        yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from objects(below, f"{path}.{name}")
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[]")


def halves(kind: Kind) -> Schema:
    (version,) = crd(kind)["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]["properties"]
    return found


def sections(text: str) -> dict[str, str]:
    """Return what stands below each heading that is a path."""
    parts = re.split(r"^#{2,3} `(.+)`$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_pages_are_what_the_models_say(generate: ModuleType, repo_root: Path) -> None:
    wanted = generate.pages()
    assert {path: path.read_text() for path in (repo_root / "docs" / "reference").iterdir()} == wanted, (
        "run `make crds`"
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_has_a_row_with_its_bounds_below_its_object(kind: Kind, generate: ModuleType) -> None:
    found = sections(generate.page(kind))
    wanted = {
        path: schema for half in ("spec", "status") for path, schema in objects(halves(kind)[half], half)
    }
    assert set(found) == set(wanted)
    for path, schema in wanted.items():
        for name, field in schema["properties"].items():
            (row,) = re.findall(rf"^\| \[?`{name}`.*$", found[path], flags=re.MULTILINE)
            plain = row.replace("\\|", "|")
            assert ("required" in re.split(r" \| ", row)[2]) == (name in schema.get("required", ()))
            for value in [*field.get("enum", ()), *([field["pattern"]] if "pattern" in field else [])]:
                assert f"`{value}`" in plain
            if field.get("default") not in (None, {}):
                assert "default `" in row
        for rule in schema.get("x-kubernetes-validations", ()):
            assert f"`{rule['rule']}`" in found[path]
            assert rule["message"] in found[path]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_links_to_an_object_lead_to_its_heading(kind: Kind, generate: ModuleType) -> None:
    page = generate.page(kind)
    headings = {"".join(filter(str.isalnum, path.lower())) for path in sections(page)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) == headings - {"spec", "status"}


def test_a_bar_ends_no_cell(generate: ModuleType) -> None:
    for text in generate.pages().values():
        for line in text.splitlines():
            assert not line.startswith("|") or len(re.findall(r"(?<!\\)\|", line)) in {4, 5}, line
