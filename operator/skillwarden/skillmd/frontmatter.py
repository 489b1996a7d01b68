"""The frontmatter of a SKILL.md: what the Agent Skills format asks for, checked by its reference library.

The reference parser reads a strict subset of YAML. Much of what is published is outside of it (OpenClaw's
``metadata`` is JSON on one line), so the text is read as plain YAML, and only the rules of the fields are the
reference library's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skills_ref.validator import ALLOWED_FIELDS, validate_metadata

from .plain_yaml import Document, YamlTextError, load_document
from .problems import Remarks

SKILL_FILE = "SKILL.md"
#: The reference library takes the lower-case spelling, too.
SKILL_FILES = (SKILL_FILE, "skill.md")
#: Far above what any author writes by hand.
MAX_FRONTMATTER_BYTES = 64 * 1024
_FRONTMATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
#: A Kubernetes object cannot have them, though the format's letters may be any script's.
_OBJECT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

#: Fields of the reference system and of clients that say something about the skill and change nothing of what
#: runs: they stay in SKILL.md, which is part of the source.
INFORMATION = frozenset(
    {
        *("license", "compatibility", "category", "categories", "tags", "author", "authors", "version"),
        *("homepage", "repository", "title", "created", "updated", "user-invocable", "argument-hint"),
        *("disable-model-invocation", "when_to_use", "keywords", "emoji", "icon", "model"),
    }
)
#: Fields that are read elsewhere in this package.
READ = frozenset(
    {
        *("name", "description", "metadata", "allowed-tools", "packages", "node_packages"),
        *("package_manager", "type", "language"),
    }
)
#: Fields that would change what runs or is needed, and are read nowhere: refused by name.
_REFUSED: Mapping[str, tuple[str, str]] = {
    "hooks": ("runs commands around the skill; a sandbox has no such thing.", ""),
    "command-dispatch": ("hands commands to an agent's tool; a sandbox has none.", ""),
    "command-tool": ("names an agent's tool; a sandbox has none.", ""),
    "mcp": ("starts servers beside the skill; a sandbox runs the skill alone.", ""),
    "mcpServers": ("starts servers beside the skill; a sandbox runs the skill alone.", ""),
    **dict.fromkeys(
        ("dependencies", "requirements", "python_packages", "pip", "npm_packages", "requires", "install"),
        (
            "is not read as packages: clients mean different things by it.",
            "Write packages (PEP 508) or node_packages (name@range)",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Frontmatter:
    """What stands between the two lines of dashes.

    Attributes
    ----------
    file
        Its file's name below the folder.
    fields
        By name.
    document
        The same with lines.
    """

    file: str
    fields: Mapping[str, Any]
    document: Document

    def line(self, *place: str | int) -> int:
        """Return the line of an entry."""
        return self.document.line(place)


def read_frontmatter(
    folder: Path, text: str, file: str, remarks: Remarks, *, without: frozenset[str] = frozenset()
) -> Frontmatter | None:
    """Return a SKILL.md's frontmatter, or ``None`` where it cannot be read; what is wrong is remarked.

    Parameters
    ----------
    folder
        The skill's, for its name.
    text, file
        The whole SKILL.md, and its name.
    without
        Fields that the user has decided to leave out.
    """
    match = _FRONTMATTER.match(text)
    if match is None:
        remarks.error(
            file,
            1,
            "it does not begin with YAML frontmatter.",
            "Put name and description between two lines of '---' at its top.",
        )
        return None
    if len(match[1].encode()) > MAX_FRONTMATTER_BYTES:
        remarks.error(file, 1, f"its frontmatter is larger than {MAX_FRONTMATTER_BYTES} bytes.")
        return None
    try:
        document = load_document(match[1], first_line=2)
    except YamlTextError as error:
        fix = "A text with ': ' or '#' in it needs quotes." if "mapping values" in error.message else ""
        remarks.error(file, error.line, f"the frontmatter cannot be read: {error.message}", fix)
        return None
    if not isinstance(document.value, dict):
        remarks.error(file, 2, "the frontmatter is not a mapping of fields.")
        return None
    fields = {str(name): value for name, value in document.value.items()}
    front = Frontmatter(file, fields, document)
    _check(front, folder, remarks)
    _check_known(front, remarks, without)
    return front


def _check(front: Frontmatter, folder: Path, remarks: Remarks) -> None:
    """Remark what breaks the format's rules, and what is not known."""
    texts = {
        name: value for name, value in front.fields.items() if name in ALLOWED_FIELDS and value is not None
    }
    for name in ("name", "description"):
        if name in texts and not isinstance(texts[name], str):
            remarks.error(front.file, front.line(name), f"{name} is not a text.", "Put it in quotes.")
            texts.pop(name)
        elif name not in texts:
            remarks.error(front.file, 1, f"the frontmatter has no {name}.", f"Add the field {name}.")
    texts.setdefault("name", "x")
    texts.setdefault("description", "x")
    for message in validate_metadata(texts):
        name = next((field for field in ("description", "compatibility") if field in message.lower()), "name")
        remarks.error(front.file, front.line(name), f"{message.rstrip('.')}.")
    name = texts["name"].strip()
    if not remarks.errors and not _OBJECT_NAME.fullmatch(name):
        remarks.error(
            front.file,
            front.line("name"),
            f"name {name!r} cannot be an object's name in Kubernetes.",
            "Use a-z, 0-9 and single hyphens.",
        )
    if folder.resolve().name != name and "name" in front.fields:
        remarks.note(
            front.file,
            front.line("name"),
            f"the folder is called {folder.resolve().name}, and the skill {name}: the Agent Skills format"
            " wants one name for both.",
        )


def _check_known(front: Frontmatter, remarks: Remarks, without: frozenset[str]) -> None:
    for name in front.fields:
        if name in READ or name in INFORMATION or name in without:
            continue
        if name in _REFUSED:
            why, fix = _REFUSED[name]
            fix = f"{fix or f'Remove {name}'}, or leave it out with --without {name}."
            remarks.error(front.file, front.line(name), f"{name} {why}", fix)
        else:
            remarks.note(
                front.file, front.line(name), f"the field {name} is not known here; nothing acts on it."
            )
