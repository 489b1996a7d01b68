"""Structural schemas at work: pruning, defaulting and validation of one value against one schema.

Custom resources and built-in kinds go through the same code; only the schemas' origin differs.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from skillwarden.localcluster.apiserver.errors import Cause
from skillwarden.localcluster.apiserver.formats import READ_AS_TYPES, STRING_FORMATS

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
RULES = "x-kubernetes-validations"
EMBEDDED = "x-kubernetes-embedded-resource"

#: The one CEL rule that is evaluated here, because immutability is what clients trip over.
IMMUTABLE_RULE = "self == oldSelf"


def join(path: str, name: str) -> str:
    """Extend a field path by a field's name."""
    return f"{path}.{name}" if path else name


def child_schema(schema: Schema, name: str) -> Schema | None:
    """Give the schema of a field, or ``None`` when the schema does not know the field."""
    known: Schema | None = schema.get("properties", {}).get(name)
    if known is not None:
        return known
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return extra
    if extra is True or schema.get(PRESERVE):
        return {PRESERVE: True}
    if schema.get(EMBEDDED) and name in {"apiVersion", "kind", "metadata"}:
        return {PRESERVE: True}
    return None


def prune(value: Any, schema: Schema, path: str = "", unknown: list[str] | None = None) -> Any:
    """Drop every field that the schema does not name.

    Parameters
    ----------
    value, schema
        A JSON value and its structural schema.
    path : str
        Where the value stands, for reports.
    unknown : list, optional
        Receives the path of each dropped field.

    Returns
    -------
    Any
        The value itself when nothing was dropped, otherwise a copy.
    """
    if isinstance(value, dict):
        pruned: dict[str, Any] = {}
        for name, item in value.items():
            below = child_schema(schema, name)
            if below is None:
                if unknown is not None:
                    unknown.append(join(path, name))
            else:
                pruned[name] = prune(item, below, join(path, name), unknown)
        return pruned
    if isinstance(value, list):
        items = schema.get("items") or {PRESERVE: True}
        return [prune(item, items, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    return value


def apply_defaults(value: Any, schema: Schema) -> None:
    """Fill in what the schema defaults, in place; a null that is not allowed is dropped first."""
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if name in value and value[name] is None and not below.get("nullable"):
                del value[name]
            if name not in value and "default" in below:
                value[name] = copy.deepcopy(below["default"])
            if name in value:
                apply_defaults(value[name], below)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                apply_defaults(value[name], extra)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            apply_defaults(item, schema["items"])


def type_name(value: Any) -> str:
    """Name a JSON value's type as schemas do."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _type_fits(value: Any, wanted: str) -> bool:
    actual = type_name(value)
    return actual == wanted or (
        (wanted == "number" and actual == "integer")
        or (wanted == "integer" and actual == "number" and float(value).is_integer())
    )


def validate(value: Any, schema: Schema, path: str = "") -> list[Cause]:
    """Check a value against a schema; the list is empty when it fits.

    The wording follows the real server's, for people search for it.
    """
    return list(_validate(value, schema, path))


def _wrong(value: Any, path: str, wanted: str) -> Cause:
    actual = type_name(value)
    text = f'Invalid value: "{actual}": {path} in body must be of type {wanted}: "{actual}"'
    return Cause("FieldValueTypeInvalid", text, path)


def _bad(value: Any, path: str, why: str, reason: str = "FieldValueInvalid") -> Cause:
    return Cause(reason, f"Invalid value: {json.dumps(value)}: {path} in body {why}", path)


def _validate(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if value is None:
        if not schema.get("nullable") and (schema.get("type") or schema.get(INT_OR_STRING)):
            yield _wrong(value, path, schema.get("type", "integer,string"))
        return
    if schema.get(INT_OR_STRING):
        if type_name(value) not in _int_or_string(schema):
            yield _wrong(value, path, "integer,string")
            return
    elif (wanted := schema.get("type")) and not _type_fits(value, wanted):
        yield _wrong(value, path, wanted)
        yield from _enum(value, schema, path)
        return
    yield from _enum(value, schema, path)
    yield from _combined(value, schema, path)
    match value:
        case dict():
            yield from _object(value, schema, path)
        case list():
            yield from _array(value, schema, path)
        case str():
            yield from _string(value, schema, path)
        case bool():
            return
        case int() | float():
            yield from _number(value, schema, path)


def _int_or_string(schema: Schema) -> tuple[str, ...]:
    # A quantity may be written as any number: cpu: 0.5
    return ("integer", "string", "number") if schema.get("format") == "quantity" else ("integer", "string")


def forbidden_nulls(value: Any, schema: Schema, path: str = "") -> Iterator[Cause]:
    """Find the nulls that stand where the schema wants a value."""
    if isinstance(value, dict):
        for name, item in value.items():
            below = child_schema(schema, name) or {}
            if item is None and below.get("type") and not below.get("nullable"):
                yield _wrong(item, join(path, name), below["type"])
            yield from forbidden_nulls(item, below, join(path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from forbidden_nulls(item, schema.get("items") or {}, f"{path}[{index}]")


def _enum(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        listed = ", ".join(json.dumps(item) for item in allowed)
        text = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
        yield Cause("FieldValueNotSupported", text, path)


def _combined(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    for part in schema.get("allOf", ()):
        yield from _validate(value, part, path)
    if (choices := schema.get("anyOf")) and all(validate(value, part, path) for part in choices):
        yield _bad(value, path, "must validate at least one schema (anyOf)")
    if (choices := schema.get("oneOf")) and sum(not validate(value, part, path) for part in choices) != 1:
        yield _bad(value, path, "must validate one and only one schema (oneOf)")
    if (banned := schema.get("not")) is not None and not validate(value, banned, path):
        yield _bad(value, path, "must not validate the schema (not)")


def _object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Cause("FieldValueRequired", "Required value", join(path, name))
    count = len(value)
    if count > schema.get("maxProperties", count):
        most = schema["maxProperties"]
        text = f"Too many: {count}: must have at most {most} items"
        yield Cause("FieldValueTooMany", text, path)
    if count < schema.get("minProperties", 0):
        yield _bad(value, path, f"should have at least {schema['minProperties']} properties")
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name, extra)
        if isinstance(below, dict):
            yield from _validate(item, below, join(path, name))


def _array(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    count = len(value)
    if count > schema.get("maxItems", count):
        text = f"Too many: {count}: must have at most {schema['maxItems']} items"
        yield Cause("FieldValueTooMany", text, path)
    if count < schema.get("minItems", 0):
        yield _bad(value, path, f"should have at least {schema['minItems']} items")
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            yield from _validate(item, items, f"{path}[{index}]")
    yield from _unique(value, schema, path)


def _unique(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    match schema.get(LIST_TYPE):
        case "set":
            identity: Callable[[Any], Any] = lambda item: item  # noqa: E731 - two short twins
        case "map":
            identity = lambda item: (  # noqa: E731
                {key: item.get(key) for key in schema.get(LIST_KEYS, ())} if isinstance(item, dict) else item
            )
        case _:
            return
    seen: set[str] = set()
    for index, item in enumerate(value):
        text = json.dumps(identity(item), sort_keys=True, separators=(",", ":"))
        if text in seen:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {text}", f"{path}[{index}]")
        seen.add(text)


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    # RE2's $ is the end of the text; Python's also matches before a last newline.
    ends = text.endswith("$") and not text.endswith("\\$")
    return re.compile(text[:-1] + r"\Z" if ends else text)


def _string(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxLength", len(value)):
        text = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield Cause("FieldValueTooLong", text, path)
    if len(value) < schema.get("minLength", 0):
        yield _bad(value, path, f"should be at least {schema['minLength']} chars long")
    if (pattern := schema.get("pattern")) and not _pattern(pattern).search(value):
        yield _bad(value, path, f"should match '{pattern}'")
    check = STRING_FORMATS.get(schema.get("format", ""))
    if check and not check(value) and schema["format"] in READ_AS_TYPES:
        yield Cause("FieldValueTypeInvalid", READ_AS_TYPES[schema["format"]], path)
    elif check and not check(value):
        yield _bad(value, path, f'must be of type {schema["format"]}: "{value}"')


def _number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    if (least := schema.get("minimum")) is not None:
        strict = schema.get("exclusiveMinimum", False)
        if value < least or (strict and value == least):
            relation = "greater than" if strict else "greater than or equal to"
            yield _bad(value, path, f"should be {relation} {least}")
    if (most := schema.get("maximum")) is not None:
        strict = schema.get("exclusiveMaximum", False)
        if value > most or (strict and value == most):
            yield _bad(value, path, f"should be {'less than' if strict else 'less than or equal to'} {most}")
    if (step := schema.get("multipleOf")) and value % step:
        yield _bad(value, path, f"should be a multiple of {step}")
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        yield _bad(value, path, f"must be of type {schema['format']}")


def validate_change(new: Any, old: Any, schema: Schema, path: str = "") -> list[Cause]:
    """Evaluate the rule ``self == oldSelf`` wherever the schema has it and both values exist."""
    causes: list[Cause] = []
    for rule in schema.get(RULES, ()):
        if "".join(rule.get("rule", "").split()) == IMMUTABLE_RULE.replace(" ", "") and new != old:
            shown = json.dumps(type_name(new) if isinstance(new, (dict, list)) else new)
            text = rule.get("message") or f"failed rule: {IMMUTABLE_RULE}"
            where = path + rule.get("fieldPath", "")
            causes.append(
                Cause(rule.get("reason", "FieldValueInvalid"), f"Invalid value: {shown}: {text}", where)
            )
    if isinstance(new, dict) and isinstance(old, dict):
        for name in new.keys() & old.keys():
            below = child_schema(schema, name)
            if below:
                causes += validate_change(new[name], old[name], below, join(path, name))
    return causes
