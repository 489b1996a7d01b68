"""The JSONPath of printer columns: fields, indices, ``[*]`` and filters on equality."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Step = Callable[[Any], list[Any]]

_TOKEN = re.compile(
    r"""
    \.(?P<field>(?:\\.|[^.\[\]\\])+)
  | \[\s*'(?P<quoted>(?:\\.|[^'])*)'\s*\]
  | \[\s*"(?P<double>(?:\\.|[^"])*)"\s*\]
  | \[\s*(?P<index>-?\d+)\s*\]
  | (?P<all>\[\s*\*\s*\]|\.\*)
  | \[\s*\?\s*\(\s*@\.(?P<key>[\w.\-]+)\s*(?P<op>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[\w.\-]+)\s*\)\s*\]
    """,
    re.VERBOSE,
)


def _field(name: str) -> Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _index(place: int) -> Step:
    def step(value: Any) -> list[Any]:
        fits = isinstance(value, list) and -len(value) <= place < len(value)
        return [value[place]] if fits else []

    return step


def _all(value: Any) -> list[Any]:
    if isinstance(value, list):
        return list(value)
    return list(value.values()) if isinstance(value, dict) else []


def _filter(key: str, wanted: str, *, equal: bool) -> Step:
    def step(value: Any) -> list[Any]:
        kept = []
        for item in _all(value):
            found: Any = item
            for name in key.split("."):
                found = found.get(name) if isinstance(found, dict) else None
            text = str(found).lower() if isinstance(found, bool) else str(found)
            if found is not None and (text == wanted) is equal:
                kept.append(item)
        return kept

    return step


@lru_cache(maxsize=512)
def _compiled(path: str) -> tuple[Step, ...]:
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text.removeprefix("$")
    steps: list[Step] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"not a JSONPath understood here: {path!r}, at {text[place:]!r}")
        place = match.end()
        name = match["field"] or match["quoted"] or match["double"]
        if match["all"]:
            steps.append(_all)
        elif name is not None:
            steps.append(_field(re.sub(r"\\(.)", r"\1", name)))
        elif match["index"] is not None:
            steps.append(_index(int(match["index"])))
        else:
            steps.append(_filter(match["key"], match["value"].strip("\"'"), equal=match["op"] == "=="))
    return tuple(steps)


def check(path: str) -> None:
    """Raise ``ValueError`` for a path that is not understood."""
    _compiled(path)


def find(path: str, obj: Any) -> list[Any]:
    """Give the values at a path, in order; none when nothing is there."""
    values = [obj]
    for step in _compiled(path):
        values = [found for value in values for found in step(value)]
    return values
