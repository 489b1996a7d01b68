"""A skill's folder on disk, from a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skillwarden.skillmd.manifest import Choices, import_folder
from skillwarden.skillmd.problems import FolderError

GOOD = "name: csv-stats\ndescription: Statistics of a CSV file\n"


def make_folder(
    root: Path, front: str = "", files: dict[str, str | bytes] | None = None, *, body: str = "# How to\n"
) -> Path:
    """Return a folder called csv-stats with a SKILL.md of a good name and description, and ``front``."""
    folder = root / "csv-stats"
    for name, text in {"SKILL.md": f"---\n{GOOD}{front}---\n{body}", **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def spec_of(folder: Path, **choices: Any) -> dict[str, Any]:
    """Return the spec that a folder becomes."""
    spec = import_folder(folder, Choices(**choices)).manifest["spec"]
    assert isinstance(spec, dict)
    return spec


def said(folder: Path, **choices: Any) -> list[str]:
    """Return every remark about a folder as a line, whether it becomes a Skill or not."""
    try:
        return [str(item) for item in import_folder(folder, Choices(**choices)).remarks]
    except FolderError as error:
        return [str(item) for item in error.remarks]


def refused(folder: Path, **choices: Any) -> list[str]:
    """Return the errors about a folder; it must have some."""
    try:
        import_folder(folder, Choices(**choices))
    except FolderError as error:
        return [str(item) for item in error.remarks if item.level == "error"]
    raise AssertionError("the folder became a Skill")
