"""Reading ``yarn.lock``: the format of yarn 1, which is its own, and that of later ones, which is YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from .lockfile_graph import Graph, Row, by_range, foreign_reason
from .lockfile_yaml import read_yaml, table, text
from .npmlock import sha512_of

FILE = "yarn.lock"
_WORD = r'"(?:[^"\\\x00-\x1f]|\\.)*"|[^\s",:#][^\s",:]*'
_HEAD = re.compile(rf"(?:{_WORD})(?:, (?:{_WORD}))*:")
_FIELD = re.compile(rf"(?P<key>{_WORD}) (?P<value>{_WORD}|true|false)")
_TABLE = re.compile(r"(?P<key>[A-Za-z]+):")
_TABLES = {"dependencies": False, "optionalDependencies": True}
_ALIAS = re.compile(r"npm:@?[^@]+@")


def read_yarn(content: str) -> Graph:
    """Return what a ``yarn.lock`` of any version says.

    Raises
    ------
    LockfileError
        Where it is none.
    """
    berry = re.search(r"(?m)^__metadata:", content)
    return _berry(content) if berry else _classic(content)


def _classic(content: str) -> Graph:
    graph = Graph(FILE)
    if not re.search(r"(?m)^# yarn lockfile v1\s*$", content):
        raise graph.error("it says neither '# yarn lockfile v1' nor '__metadata'.")
    for line, keys, fields, needs in _blocks(graph, content):
        resolved = fields.get("resolved", "")
        for key in keys:
            name, wanted = _split(key)
            refusal = foreign_reason(name, wanted)
            if not refusal and resolved and urlsplit(resolved).scheme not in {"http", "https"}:
                refusal = "comes from elsewhere than a registry"
            row = Row(
                name, fields.get("version", ""), line, sha512_of(fields.get("integrity", "")), needs, refusal
            )
            if graph.rows.setdefault(key, row) is not row:
                raise graph.error(f"{key!r:.200} is written twice.", line=line)
    graph.root = by_range(graph.rows)
    return graph


_Needs = tuple[tuple[str, str, bool], ...]


def _blocks(graph: Graph, content: str) -> Iterator[tuple[int, list[str], dict[str, str], _Needs]]:
    head: tuple[int, list[str], dict[str, str]] | None = None
    needs: list[tuple[str, str, bool]] = []
    optional: bool | None = None
    for number, raw in enumerate(content.split("\n"), start=1):
        written = raw.rstrip("\r ")
        if not written or written.startswith("#"):
            continue
        line = written.lstrip(" ")
        indent = len(written) - len(line)
        if indent == 0 and _HEAD.fullmatch(line):
            if head is not None:
                yield (*head, tuple(needs))
            head = (number, [_word(graph, word, number) for word in re.findall(_WORD, line[:-1])], {})
            needs, optional = [], None
        elif indent == 2 and head and (found := _FIELD.fullmatch(line)):
            key = _word(graph, found["key"], number)
            if key in head[2]:
                raise graph.error(f"{key!r:.80} is written twice.", line=number)
            head[2][key], optional = _word(graph, found["value"], number), None
        elif indent == 2 and head and (found := _TABLE.fullmatch(line)) and found["key"] in _TABLES:
            optional = _TABLES[found["key"]]
        elif indent == 4 and optional is not None and (found := _FIELD.fullmatch(line)):
            name = _word(graph, found["key"], number)
            needs.append((name, f"{name}@{_word(graph, found['value'], number)}", optional))
        else:
            raise graph.error(f"{line!r:.80} is no line of a yarn.lock.", line=number)
    if head is not None:
        yield (*head, tuple(needs))


def _word(graph: Graph, written: str, line: int) -> str:
    if not written.startswith('"'):
        return written
    try:
        return str(json.loads(written))
    except ValueError as error:
        raise graph.error(f"{written!r:.80} is no text.", line=line) from error


def _split(key: str) -> tuple[str, str]:
    """Return name and range of ``name@range``; a scope begins with the first ``@``."""
    at = key.find("@", 1)
    return (key, "") if at < 0 else (key[:at], key[at + 1 :])


def _berry(content: str) -> Graph:
    graph = Graph(FILE)
    for heading, value in read_yaml(content, FILE).items():
        if heading == "__metadata":
            continue
        entry, line = table(value), heading.line
        version, resolution = text(entry.get("version")), text(entry.get("resolution"))
        needs = _berry_needs(entry)
        for key in heading.split(", "):
            name, wanted = _split(key)
            refusal = foreign_reason(name, _plain(wanted))
            if not refusal and resolution != f"{name}@npm:{version}":
                refusal = f"is resolved to {resolution!r:.100}, not to a version of the registry"
            row = Row(name, version, line, "", needs, refusal)
            if graph.rows.setdefault(f"{name}@{_plain(wanted)}", row) is not row:
                raise graph.error(f"{key!r:.200} is written twice.", line=line)
    graph.root = by_range(graph.rows)
    return graph


def _berry_needs(entry: dict[Any, Any]) -> _Needs:
    meta = table(entry.get("dependenciesMeta"))
    return tuple(
        (str(name), f"{name}@{_plain(text(wanted))}", text(table(meta.get(name)).get("optional")) == "true")
        for name, wanted in table(entry.get("dependencies")).items()
    )


def _plain(wanted: str) -> str:
    """Return a range without yarn's ``npm:``; an alias keeps it, and is refused by it."""
    return wanted if _ALIAS.match(wanted) else wanted.removeprefix("npm:")
