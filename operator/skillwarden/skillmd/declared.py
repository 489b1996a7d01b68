"""The packages that a skill's folder declares, wherever its author wrote them down.

Frontmatter (``packages``, ``node_packages``), ``requirements.txt``, ``package.json`` and the inline metadata
of scripts (PEP 723) are declarations. Intake judges each entry; here they get their file and line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..domain.errors import Refusal
from ..domain.package import DeclaredPackage
from ..domain.skill import NodeManager
from ..resolve.intake import parse_python
from ..resolve.intake_npm import parse_node
from ..resolve.intake_text import printable
from .files import Folder
from .frontmatter import Frontmatter
from .needs import Offer
from .plain_yaml import Place
from .problems import Remarks

REQUIREMENTS = "requirements.txt"
PACKAGE_JSON = "package.json"
#: PEP 723: a block of comments that holds TOML.
_INLINE = re.compile(r"(?m)^# /// script[ \t]*\r?$\n(?P<toml>(?:^#(?:| .*)\r?$\n)+?)^# ///[ \t]*\r?$")
_LOCKFILES = {
    "yarn.lock": NodeManager.YARN,
    "pnpm-lock.yaml": NodeManager.PNPM,
    "package-lock.json": NodeManager.NPM,
}
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One declared package, as written."""

    text: str
    file: str
    line: int


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
    declared.python += _requirements(folder, remarks)
    for path in folder.named(".py"):
        declared.python += _inline(path, folder.text(path) or "", remarks)
    declared.node += _package_json(folder, remarks)
    _choose_manager(front, folder, declared, remarks)
    return declared


def add_offer(declared: Declared, offer: Offer, file: str) -> None:
    """Declare the package that brings a command."""
    entries = declared.python if offer.ecosystem == "python" else declared.node
    entries.append(Entry(offer.package, file, offer.line))


def check_entries(declared: Declared, remarks: Remarks) -> tuple[DeclaredPackage, ...]:
    """Return what intake takes of the entries; each that it refuses is an error with file and line."""
    python = parse_python(declared.texts("python"))
    node = parse_node(declared.texts("node"))
    _remark_refusals(python.refusals, declared.python, declared.texts("python"), remarks)
    _remark_refusals(node.refusals, declared.node, declared.texts("node"), remarks)
    return (*python.declared, *node.declared)


def _remark_refusals(
    refusals: tuple[Refusal, ...], entries: list[Entry], texts: list[str], remarks: Remarks
) -> None:
    for refusal in refusals:
        index = int(re.search(r"\[(\d+)\]", refusal.field)[1])  # type: ignore[index]  # intake writes it
        entry = next(entry for entry in entries if entry.text == texts[index])
        remarks.error(entry.file, entry.line, refusal.message, refusal.fix, code=refusal.code)


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


def _requirements(folder: Folder, remarks: Remarks) -> Iterator[Entry]:
    text = folder.text(REQUIREMENTS)
    if text is None:
        if REQUIREMENTS in folder.files:
            remarks.error(REQUIREMENTS, None, "it is not UTF-8 text.")
        return
    for number, line in enumerate(text.splitlines(), start=1):
        # Comments as pip takes them.
        if written := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield Entry(written, REQUIREMENTS, number)


def _inline(path: str, text: str, remarks: Remarks) -> Iterator[Entry]:
    for match in _INLINE.finditer(text):
        first = text.count("\n", 0, match.start("toml")) + 1
        lines = match["toml"].splitlines()
        plain = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
        metadata = _toml(plain, path, first, "its inline metadata (PEP 723)", remarks)
        yield from _toml_list(
            metadata.get("dependencies"), "dependencies", Source(path, tuple(lines), first), remarks
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A file's lines, or those of a piece of it that begins at line ``first``."""

    file: str
    lines: tuple[str, ...]
    first: int = 1

    def line(self, *texts: str) -> int:
        """Return the line of the first text that is there."""
        for text in texts:
            for number, line in enumerate(self.lines, start=self.first):
                if text in line:
                    return number
        return self.first


def _toml(text: str, file: str, first: int, what: str, remarks: Remarks) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    # Besides its own error: a number of too many digits, and nesting.
    except (ValueError, RecursionError) as error:
        remarks.error(file, first, f"{what} is not TOML: {error}.")
        return {}


def _toml_list(value: Any, name: str, source: Source, remarks: Remarks) -> Iterator[Entry]:
    if value is None:
        return
    line = source.line(name.rpartition(".")[2])
    if not isinstance(value, list):
        remarks.error(source.file, line, f"{name} must be a list of requirements, such as ['pandas>=2.2'].")
        return
    for index, item in enumerate(value):
        if isinstance(item, str):
            yield Entry(item, source.file, source.line(f'"{item}"', f"'{item}'", name.rpartition(".")[2]))
        else:
            remarks.error(source.file, line, f"{name}[{index}] is not a text.", "Put it in quotes.")


def _package_json(folder: Folder, remarks: Remarks) -> Iterator[Entry]:
    text = folder.text(PACKAGE_JSON)
    if text is None:
        if PACKAGE_JSON in folder.files:
            remarks.error(PACKAGE_JSON, None, "it is not UTF-8 text.")
        return
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        remarks.error(PACKAGE_JSON, getattr(error, "lineno", None), f"it is not JSON: {error}.")
        return
    if not isinstance(manifest, dict):
        remarks.error(PACKAGE_JSON, 1, "it is not an object.")
        return
    for table in _REFUSED_TABLES:
        if manifest.get(table):
            line = _line_of(text, f'"{table}"')
            fix = "Declare what the skill itself needs in dependencies, and remove it."
            remarks.error(PACKAGE_JSON, line, f"{table} cannot be honoured.", fix)
    if manifest.get("devDependencies"):
        line = _line_of(text, '"devDependencies"')
        remarks.note(PACKAGE_JSON, line, "devDependencies are for development, and are not installed.")
    for table in _READ_TABLES:
        items = manifest.get(table) or {}
        if not isinstance(items, dict):
            remarks.error(PACKAGE_JSON, _line_of(text, f'"{table}"'), f"{table} is not an object.")
            continue
        for name, wanted in items.items():
            line = _line_of(text, f'"{table}"', json.dumps(name, ensure_ascii=False))
            if not isinstance(wanted, str):
                message = (
                    f"{table}.{printable(name)} must be a text with a range of versions, such as '^4.17.21'."
                )
                remarks.error(PACKAGE_JSON, line, message)
                continue
            spec = "" if wanted in {"", "*", "latest"} else f"@{wanted}"
            yield Entry(f"{name}{spec}", PACKAGE_JSON, line)


def _line_of(text: str, *needles: str) -> int:
    """Return the line of the last text, looked for behind the ones before it."""
    at = 0
    for needle in needles:
        at = max(text.find(needle, at), at)
    return text.count("\n", 0, at) + 1


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
