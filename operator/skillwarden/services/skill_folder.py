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


def read_skill_folder(folder: Path) -> dict[str, Any]:
    """Return the Skill manifest that a folder amounts to.

    Raises
    ------
    InvalidInputError
        Where SKILL.md is missing or invalid, naming the field, or the folder is too large.
    """
    fields = read_frontmatter(folder / SKILL_FILE)
    files = _files(folder)
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
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}.") from error
    match = _FRONTMATTER.match(text)
    if match is None:
        raise InvalidInputError(
            f"{path} does not begin with YAML frontmatter.",
            fix="Put name and description between two lines of '---' at its top.",
        )
    try:
        fields = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise InvalidInputError(f"the frontmatter of {path} is not YAML: {error}.") from error
    if not isinstance(fields, dict):
        raise InvalidInputError(f"the frontmatter of {path} is not a mapping.")
    _check(fields, path)
    return fields


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
    lines = (
        re.sub(r"(^|\s)#.*$", "", line).strip() for line in path.read_text(encoding="utf-8").splitlines()
    )
    return [line for line in lines if line]


def _files(folder: Path) -> list[dict[str, str]]:
    files: list[dict[str, str]] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if _SKIPPED & set(relative.parts) or path.is_dir():
            continue
        if path.is_symlink() or not path.is_file():
            raise InvalidInputError(
                f"{relative} is not a regular file.", fix="Replace links by what they point to."
            )
        data = path.read_bytes()
        size += len(data)
        if size > MAX_SOURCE_BYTES or len(files) >= MAX_SOURCE_FILES:
            raise InvalidInputError(
                f"{folder} holds more than {MAX_SOURCE_FILES} files or {MAX_SOURCE_BYTES} bytes.",
                fix="Move data out of the skill.",
            )
        files.append({"path": relative.as_posix(), "contentBase64": base64.b64encode(data).decode("ascii")})
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
