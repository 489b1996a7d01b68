"""A folder with a SKILL.md (the Agent Skills format) as a Skill manifest.

Frontmatter that is read: ``name``, ``description``, ``packages`` (PEP 508), ``version`` and ``license`` as
text. A ``requirements.txt`` beside it adds its lines; an option line in it is refused at intake like any
other. What asks for something that is not supported yet is refused, not dropped.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import yaml

from ..api.v1alpha1 import API_VERSION
from ..domain.content import MAX_SOURCE_BYTES, MAX_SOURCE_FILES
from ..domain.errors import InvalidInputError

SKILL_FILE = "SKILL.md"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FRONTMATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
#: Fields that would change what runs; each is refused until it is enforced.
_UNSUPPORTED = {
    "node_packages": "Node packages are not supported yet.",
    "package_manager": "Only Python packages are supported yet.",
}
_SKIPPED = {".git", "__pycache__", ".venv", "node_modules", ".DS_Store"}
_ENTRYPOINTS = ("main.py", "scripts/main.py", "run.py", "scripts/run.py")


class PlainLoader(yaml.SafeLoader):
    """A safe loader that takes no aliases: a few of them can make gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, unless it is an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken; write the value out")
        return super().compose_node(parent, index)


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
        raise InvalidInputError(f"it is not YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise InvalidInputError("it is nested too deep.") from error


def read_skill_folder(folder: Path) -> dict[str, Any]:
    """Return the Skill manifest that a folder amounts to.

    Raises
    ------
    InvalidInputError
        Where SKILL.md is missing or invalid, naming the field, or the folder is too large.
    """
    # The files first: a link must not be read, whatever it is called.
    files = _files(folder)
    fields = read_frontmatter(folder / SKILL_FILE)
    requirements = [*_packages(fields), *_requirements(folder)]
    return {
        "apiVersion": API_VERSION,
        "kind": "Skill",
        "metadata": {"name": fields["name"]},
        "spec": {
            "description": fields["description"],
            "source": {"files": files},
            "packages": {"python": list(dict.fromkeys(requirements))},
            "entrypoint": {"command": _command(folder)},
        },
    }


def read_frontmatter(path: Path) -> dict[str, Any]:
    """Return the checked frontmatter of a SKILL.md.

    Raises
    ------
    InvalidInputError
        Where it is missing, not YAML, or a field breaks the format's rules.
    """
    text = _text(path)
    match = _FRONTMATTER.match(text)
    if match is None:
        raise InvalidInputError(
            f"{path} does not begin with YAML frontmatter.",
            fix="Put name and description between two lines of '---' at its top.",
        )
    try:
        fields = next(iter(load_yaml(match[1])), None)
    except InvalidInputError as error:
        raise InvalidInputError(f"the frontmatter of {path} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidInputError(f"the frontmatter of {path} is not a mapping.")
    _check(fields, path)
    return fields


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SOURCE_BYTES:
            raise InvalidInputError(f"{path} is larger than {MAX_SOURCE_BYTES} bytes.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}.") from error


def _check(fields: dict[str, Any], path: Path) -> None:
    name, description = fields.get("name"), fields.get("description")
    if not isinstance(name, str) or len(name) > 64 or not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{path}: name {name!r} is not 1 to 64 of a-z, 0-9 and single hyphens.",
            fix="Rename the skill, e.g. csv-stats.",
        )
    if not isinstance(description, str) or not 1 <= len(description.strip()) <= 1024:
        raise InvalidInputError(f"{path}: description must be a text of 1 to 1,024 characters.")
    for field, why in _UNSUPPORTED.items():
        if fields.get(field):
            raise InvalidInputError(f"{path}: {field} cannot be honoured. {why}", fix="Remove the field.")


def _packages(fields: dict[str, Any]) -> list[str]:
    packages = fields.get("packages") or []
    if isinstance(packages, dict):
        unknown = sorted(set(packages) - {"python"})
        if unknown:
            raise InvalidInputError(
                f"packages.{unknown[0]} cannot be honoured: only python is supported yet."
            )
        packages = packages.get("python") or []
    if not isinstance(packages, list) or not all(isinstance(item, str) for item in packages):
        raise InvalidInputError("packages must be a list of requirements, such as ['pandas>=2.2'].")
    return packages


def _requirements(folder: Path) -> list[str]:
    path = folder / "requirements.txt"
    if not path.is_file():
        return []
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in _text(path).splitlines())
    return [line for line in lines if line]


def _files(folder: Path) -> list[dict[str, str]]:
    files: list[dict[str, str]] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if _SKIPPED & set(relative.parts):
            continue
        # A link to a folder is a folder, too: it must not be passed over as one.
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidInputError(
                f"{relative} is not a regular file.", fix="Replace links by what they point to."
            )
        if path.is_dir():
            continue
        size += path.stat().st_size
        if size > MAX_SOURCE_BYTES or len(files) >= MAX_SOURCE_FILES:
            raise InvalidInputError(
                f"{folder} holds more than {MAX_SOURCE_FILES} files or {MAX_SOURCE_BYTES} bytes.",
                fix="Move data out of the skill.",
            )
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        files.append({"path": relative.as_posix(), "contentBase64": data})
    return files


def _command(folder: Path) -> list[str]:
    """Return how the skill starts: a main script, the only script, or nothing that runs by itself."""
    for candidate in _ENTRYPOINTS:
        if (folder / candidate).is_file():
            return ["python", candidate]
    scripts = sorted((folder / "scripts").glob("*.py"))
    if len(scripts) == 1:
        return ["python", scripts[0].relative_to(folder).as_posix()]
    # Instructions for an agent, with no program of its own: there is nothing to start, and nothing fails.
    return ["python", "-c", "print('This skill has no entry point; see SKILL.md.')"]
