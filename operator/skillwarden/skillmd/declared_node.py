"""npm packages in the files of a folder: ``package.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..resolve.intake_text import printable
from .entry import Entry, declaring
from .files import Folder
from .problems import Remarks

_PACKAGE_JSON = re.compile(r"(?:[^/]+/)*package\.json")
#: Of package.json: what an installation without development tools would bring, or would be changed by.
_READ_TABLES = ("dependencies", "optionalDependencies")
_REFUSED_TABLES = (
    "overrides",
    "resolutions",
    "peerDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "workspaces",
)


class _TwiceError(ValueError):
    """An object has a name twice, of which a reader of JSON keeps the last."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {printable(name)!r} is written twice in one object")
        self.name = name


def read_node(folder: Folder, remarks: Remarks) -> Iterator[Entry]:
    """Yield what a folder's files declare; what cannot be read is remarked."""
    first = ""
    for path, text in declaring(folder, _PACKAGE_JSON, remarks):
        entries = list(_package_json(path, text, remarks))
        if entries and first:
            message = f"what it declares is installed together with what {first} does: one set for the skill."
            remarks.note(path, entries[0].line, message)
        elif entries:
            first = path
        yield from entries


def _package_json(path: str, text: str, remarks: Remarks) -> Iterator[Entry]:
    manifest = _load(path, text, remarks)
    for table in _REFUSED_TABLES:
        if manifest.get(table):
            line = _line_of(text, f'"{table}"')
            fix = "Declare what the skill itself needs in dependencies, and remove it."
            remarks.error(path, line, f"{table} cannot be honoured.", fix)
    if manifest.get("devDependencies"):
        line = _line_of(text, '"devDependencies"')
        remarks.note(path, line, "devDependencies are for development, and are not installed.")
    for table in _READ_TABLES:
        items = manifest.get(table) or {}
        if not isinstance(items, dict):
            remarks.error(path, _line_of(text, f'"{table}"'), f"{table} is not an object.")
            continue
        for name, wanted in items.items():
            line = _line_of(text, f'"{table}"', json.dumps(name, ensure_ascii=False))
            if not isinstance(wanted, str):
                message = (
                    f"{table}.{printable(name)} must be a text with a range of versions, such as '^4.17.21'."
                )
                remarks.error(path, line, message)
                continue
            spec = "" if wanted in {"", "*", "latest"} else f"@{wanted}"
            yield Entry(f"{name}{spec}", path, line)


def _load(path: str, text: str, remarks: Remarks) -> dict[str, Any]:
    try:
        manifest = json.loads(text, object_pairs_hook=_once)
    except _TwiceError as error:
        name = json.dumps(error.name, ensure_ascii=False)
        remarks.error(path, _line_of(text, name, name), f"{error}; first at line {_line_of(text, name)}.")
        return {}
    except (ValueError, RecursionError) as error:
        remarks.error(path, getattr(error, "lineno", None), f"it is not JSON: {error}.")
        return {}
    if not isinstance(manifest, dict):
        remarks.error(path, 1, "it is not an object.")
        return {}
    return manifest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


def _line_of(text: str, *needles: str) -> int:
    """Return the line of the last text, each looked for behind the one before it."""
    at = -1
    for needle in needles:
        at = max(text.find(needle, at + 1), at)
    return text.count("\n", 0, max(at, 0)) + 1
