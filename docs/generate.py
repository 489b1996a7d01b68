"""Write docs/reference: one page a kind, from the definitions that the models make.

``python docs/generate.py`` (``make crds``); a test holds the pages against drift.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.common import API_VERSION
from skillwarden.api.v1alpha1.kinds import KINDS, Kind

REFERENCE = Path(__file__).resolve().parent / "reference"
Schema = Mapping[str, Any]

_INDEX = f"""\
# API reference

Generated from the models by `make crds`. All kinds are of `{API_VERSION}` and in the category `skillwarden`
(`kubectl get skillwarden -A`). `kubectl explain` says the same on a cluster.

| kind | short name | scope | what it is |
|---|---|---|---|
"""
#: What bounds a value: the lower bound, the upper one, and what is counted.
_BOUNDS = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " keys"),
)
_PLURALS = {"object": "objects", "string": "strings", "integer": "integers", "boolean": "booleans"}


def pages() -> dict[Path, str]:
    """Return the text of each page by path."""
    rows = [
        f"| [{kind.kind}]({_filename(kind)}) | `{kind.short}` | {_scope(kind)} "
        f"| {_cell(kind.description)} |\n"
        for kind in KINDS
    ]
    return {
        REFERENCE / "api.md": _INDEX + "".join(rows),
        **{REFERENCE / _filename(kind): page(kind) for kind in KINDS},
    }


def page(kind: Kind) -> str:
    """Return the page of one kind."""
    spec = crd(kind)["spec"]
    (version,) = spec["versions"]
    halves = version["schema"]["openAPIV3Schema"]["properties"]
    names = [spec["names"]["singular"], spec["names"]["plural"], *spec["names"]["shortNames"]]
    scale = version["subresources"].get("scale")
    parts = [
        f"# {kind.kind}",
        "<!-- Generated from the models by `make crds`; edit the models, not this page. -->",
        _text(kind.description),
        "\n".join(
            [
                f"- `apiVersion: {API_VERSION}`, `kind: {kind.kind}`, {_scope(kind)}",
                f"- for kubectl: {_codes(names)}",
                *([f"- `kubectl scale` sets `{scale['specReplicasPath']}`"] if scale else []),
            ]
        ),
        *_columns(version["additionalPrinterColumns"]),
        *_objects(halves["spec"], "spec", depth=2),
        *_objects(halves["status"], "status", depth=2),
    ]
    return "\n\n".join(parts) + "\n"


def _filename(kind: Kind) -> str:
    return f"{kind.kind.lower()}.md"


def _scope(kind: Kind) -> str:
    return "in a namespace" if kind.namespaced else "of the cluster"


def _columns(columns: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what ``kubectl get`` shows; Age is every kind's."""
    yield "## Columns of kubectl get"
    rows = []
    for column in columns:
        if "description" in column:
            wide = " (with `-o wide`)" if column.get("priority") else ""
            rows.append(
                f"| {column['name']}{wide} | {_code(column['jsonPath'])} | {_cell(column['description'])} |"
            )
    yield "\n".join(["| column | from | what it says |", "|---|---|---|", *rows])


def _objects(schema: Schema, path: str, *, depth: int) -> Iterator[str]:
    """Yield a section for an object, and for each object below it."""
    yield f"{'#' * depth} `{path}`"
    yield _text(schema["description"])
    if rules := list(_rules(schema)):
        yield "\n".join(f"- {rule}" for rule in rules)
    required = set(schema.get("required", ()))
    rows = [
        f"| {_name(name, field, path)} | {_type(field)} | {'; '.join(_constraints(field, name in required))} "
        f"| {_cell(field['description'])} |"
        for name, field in schema["properties"].items()
    ]
    yield "\n".join(["| field | type | constraints | what it is |", "|---|---|---|---|", *rows])
    for name, field in schema["properties"].items():
        inner, suffix = _inner(field)
        if "properties" in inner:
            yield from _objects(inner, f"{path}.{name}{suffix}", depth=3)


def _inner(field: Schema) -> tuple[Schema, str]:
    """Return what a list or a map is of, or the field itself; and how its path goes on."""
    if "items" in field:
        return field["items"], "[]"
    if "additionalProperties" in field:
        return field["additionalProperties"], "[*]"
    return field, ""


def _name(name: str, field: Schema, path: str) -> str:
    inner, suffix = _inner(field)
    if "properties" not in inner:
        return f"`{name}`"
    anchor = "".join(letter for letter in f"{path}.{name}{suffix}".lower() if letter.isalnum())
    return f"[`{name}`](#{anchor})"


def _type(field: Schema) -> str:
    inner, _ = _inner(field)
    if "items" in field:
        many = _PLURALS[inner["type"]]
        match field["x-kubernetes-list-type"]:
            case "set":
                return f"list of {many}, each once"
            case "map":
                return f"list of {many}, one for each {_codes(field['x-kubernetes-list-map-keys'])}"
        return f"list of {many}"
    if "additionalProperties" in field:
        return f"map of {_PLURALS[inner['type']]}"
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    return "date and time" if field.get("format") == "date-time" else str(field["type"])


def _constraints(field: Schema, required: bool) -> Iterator[str]:
    if required:
        yield "required"
    if "default" in field and field["default"] != {}:
        yield f"default {_code(_yaml(field['default']))}"
    yield from _limits(field)
    inner, suffix = _inner(field)
    if suffix and "properties" not in inner and (limits := list(_limits(inner))):
        yield "each: " + ", ".join(limits)


def _limits(field: Schema) -> Iterator[str]:
    if "enum" in field:
        yield f"one of {_codes(field['enum'])}"
    for lower, upper, counted in _BOUNDS if "properties" not in field else ():
        match field.get(lower), field.get(upper):
            case None, None:
                continue
            case least, None:
                yield f"at least {least}{counted}"
            case None, most:
                yield f"at most {most}{counted}"
            case least, most:
                yield f"{least} to {most}{counted}"
    if "pattern" in field:
        yield f"pattern {_code(field['pattern'])}"


def _rules(schema: Schema) -> Iterator[str]:
    """Yield what the API server checks of an object as a whole: in CEL, which says all that ``not`` says."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{_text(rule['message'])}: `{rule['rule']}`"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def _codes(values: list[str]) -> str:
    return ", ".join(_code(value) for value in values)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _text(text: str) -> str:
    """Escape what Markdown would read as something else."""
    return re.sub(r"([*<])", r"\\\1", text)


def _cell(text: str) -> str:
    """Return text for a cell of a table."""
    return _text(text).replace("|", "\\|")


def main() -> None:
    """Write every page, and remove those of kinds that are no more."""
    wanted = pages()
    REFERENCE.mkdir(exist_ok=True)
    for old in REFERENCE.glob("*.md"):
        if old not in wanted:
            old.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
