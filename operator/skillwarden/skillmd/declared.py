"""The packages that a skill's folder declares, wherever its author wrote them down.

Frontmatter (``packages``, ``node_packages``), requirement files, ``pyproject.toml``, ``package.json`` and the
inline metadata of scripts (PEP 723) are declarations. Intake judges each entry; here they get their file and
line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..domain.errors import Refusal
from ..domain.package import DeclaredPackage
from ..domain.skill import NodeManager
from ..resolve.intake import parse_python
from ..resolve.intake_npm import parse_node
from ..resolve.intake_text import printable
from .declared_node import read_node
from .declared_python import read_python
from .entry import Entry
from .files import Folder
from .frontmatter import Frontmatter
from .needs import Offer
from .plain_yaml import Place
from .problems import Remarks

_LOCKFILES = {
    "yarn.lock": NodeManager.YARN,
    "pnpm-lock.yaml": NodeManager.PNPM,
    "package-lock.json": NodeManager.NPM,
}


@dataclass(slots=True)
class Declared:
    """What a folder declares.

    Attributes
    ----------
    python, node
        Entries in the order found.
    manager
        Whose lockfile counts; ``None`` where nothing says so.
    """

    python: list[Entry] = field(default_factory=list)
    node: list[Entry] = field(default_factory=list)
    manager: NodeManager | None = None

    def texts(self, language: str) -> list[str]:
        """Return the entries of a language, each once."""
        entries = self.python if language == "python" else self.node
        return list(dict.fromkeys(entry.text for entry in entries))


def read_declared(front: Frontmatter, folder: Folder, remarks: Remarks) -> Declared:
    """Return what a folder declares; what cannot be read is remarked."""
    declared = Declared()
    _from_frontmatter(front, declared, remarks)
    declared.python += read_python(folder, remarks)
    declared.node += read_node(folder, remarks)
    _choose_manager(front, folder, declared, remarks)
    return declared


def add_offer(declared: Declared, offer: Offer, file: str) -> None:
    """Declare the package that brings a command."""
    entries = declared.python if offer.ecosystem == "python" else declared.node
    entry = Entry(offer.package, file, offer.line)
    if entry not in entries:
        entries.append(entry)


def check_entries(declared: Declared, remarks: Remarks) -> tuple[DeclaredPackage, ...]:
    """Return what intake takes of the entries; each that it refuses is an error with file and line.

    Python packages that several places declare become one entry, with the range and the extras of all.
    """
    declared.python = _merged(declared.python, remarks)
    python = parse_python(declared.texts("python"))
    node = parse_node(declared.texts("node"))
    _remark_refusals(python.refusals, declared.python, declared.texts("python"), remarks)
    _remark_refusals(node.refusals, declared.node, declared.texts("node"), remarks)
    return (*python.declared, *node.declared)


def _merged(entries: list[Entry], remarks: Remarks) -> list[Entry]:
    merged: dict[str, Entry] = {}
    for entry in entries:
        package = _package(entry)
        # What intake refuses stands for itself, and is refused as written.
        key = package.name if package else f"as written: {entry.text}"
        first = merged.setdefault(key, entry)
        before = _package(first)
        if first is entry or package is None or before is None:
            continue
        both = Entry(_both(before, package).requirement, entry.file, entry.line)
        if refusals := parse_python([both.text]).refusals:
            message = (
                f"{printable(entry.text)} does not go together with {printable(first.text)}"
                f" ({first.file}:{first.line}): {_without_field(refusals[0])}"
            )
            remarks.error(entry.file, entry.line, message, refusals[0].fix, code=refusals[0].code)
        elif both.text != before.requirement:
            merged[key] = both
    return list(merged.values())


def _package(entry: Entry) -> DeclaredPackage | None:
    return next(iter(parse_python([entry.text]).declared), None)


def _both(one: DeclaredPackage, other: DeclaredPackage) -> DeclaredPackage:
    parts = {part for item in (one, other) for part in item.specifier.split(",") if part}
    extras = tuple(sorted({*one.extras, *other.extras}))
    return replace(one, extras=extras, specifier=",".join(sorted(parts)))


def _remark_refusals(
    refusals: tuple[Refusal, ...], entries: list[Entry], texts: list[str], remarks: Remarks
) -> None:
    for refusal in refusals:
        index = int(re.search(r"\[(\d+)\]", refusal.field)[1])  # type: ignore[index]  # intake writes it
        entry = next(entry for entry in entries if entry.text == texts[index])
        remarks.error(entry.file, entry.line, _without_field(refusal), refusal.fix, code=refusal.code)


def _without_field(refusal: Refusal) -> str:
    """Return a refusal's message without its place in a manifest, which the author of a file never saw."""
    return refusal.message.removeprefix(f"{refusal.field} ")


def _from_frontmatter(front: Frontmatter, declared: Declared, remarks: Remarks) -> None:
    packages = front.fields.get("packages")
    if isinstance(packages, Mapping):
        for language, item in packages.items():
            match language:
                case "python":
                    declared.python += _list(front, item, ("packages", "python"), remarks)
                case "node" | "npm":
                    declared.node += _list(front, item, ("packages", str(language)), remarks)
                case _:
                    text = f"packages.{language} cannot be honoured: the languages are python and node."
                    remarks.error(front.file, front.line("packages", str(language)), text)
    else:
        declared.python += _list(front, packages, ("packages",), remarks)
    declared.node += _list(front, front.fields.get("node_packages"), ("node_packages",), remarks)


def _list(front: Frontmatter, value: Any, place: Place, remarks: Remarks) -> list[Entry]:
    if value is None:
        return []
    name = ".".join(str(part) for part in place)
    if not isinstance(value, list):
        remarks.error(
            front.file, front.line(*place), f"{name} must be a list of requirements, such as ['pandas>=2.2']."
        )
        return []
    found = []
    for index, item in enumerate(value):
        line = front.line(*place, index)
        if isinstance(item, str):
            found.append(Entry(item, front.file, line))
        else:
            remarks.error(front.file, line, f"{name}[{index}] is not a text.", "Put it in quotes.")
    return found


def _choose_manager(front: Frontmatter, folder: Folder, declared: Declared, remarks: Remarks) -> None:
    written = front.fields.get("package_manager")
    if written is not None:
        known = {manager.value: manager for manager in NodeManager}
        if isinstance(written, str) and written in known:
            declared.manager = known[written]
        elif written not in ("pip", "uv"):
            text = f"package_manager {written!r:.40} is not one of {', '.join(known)}."
            remarks.error(front.file, front.line("package_manager"), text)
        return
    there = [name for name in _LOCKFILES if name in folder.files]
    if len(there) > 1:
        text = f"the folder has the lockfiles of several package managers: {', '.join(there)}."
        remarks.error(there[0], None, text, "Remove all but one, or write package_manager.")
    elif there:
        declared.manager = _LOCKFILES[there[0]]
    for path in folder.files:
        if declared.node and "/" in path and path.rpartition("/")[2] in _LOCKFILES:
            remarks.note(path, 1, "it is not read: a lockfile counts at the top of a skill.")
