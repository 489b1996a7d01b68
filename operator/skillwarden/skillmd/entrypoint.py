"""Which of a folder's scripts is the one to start, and in which language it is."""

from __future__ import annotations

import json

from ..domain.skill import Language
from .files import Folder

_ENDINGS = {Language.PYTHON: (".py",), Language.NODE: (".js", ".mjs", ".cjs")}
_MAIN = {Language.PYTHON: ("main", "run", "__main__"), Language.NODE: ("main", "index", "run")}
_INTERPRETER = {Language.PYTHON: "python", Language.NODE: "node"}
_FOLDERS = ("", "scripts/", "src/")


def language_of(folder: Folder) -> Language | None:
    """Return the language of the script that would start, else of most scripts; ``None``: there are none."""
    for language in Language:
        if _main(folder, language):
            return language
    counts = {language: len(list(folder.named(*_ENDINGS[language]))) for language in Language}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] else None


def find(folder: Folder, language: Language) -> list[str] | None:
    """Return the command of a main script, or of the only one; ``None``: no script is the one to start."""
    path = _main(folder, language) or _only(folder, language)
    return [_INTERPRETER[language], path] if path else None


def nothing_to_run(language: Language, file: str) -> list[str]:
    """Return the command of a skill that is instructions for an agent: it says so, and nothing fails."""
    text = f"This skill has no entry point; see {file}."
    return (
        ["node", "-e", f"console.log('{text}')"]
        if language is Language.NODE
        else ["python", "-c", f"print('{text}')"]
    )


def _main(folder: Folder, language: Language) -> str | None:
    if language is Language.NODE and (named := _package_main(folder)):
        return named
    for name in _MAIN[language]:
        for base in _FOLDERS:
            for ending in _ENDINGS[language]:
                if f"{base}{name}{ending}" in folder.files:
                    return f"{base}{name}{ending}"
    return None


def _package_main(folder: Folder) -> str | None:
    """Return what package.json calls main, if it is a file here."""
    try:
        manifest = json.loads(folder.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return None
    named = manifest.get("main") if isinstance(manifest, dict) else None
    path = named.removeprefix("./") if isinstance(named, str) else ""
    return path if path in folder.files else None


def _only(folder: Folder, language: Language) -> str | None:
    scripts = [
        path for path in folder.named(*_ENDINGS[language]) if path.rpartition("/")[0] in {"", "scripts"}
    ]
    scripts = [path for path in scripts if not path.endswith("__init__.py")]
    return scripts[0] if len(scripts) == 1 else None
