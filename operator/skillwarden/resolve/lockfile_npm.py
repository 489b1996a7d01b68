"""Reading an author's ``package-lock.json``, versions 2 and 3, as the pins of a closure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .lockfile_graph import Graph, Row
from .npmlock import sha512_of

FILE = "package-lock.json"
_MODULES = "node_modules/"


def read_package_lock(content: str) -> Graph:
    """Return what a ``package-lock.json`` says.

    Raises
    ------
    LockfileError
        Where it is none, or of version 1.
    """
    graph = Graph(FILE)
    try:
        lock = json.loads(content)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise graph.error(f"it is not JSON: {type(error).__name__}.", line=line) from error
    lock = lock if isinstance(lock, dict) else {}
    places = lock.get("packages")
    if lock.get("lockfileVersion") not in (2, 3) or not isinstance(places, dict):
        raise graph.error(
            f"its lockfileVersion is {lock.get('lockfileVersion')!r:.20}; 2 and 3 are read.",
            fix="Lock anew with npm 7 or newer.",
        )
    lines = _lines(content)
    for place, row in places.items():
        if not isinstance(row, dict):
            raise graph.error(f"{place!r:.200} is no object.", line=lines.get(place))
        if place:
            graph.rows[place] = _row(place, row, places, lines.get(place, 1))
    graph.root = lambda name, _range: f"{_MODULES}{name}"
    return graph


def _lines(content: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in enumerate(content.split("\n"), start=1):
        word = line.strip()
        if word.startswith('"') and word.endswith('": {'):
            found.setdefault(word[1:-4], number)
    return found


def _row(place: str, row: Mapping[str, Any], places: Mapping[str, Any], line: int) -> Row:
    name = place.rpartition(_MODULES)[2]
    needs = tuple(
        (child, _find(place, child, places) or f" {child}", optional) for child, optional in _edges(row)
    )
    return Row(
        name,
        str(row.get("version") or ""),
        line,
        sha512_of(str(row.get("integrity") or "")),
        needs,
        _refusal(place, name, row),
        bool(row.get("inBundle")),
    )


def _refusal(place: str, name: str, row: Mapping[str, Any]) -> str:
    resolved = row.get("resolved")
    if row.get("link") or not place.startswith(_MODULES):
        return "is a link or a workspace"
    if row.get("name") not in (None, name):
        return "is an alias of another package"
    if row.get("inBundle") or resolved is None:
        return ""
    if not isinstance(resolved, str) or urlsplit(resolved).scheme not in {"http", "https"}:
        return "comes from elsewhere than a registry"
    if not sha512_of(str(row.get("integrity") or "")):
        return "has no SHA-512, as what comes from an address"
    return ""


def _edges(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for key, optional in (
        ("dependencies", False),
        ("optionalDependencies", True),
        ("peerDependencies", True),
    ):
        value = row.get(key)
        for name in value if isinstance(value, dict) else ():
            yield name, optional


def _find(place: str, name: str, places: Mapping[str, Any]) -> str | None:
    while True:
        found = f"{place}/{_MODULES}{name}" if place else f"{_MODULES}{name}"
        if found in places or not place:
            return found if found in places else None
        place = place.rpartition(f"/{_MODULES}")[0] if f"/{_MODULES}" in place else ""
