"""Label and field selectors: what a list, a watch or a deletion of many is narrowed by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skillwarden.localcluster.apiserver.errors import Obj, bad_request
from skillwarden.localcluster.apiserver.formats import label_value_error, qualified_name_error

_SET = re.compile(r"(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^=!\s]*)")
_FIELD = re.compile(r"(?P<key>[^=!\s]+?)\s*(?P<op>==|=|!=)\s*(?P<value>.*)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: the key's value is, or is not, among the values; no values stand for existence."""

    key: str
    wanted: bool
    values: frozenset[str] | None

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Tell whether a set of labels satisfies this term."""
        if self.values is None:
            return (self.key in labels) is self.wanted
        return (labels.get(self.key) in self.values) is self.wanted


def _split(text: str) -> list[str]:
    """Split on the commas that stand outside of parentheses."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part.strip() for part in [*parts, text[start:]]]


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``.

    Raises
    ------
    ApiError
        400, naming the term that is no selector.
    """
    if not text.strip():
        return ()
    return tuple(_label_term(part) for part in _split(text))


def _label_term(term: str) -> Requirement:
    if match := _SET.fullmatch(term):
        values = frozenset(value.strip() for value in match["values"].split(","))
        found = Requirement(match["key"], match["op"] == "in", values)
    elif match := _EQUAL.fullmatch(term):
        found = Requirement(match["key"], match["op"] != "!=", frozenset({match["value"]}))
    else:
        absent = term.startswith("!")
        found = Requirement(term[absent:].strip(), not absent, None)
    wrong = qualified_name_error(found.key) or next(
        filter(None, (label_value_error(value) for value in found.values or ())), None
    )
    if wrong:
        raise bad_request(f"unable to parse requirement {term!r}: {wrong}")
    return found


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One term of a field selector."""

    key: str
    wanted: bool
    value: str


def parse_fields(text: str, supported: frozenset[str]) -> tuple[FieldTerm, ...]:
    """Read a field selector over the fields that a kind supports; 400 for any other."""
    if not text.strip():
        return ()
    terms = []
    for part in text.split(","):
        match = _FIELD.fullmatch(part.strip())
        if match is None:
            raise bad_request(f"invalid field selector: {part!r}; can't understand {part!r}")
        if match["key"] not in supported:
            raise bad_request(f"field label not supported: {match['key']}")
        terms.append(FieldTerm(match["key"], match["op"] != "!=", match["value"]))
    return tuple(terms)


def field_value(obj: Obj, path: str) -> str:
    """Give the text of a field by its dotted path; empty when it is not set."""
    found: Any = obj
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool):
        return "true" if found else "false"
    return "" if found is None else str(found)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request narrows a collection to."""

    namespace: str | None = None
    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    def matches(self, obj: Obj) -> bool:
        """Tell whether an object is selected."""
        meta = obj["metadata"]
        if self.namespace is not None and meta.get("namespace") != self.namespace:
            return False
        if self.labels:
            labels = meta.get("labels") or {}
            if not all(term.matches(labels) for term in self.labels):
                return False
        return all((field_value(obj, term.key) == term.value) is term.wanted for term in self.fields)
