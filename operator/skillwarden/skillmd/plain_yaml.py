"""Reading YAML that somebody wrote: safe, without aliases, and with the line of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from ..domain.errors import InvalidInputError

#: Where an entry stands below the top of a document: keys and indexes.
Place = tuple[str | int, ...]


class PlainLoader(yaml.SafeLoader):
    """A safe loader that takes no aliases, of which a few can make gigabytes, and no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, unless it is an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # pyyaml's stubs lack it
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not taken; write the value out", problem_mark=mark
            )
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping, unless it has a key twice."""
        node = super().compose_mapping_node(anchor)
        first: dict[str, yaml.ScalarNode] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, key) is not key:
                raise _TwiceError(first[key.value], key)
        return node


class YamlTextError(InvalidInputError):
    """A text is not YAML; ``line`` says where, counted from 1, where that is known."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _TwiceError(yaml.YAMLError):
    """A mapping has a key twice, of which YAML's reader would keep the last."""

    def __init__(self, first: yaml.ScalarNode, second: yaml.ScalarNode) -> None:
        super().__init__()
        self._key = second.value
        self._lines = first.start_mark.line, second.start_mark.line

    def told(self, first_line: int) -> YamlTextError:
        first, second = (line + first_line for line in self._lines)
        return YamlTextError(
            f"{self._key!r:.60} is written twice, at lines {first} and {second}.", line=second
        )


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document.

    Attributes
    ----------
    value
        What it says.
    lines
        The line of each entry, counted from 1.
    """

    value: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of an entry, or of the closest one around it that has one."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def load_yaml(data: str | bytes) -> list[Any]:
    """Return the documents of a YAML text that somebody wrote.

    Raises
    ------
    InvalidInputError
        Where it is not YAML, has aliases, or is nested too deep.
    """
    try:
        return list(yaml.load_all(data, Loader=PlainLoader))
    except (yaml.YAMLError, ValueError) as error:
        raise _told(error) from error
    except RecursionError as error:
        raise InvalidInputError("it is nested too deep.") from error


def load_document(text: str, *, first_line: int = 1) -> Document:
    """Return the only document of a YAML text, with the lines of its entries.

    Parameters
    ----------
    text
        The YAML.
    first_line
        The line at which the text begins in its file.

    Raises
    ------
    YamlTextError
        As ``load_yaml``, with the line.
    """
    try:
        loader = PlainLoader(text)
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise _told(error, first_line=first_line) from error
    except RecursionError as error:
        raise YamlTextError("it is nested too deep.") from error
    lines: dict[Place, int] = {}
    if node is not None:
        _note_lines(node, (), first_line, lines)
    return Document(value, lines)


def _note_lines(node: yaml.Node, place: Place, first_line: int, lines: dict[Place, int]) -> None:
    lines[place] = node.start_mark.line + first_line
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                _note_lines(value, (*place, str(key.value)), first_line, lines)
                # A block value begins below its key; a person looks for the key.
                lines[*place, str(key.value)] = key.start_mark.line + first_line
        case yaml.SequenceNode():
            for index, item in enumerate(node.value):
                _note_lines(item, (*place, index), first_line, lines)


def _told(error: Exception, *, first_line: int = 1) -> YamlTextError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = getattr(error, "context", None)
    if isinstance(error, _TwiceError):
        return error.told(first_line)
    text = " ".join(f"{problem}{f' ({where})' if where else ''}".split())
    return YamlTextError(f"it is not YAML: {text}.", line=mark.line + first_line if mark else None)
