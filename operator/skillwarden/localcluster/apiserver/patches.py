"""The three older kinds of patch: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch."""

from __future__ import annotations

import json
from typing import Any

from skillwarden.localcluster.apiserver.builtin_schemas import MERGE_KEY, MERGE_STRATEGY
from skillwarden.localcluster.apiserver.errors import ApiError, bad_request
from skillwarden.localcluster.apiserver.schema import Schema, child_schema
from skillwarden.localcluster.apiserver.store import clone

DIRECTIVE = "$patch"
DELETE_ITEMS = "$deleteFromPrimitiveList/"
IGNORED = ("$setElementOrder/", "$retainKeys")


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _refuse(why: str) -> ApiError:
    text = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", f"{text}: {why}")


def _pointer(text: Any) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise bad_request(f"not a JSON pointer: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(container: list[Any], key: str, *, extra: int = 0) -> int:
    if not key.isdecimal() or (len(key) > 1 and key[0] == "0") or int(key) >= len(container) + extra:
        raise _refuse(f"index {key!r} is outside of the list")
    return int(key)


def _enter(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return value[_index(value, key)]
    if not isinstance(value, dict) or key not in value:
        raise _refuse(f"nothing is at {key!r}")
    return value[key]


def _look_up(document: Any, pointer: list[str]) -> Any:
    for key in pointer:
        document = _enter(document, key)
    return document


def _add(document: Any, pointer: list[str], value: Any) -> Any:
    if not pointer:
        return value
    container, key = _look_up(document, pointer[:-1]), pointer[-1]
    if isinstance(container, list):
        container.insert(len(container) if key == "-" else _index(container, key, extra=1), value)
    elif isinstance(container, dict):
        container[key] = value
    else:
        raise _refuse(f"{key!r} stands below a value that holds nothing")
    return document


def _remove(document: Any, pointer: list[str]) -> Any:
    if not pointer:
        raise _refuse("the whole document cannot be removed")
    container, key = _look_up(document, pointer[:-1]), pointer[-1]
    _enter(container, key)
    if isinstance(container, list):
        del container[int(key)]
    else:
        del container[key]
    return document


def _same(left: Any, right: Any) -> bool:
    # JSON tells 1 from true; Python's == does not.
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def json_patch(target: Any, operations: Any) -> Any:
    """Apply a JSON patch; the target stays as it is.

    Raises
    ------
    ApiError
        400 for what is no patch, 422 for one that does not fit the document or whose test fails.
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    if len(operations) > 10_000:
        raise bad_request("a JSON patch holds 10000 operations at most")
    document = clone(target)
    for operation in operations:
        if not isinstance(operation, dict) or "path" not in operation:
            raise bad_request("each operation of a JSON patch has an op and a path")
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    pointer = _pointer(operation["path"])
    action = operation.get("op")
    if action in {"add", "replace", "test"} and "value" not in operation:
        raise bad_request(f"the operation {action} needs a value")
    match action:
        case "add":
            return _add(document, pointer, clone(operation["value"]))
        case "remove":
            return _remove(document, pointer)
        case "replace":
            _look_up(document, pointer)
            if not pointer:
                return clone(operation["value"])
            container, key = _look_up(document, pointer[:-1]), pointer[-1]
            container[int(key) if isinstance(container, list) else key] = clone(operation["value"])
            return document
        case "move":
            source = _pointer(operation.get("from"))
            if pointer[: len(source)] == source and pointer != source:
                raise _refuse("a value cannot move into itself")
            value = _look_up(document, source)
            return document if pointer == source else _add(_remove(document, source), pointer, value)
        case "copy":
            return _add(document, pointer, clone(_look_up(document, _pointer(operation.get("from")))))
        case "test":
            if not _same(_look_up(document, pointer), operation["value"]):
                raise _refuse(f"the test of {operation['path']} failed")
            return document
        case _:
            raise _refuse(f"unknown operation {action!r}")


def strategic_merge(target: Any, patch: Any, schema: Schema) -> Any:
    """Apply a strategic merge patch: like a merge patch, but lists with a merge key merge by item.

    Understands ``$patch`` (delete, replace, merge) and ``$deleteFromPrimitiveList``; the order of list
    items (``$setElementOrder``) is left as it is.
    """
    match patch:
        case dict():
            return _merge_object(target if isinstance(target, dict) else {}, patch, schema)
        case list():
            return _merge_list(target if isinstance(target, list) else [], patch, schema)
        case _:
            return clone(patch)


def _merge_object(target: dict[str, Any], patch: dict[str, Any], schema: Schema) -> dict[str, Any]:
    match patch.get(DIRECTIVE):
        case "replace":
            return {name: clone(value) for name, value in patch.items() if name != DIRECTIVE}
        case "delete":
            return {}
    merged = dict(target)
    for name, value in patch.items():
        if name == DIRECTIVE or name.startswith(IGNORED):
            continue
        if name.startswith(DELETE_ITEMS):
            field = name.removeprefix(DELETE_ITEMS)
            merged[field] = [item for item in merged.get(field) or () if item not in value]
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = strategic_merge(merged.get(name), value, child_schema(schema, name) or {})
    return merged


def _merge_list(target: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if schema.get(MERGE_STRATEGY) != "merge" or {DIRECTIVE: "replace"} in patch:
        return [clone(item) for item in patch if item != {DIRECTIVE: "replace"}]
    key = schema.get(MERGE_KEY)
    if key is None:
        return target + [item for item in patch if item not in target]
    merged = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {json.dumps(item)} does not contain declared merge key: {key}")
        places = [index for index, old in enumerate(merged) if old.get(key) == item[key]]
        if item.get(DIRECTIVE) == "delete":
            merged = [old for old in merged if old.get(key) != item[key]]
        elif places:
            merged[places[0]] = strategic_merge(merged[places[0]], item, schema["items"])
        else:
            merged.append(strategic_merge({}, item, schema["items"]))
    return merged
