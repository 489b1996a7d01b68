"""Sets of field paths: what server-side apply keeps for each manager, merges by and prunes by.

A path is a tuple of the elements that ``fieldsV1`` writes: ``f:name``, ``k:{"key":"value"}``, ``v:"item"``.
The rules are those of the structured merge that Kubernetes documents: scalars and atomic values are leaves,
maps and associative lists are granular.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from skillwarden.localcluster.apiserver.builtin_schemas import MAP_TYPE
from skillwarden.localcluster.apiserver.schema import LIST_KEYS, LIST_TYPE, Schema, child_schema
from skillwarden.localcluster.apiserver.store import clone

Path = tuple[str, ...]
PathSet = frozenset[Path]
_FREE: Schema = {}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def item_element(item: Any, schema: Schema) -> str | None:
    """Name a list's item by its identity; ``None`` for a list that is one value (atomic)."""
    match schema.get(LIST_TYPE):
        case "set":
            return f"v:{_compact(item)}"
        case "map" if isinstance(item, dict):
            fields = schema.get("items", _FREE).get("properties", {})
            keys = {
                key: item.get(key, fields.get(key, _FREE).get("default")) for key in schema.get(LIST_KEYS, ())
            }
            return f"k:{_compact({key: value for key, value in keys.items() if value is not None})}"
        case _:
            return None


def parts(value: Any, schema: Schema) -> dict[str, tuple[Any, Schema]] | None:
    """Take a granular value apart by path element; ``None`` for a leaf."""
    if isinstance(value, dict):
        if schema.get(MAP_TYPE) == "atomic":
            return None
        return {f"f:{name}": (item, child_schema(schema, name) or _FREE) for name, item in value.items()}
    if isinstance(value, list) and schema.get(LIST_TYPE) in {"map", "set"}:
        below = schema.get("items") or _FREE
        found: dict[str, tuple[Any, Schema]] = {}
        for item in value:
            element = item_element(item, schema)
            if element is None:
                return None
            found[element] = (item, below)
        return found
    return None


def field_set(value: Any, schema: Schema) -> PathSet:
    """Give the fields that a manifest speaks about: leaves, list items and empty maps."""
    return frozenset(_spoken(value, schema, ()))


def _spoken(value: Any, schema: Schema, path: Path) -> Iterator[Path]:
    below = parts(value, schema)
    if not below:
        # An empty list that merges by item speaks about no item, and an empty map about itself.
        if path and not (below is not None and isinstance(value, list)):
            yield path
        return
    for element, (item, item_schema) in below.items():
        here = (*path, element)
        if element[0] == "k":
            yield here
        yield from _spoken(item, item_schema, here)


def _nodes(value: Any, schema: Schema, path: Path) -> Iterator[Path]:
    if path:
        yield path
    for element, (item, item_schema) in (parts(value, schema) or {}).items():
        yield from _nodes(item, item_schema, (*path, element))


@dataclass(slots=True)
class Difference:
    """How one object differs from another, by path."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def compare(old: Any, new: Any, schema: Schema) -> Difference:
    """Tell which fields were added, modified and removed."""
    found = Difference()
    _compare(old, new, schema, (), found)
    return found


def _compare(old: Any, new: Any, schema: Schema, path: Path, found: Difference) -> None:
    if old == new and type(old) is type(new):
        return
    before, after = parts(old, schema), parts(new, schema)
    if before is None or after is None:
        found.modified.add(path)
        if before:
            found.removed.update(node for node in _nodes(old, schema, path) if node != path)
        if after:
            found.added.update(node for node in _nodes(new, schema, path) if node != path)
        return
    for element, (item, below) in after.items():
        here = (*path, element)
        if element in before:
            _compare(before[element][0], item, below, here, found)
        else:
            found.added.update(_nodes(item, below, here))
    for element, (item, below) in before.items():
        if element not in after:
            found.removed.update(_nodes(item, below, (*path, element)))


def merge(live: Any, applied: Any, schema: Schema) -> Any:
    """Lay an applied manifest over the live object."""
    if isinstance(live, dict) and isinstance(applied, dict) and schema.get(MAP_TYPE) != "atomic":
        merged = dict(live)
        for name, item in applied.items():
            below = child_schema(schema, name) or _FREE
            merged[name] = merge(live[name], item, below) if name in live else clone(item)
        return merged
    before, after = parts(live, schema), parts(applied, schema)
    if isinstance(live, list) and isinstance(applied, list) and before is not None and after is not None:
        items = []
        for element in _merged_order(list(before), list(after)):
            if element not in before:
                items.append(clone(after[element][0]))
            elif element not in after:
                items.append(before[element][0])
            else:
                items.append(merge(before[element][0], *after[element]))
        return items
    return clone(applied)


def _merged_order(live: list[str], applied: list[str]) -> list[str]:
    """Order the items of two lists: the applied order counts, what is only live stays where it stood."""
    ordered: list[str] = []
    wanted, known = set(applied), set(live)
    ahead = list(applied)
    for element in live:
        if element not in wanted:
            ordered.append(element)
        elif element == next((item for item in ahead if item in known), None):
            taken = ahead.index(element) + 1
            ordered += ahead[:taken]
            ahead = ahead[taken:]
    return ordered + ahead


def without(value: Any, schema: Schema, paths: Iterable[Path]) -> Any:
    """Give a value without the fields at some paths; the value itself stays as it is."""
    cut: dict[str, list[Path]] = {}
    for path in paths:
        cut.setdefault(path[0], []).append(path[1:])
    if not cut:
        return value
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for name, item in value.items():
            tails = cut.get(f"f:{name}")
            if tails is None:
                kept[name] = item
            elif () not in tails:
                kept[name] = without(item, child_schema(schema, name) or _FREE, tails)
        return kept
    if isinstance(value, list):
        rest: list[Any] = []
        for item in value:
            tails = cut.get(item_element(item, schema) or "")
            if tails is None:
                rest.append(item)
            elif () not in tails:
                rest.append(without(item, schema.get("items") or _FREE, tails))
        return rest
    return value


def encode(paths: Iterable[Path]) -> dict[str, Any]:
    """Write a set as ``fieldsV1``."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        level = tree
        for element in path:
            level = level.setdefault(element, {})
        level["."] = {}
    return {element: _tidy(level) for element, level in tree.items() if element != "."}


def _tidy(level: dict[str, Any]) -> dict[str, Any]:
    if level.keys() == {"."}:
        return {}
    return {element: {} if element == "." else _tidy(below) for element, below in level.items()}


def decode(fields: Any) -> PathSet:
    """Read ``fieldsV1``; what is no object counts as empty."""
    found: set[Path] = set()

    def walk(level: Any, path: Path) -> None:
        if not isinstance(level, dict):
            return
        if path and (not level or "." in level):
            found.add(path)
        for element, below in level.items():
            if element != ".":
                walk(below, (*path, element))

    walk(fields, ())
    return frozenset(found)


def show(path: Path) -> str:
    """Write a path as conflict messages do: ``.spec.containers[name="app"].image``."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        match kind:
            case "f":
                text += f".{rest}"
            case "k":
                keys = json.loads(rest)
                text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
            case _:
                text += f"[={rest}]"
    return text
