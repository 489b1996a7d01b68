"""Reading a lockfile's YAML as plain text: no aliases, no types, bounded depth, a line for each key."""

from __future__ import annotations

from typing import Any

import yaml

from .lockfile_graph import LockfileError

_MAX_DEPTH = 12
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Text(str):
    """A scalar as it is written, with its line counted from 1."""

    __slots__ = ("line",)
    line: int


def read_yaml(text: str, file: str) -> dict[Any, Any]:
    """Return the only document of a text, a mapping; its scalars are ``Text``, whatever they look like.

    Raises
    ------
    LockfileError
        Where it is not that.
    """
    try:
        return _build(text, file)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or type(error).__name__
        raise LockfileError(
            file, f"it is not YAML: {problem}.", line=mark.line + 1 if mark else None
        ) from error


def _build(text: str, file: str) -> dict[Any, Any]:
    documents: list[Any] = []
    stack: list[tuple[Any, list[Text]]] = []
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.AliasEvent():
                raise LockfileError(
                    file, "it has an alias (*name), which no package manager writes.", line=line
                )
            case yaml.ScalarEvent():
                value = Text(event.value)
                value.line = line
                _place(value, stack, documents, file)
            case yaml.CollectionStartEvent():
                if len(stack) >= _MAX_DEPTH:
                    raise LockfileError(file, "it is nested too deep.", line=line)
                if stack and isinstance(stack[-1][0], dict) and not stack[-1][1]:
                    raise LockfileError(file, "a key is no text.", line=line)
                made: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                _place(made, stack, documents, file)
                stack.append((made, []))
            case yaml.CollectionEndEvent():
                stack.pop()
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise LockfileError(file, "it is not one mapping.")
    return documents[0]


def _place(value: Any, stack: list[tuple[Any, list[Text]]], documents: list[Any], file: str) -> None:
    if not stack:
        documents.append(value)
        return
    around, keys = stack[-1]
    if isinstance(around, list):
        around.append(value)
    elif keys:
        around[keys.pop()] = value
    elif value in around:
        raise LockfileError(file, f"{value!r:.100} is written twice.", line=value.line)
    else:
        keys.append(value)


def table(value: Any) -> dict[Any, Any]:
    """Return a mapping, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """Return a scalar, or nothing for anything else."""
    return value if isinstance(value, str) else ""
