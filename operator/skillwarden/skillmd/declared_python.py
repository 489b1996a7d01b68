"""Python packages in the files of a folder: requirement files, ``pyproject.toml``, scripts (PEP 723)."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..domain.errors import RefusalCode
from ..resolve.intake_text import printable
from .entry import Entry, declaring
from .files import Folder
from .problems import Remarks

_REQUIREMENTS = re.compile(
    r"(?:[^/]+/)*(?:(?:(?:dev|test)[-_.])?requirements(?:[-_.][\w.-]+)?|requirements/[^/]+)\.txt",
    re.IGNORECASE,
)
_PYPROJECT = re.compile(r"(?:[^/]+/)*pyproject\.toml")
_COMMENT = re.compile(r"(^|\s+)#.*$")
#: What pip-compile and uv write behind a pin.
_HASH = re.compile(r"(?<=\s)--hash[=\s]\s*[a-z0-9]+:[0-9a-fA-F]+(?=\s|$)")
#: How one requirement file includes another, as pip reads it: by a path from its own folder.
_INCLUDED = re.compile(r"(?:-r\s*|--requirement(?:\s+|\s*=\s*))(?P<name>[^\s=].*)")
_DEVELOPMENT = frozenset({"build", "ci", "dev", "develop", "development", "doc", "docs", "lint", "test"})
_DEVELOPMENT |= {"testing", "tests"}
#: Declarations in formats that are not read.
_UNREAD = re.compile(
    r"Pipfile(?:\.lock)?|environment\.ya?ml|requirements(?:-[\w-]+)?\.in|setup\.(?:cfg|py)"
    r"|(?:uv|poetry)\.lock|bun\.lockb?|npm-shrinkwrap\.json"
)
#: PEP 723: a block of comments that holds TOML.
_INLINE = re.compile(r"(?m)^# /// script[ \t]*\r?$\n(?P<toml>(?:^#(?:| .*)\r?$\n)+?)^# ///[ \t]*\r?$")
#: Of ``[tool.uv]``: each would take packages from elsewhere, or other versions than those declared.
_UV_REFUSED = ("sources", "index", "index-url", "extra-index-url", "find-links", "override-dependencies")
_INSTEAD = "Write PEP 508 requirements into packages of SKILL.md or into requirements.txt."


@dataclass(frozen=True, slots=True)
class _Toml:
    """A file's TOML, or the piece of it that begins at line ``first``."""

    file: str
    text: str
    first: int = 1

    def load(self, what: str, remarks: Remarks) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        # Besides its own error: a number of too many digits, and nesting.
        except (ValueError, RecursionError) as error:
            remarks.error(self.file, self.first, f"{what} is not TOML: {error}.")
            return {}

    def line(self, *texts: str) -> int:
        """Return the line of the first text that is there."""
        at = next((at for text in texts if (at := self.text.find(text)) >= 0), 0)
        return self.text.count("\n", 0, at) + self.first


def read_python(folder: Folder, remarks: Remarks) -> Iterator[Entry]:
    """Yield what a folder's files declare; what cannot be read is remarked."""
    read: dict[str, str] = {}
    for path, text in declaring(folder, _REQUIREMENTS, remarks):
        if _DEVELOPMENT & set(re.split(r"[-_./]", path.lower())):
            remarks.note(path, 1, "what it declares is for development, and is not installed.")
        else:
            read[path] = text
    for path, text in read.items():
        yield from _requirements(path, text, read, remarks)
    for path, text in declaring(folder, _PYPROJECT, remarks):
        yield from _pyproject(_Toml(path, text), remarks)
    for path in folder.named(".py"):
        yield from _inline(path, folder.text(path) or "", remarks)
    for path in folder.files:
        name = path.rpartition("/")[2]
        if _UNREAD.fullmatch(name) and (
            not name.startswith("setup") or "install_requires" in (folder.text(path) or "")
        ):
            remarks.note(path, 1, "it is not read, whatever packages it names.", _INSTEAD)


def _requirements(path: str, text: str, read: Container[str], remarks: Remarks) -> Iterator[Entry]:
    hashed = 0
    for number, line in _logical_lines(text):
        written, hashes = _HASH.subn("", line)
        if included := _INCLUDED.fullmatch(written.strip()):
            _remark_included(path, number, included["name"], read, remarks)
        elif written.strip():
            yield Entry(written.strip(), path, number)
        hashed = hashed or (number if hashes else 0)
    if hashed:
        message = (
            "its hashes are not used: the lock of the skill holds the hash of each artefact that is judged."
        )
        remarks.note(path, hashed, message)


def _remark_included(path: str, line: int, name: str, read: Container[str], remarks: Remarks) -> None:
    """Remark a requirement file that another one includes; ``read``: those that are read anyway."""
    shown = printable(name)
    if posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) in read:
        remarks.note(path, line, f"{shown} is read by itself.")
        return
    text = f"it includes {shown}, which is not among the requirement files of the folder that are read."
    fix = "Write its entries here, or add it as a requirements-NAME.txt and include that."
    remarks.error(path, line, text, fix, code=RefusalCode.OPTION_LINE)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines as pip takes them, numbered: continued behind a backslash, but for comments."""
    first = 0
    pieces: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        plain = _COMMENT.sub("", line)
        first = first if pieces else number
        pieces.append(plain.removesuffix("\\"))
        if not (plain == line and line.endswith("\\")):
            yield first, "".join(pieces)
            pieces = []


def _inline(path: str, text: str, remarks: Remarks) -> Iterator[Entry]:
    for match in _INLINE.finditer(text):
        lines = match["toml"].splitlines()
        plain = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
        source = _Toml(path, plain, text.count("\n", 0, match.start("toml")) + 1)
        metadata = source.load("its inline metadata (PEP 723)", remarks)
        yield from _list(metadata.get("dependencies"), "dependencies", source, remarks)
        _refuse_uv(_table(metadata, "tool", source, remarks), source, remarks)


def _pyproject(source: _Toml, remarks: Remarks) -> Iterator[Entry]:
    metadata = source.load("it", remarks)
    project = _table(metadata, "project", source, remarks)
    yield from _list(project.get("dependencies"), "project.dependencies", source, remarks)
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        text = "its dependencies are made when it is built (dynamic), and are not read from it."
        remarks.note(source.file, source.line("dynamic"), text, _INSTEAD)
    for name in ("optional-dependencies", "dependency-groups"):
        groups = _table(project if name.startswith("optional") else metadata, name, source, remarks)
        for group in groups:
            line = source.line(f"{group} =", f"{group}=", name)
            fix = "If the skill needs them, write them into packages of SKILL.md."
            remarks.note(source.file, line, f"{name}.{group} is optional, and is not installed.", fix)
    tool = _table(metadata, "tool", source, remarks)
    _refuse_uv(tool, source, remarks)
    poetry = _table(tool, "poetry", source, remarks)
    if set(_table(poetry, "dependencies", source, remarks)) - {"python"}:
        line = source.line("[tool.poetry.dependencies]", "poetry")
        remarks.error(source.file, line, "tool.poetry.dependencies cannot be read.", _INSTEAD)


def _refuse_uv(tool: Mapping[str, Any], source: _Toml, remarks: Remarks) -> None:
    settings = _table(tool, "uv", source, remarks)
    for name in _UV_REFUSED:
        if settings.get(name):
            text = f"tool.uv.{name} cannot be honoured: packages are of the configured index."
            line = source.line(f"[tool.uv.{name}]", f"[[tool.uv.{name}]]", name)
            remarks.error(source.file, line, text, "Remove it.")


def _table(parent: Mapping[str, Any], name: str, source: _Toml, remarks: Remarks) -> Mapping[str, Any]:
    value = parent.get(name, {})
    if isinstance(value, dict):
        return value
    remarks.error(source.file, source.line(name), f"{name} is not a table.")
    return {}


def _list(value: Any, name: str, source: _Toml, remarks: Remarks) -> Iterator[Entry]:
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
