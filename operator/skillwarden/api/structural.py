"""From pydantic's JSON schema to what a CustomResourceDefinition may hold: a structural schema.

A structural schema has no references, gives each field one type, and says ``nullable`` instead of naming
null. Pydantic writes references, unions with null, and keywords that the API server refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

#: What the API server knows no use for, or refuses, in a structural schema.
_DROPPED = {"title", "$defs", "propertyNames", "uniqueItems", "const", "discriminator"}
_INTEGER = {"type": "integer", "format": "int64"}


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model, by alias, without references.

    Raises
    ------
    ValueError
        Where the model holds something that a structural schema cannot say, such as a union.
    """
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, definitions=raw.get("$defs", {}), path=model.__name__)


def _convert(node: Mapping[str, Any], *, definitions: Mapping[str, Any], path: str) -> Schema:
    merged = _resolve(node, definitions)
    if "anyOf" in merged and not merged.get("x-kubernetes-int-or-string"):
        raise ValueError(f"{path}: a structural schema has one type a field, not a union")
    schema = {key: value for key, value in merged.items() if key not in _DROPPED}
    match merged.get("additionalProperties"):
        case bool():
            del schema["additionalProperties"]
        case dict() as values:
            schema["additionalProperties"] = _convert(values, definitions=definitions, path=f"{path}[*]")
    if "patternProperties" in schema:
        # Keys of a map cannot be constrained in a CustomResourceDefinition; parse still does it.
        (values,) = schema.pop("patternProperties").values()
        schema["additionalProperties"] = _convert(values, definitions=definitions, path=f"{path}[*]")
    if "default" in schema and schema["default"] in (None, [], ""):
        # What an absent field means anyway: no need to write it into every stored object.
        del schema["default"]
    if "properties" in merged:
        schema["properties"] = {
            name: _convert(value, definitions=definitions, path=f"{path}.{name}")
            for name, value in merged["properties"].items()
        }
    if "items" in merged:
        schema["items"] = _convert(merged["items"], definitions=definitions, path=f"{path}[]")
    if schema.get("type") == "integer":
        schema = {**schema, **_INTEGER}
    return dict(sorted(schema.items(), key=_reading_order))


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Put definitions in the place of references, and an optional field's one type in its union's place.

    What stands beside the reference wins: a field's description is more to the point than its type's.
    """
    merged = dict(node)
    while True:
        if "$ref" in merged:
            target = definitions[merged.pop("$ref").removeprefix("#/$defs/")]
            merged = {**target, **merged}
            continue
        options = merged.get("anyOf", [])
        filled = [option for option in options if option.get("type") != "null"]
        if len(filled) == 1 and len(options) == 2:
            del merged["anyOf"]
            merged = {**filled[0], **merged}
            continue
        return merged


_ORDER = ("description", "type", "format", "enum", "default")
_LAST = ("items", "properties", "additionalProperties", "required")


def _reading_order(entry: tuple[str, Any]) -> tuple[int, str]:
    """Put what people read first, and what is long last."""
    key = entry[0]
    if key in _ORDER:
        return (_ORDER.index(key), "")
    if key in _LAST:
        return (len(_ORDER) + 1 + _LAST.index(key), "")
    return (len(_ORDER), key)
