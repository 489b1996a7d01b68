"""What a skill's entrypoint runs: code in the command itself, and files as the language they are run as."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from skillwarden.domain.skill import Invocation, SourceFile

from . import python_code
from .commands import Place, Run, runs_of_words

#: What a finding in the command itself names instead of a file.
PLACE = "entrypoint.command"
VARIABLE = "sandbox.env[{}]"
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
#: In a text that is no shell's and may be JavaScript.
_JAVASCRIPT = re.compile(r"\b(?:require|import|eval|fetch|Function)\s*\(|\bprocess\.")
#: Where the files are in the sandbox, without the first slash, and where packages are: scanners see to those.
_FOLDER = "skill/src"
_PACKAGES = ("/skill/env/", "/skill/node_modules/")
#: Interpreters of languages that nothing here reads; images have some of them.
_FOREIGN = re.compile(r"(?:awk|gawk|mawk|lua|perl|php|ruby|tclsh)[0-9.]*")
#: An interpreter in a shell's text that is given no file: it runs what it is fed.
_FED = re.compile(
    r"\b(?:ba|da|k|z)?sh\b\s*-?s?\s*(?:[;|&<)\n]|$)|\b(?:python[0-9.]*|node)\s*-?\s*(?:[;|&<)\n]|$)"
)
_WORDS = re.compile(r"[\s;<>|&()\"'`]+")


def started(
    files: Sequence[SourceFile], invocation: Invocation
) -> tuple[list[tuple[SourceFile, str]], list[str]]:
    """Return what a command runs, with the language that each is run as, and what nobody can look into.

    Parameters
    ----------
    files
        The skill's.
    invocation
        What stands in the command as code is a file at ``PLACE``, and each variable one at ``VARIABLE``.
    """
    pieces = [
        piece
        for name, value in invocation.env
        for piece in _as(SourceFile(VARIABLE.format(name), value.encode("utf-8", "replace")), "")
    ]
    unseen: list[str] = []
    # As it is, and as a shell among its words makes it.
    for command in dict.fromkeys((invocation.command, _with_variables(invocation))):
        more, unread = _started(files, command)
        pieces += more
        unseen += unread
    return list(dict.fromkeys(pieces)), unseen


def _with_variables(invocation: Invocation) -> tuple[str, ...]:
    values = dict(invocation.env)
    return tuple(
        _VARIABLE.sub(lambda match: values.get(match[1] or match[2], match[0]), word)
        for word in invocation.command
    )


def _started(
    files: Sequence[SourceFile], command: Sequence[str]
) -> tuple[list[tuple[SourceFile, str]], list[str]]:
    if not command:
        return [], []
    known = {f"{_FOLDER}/{file.path}": file for file in files}
    scripts, main = _package(known.get(f"{_FOLDER}/package.json"))
    runs = runs_of_words(command, Place(f"/{_FOLDER}", known, scripts, main))
    pieces: list[tuple[SourceFile, str]] = []
    unseen = [
        f"is run by {word}, whose code nobody looks into"
        for word in command
        if _FOREIGN.fullmatch(posixpath.basename(word))
    ]
    for position, run in enumerate(runs):
        if not run.path:
            pieces.append((SourceFile(PLACE, run.code.encode("utf-8", "replace")), run.language))
            if (
                position and run.language == "shell"
            ):  # the first is the command as a whole, which no shell reads
                pieces += _fed(run.code, files)
            continue
        found = [known[run.path]] if run.path in known else _namesakes(run, files)
        pieces += (piece for file in found for piece in _as(file, run.language))
        if not found and run.path.startswith("/") and not run.path.startswith(_PACKAGES):
            unseen.append(f"runs {run.path}, which is not among the skill's files, so nobody looked into it")
    return pieces, unseen


def _namesakes(run: Run, files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the files of a name: the command may go to another folder first."""
    name = posixpath.basename(run.path)
    return [file for file in files if name and posixpath.basename(file.path) == name]


def _fed(text: str, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, str]]:
    if _FED.search(text):
        names = {posixpath.basename(word) for word in _WORDS.split(text)}
        for file in files:
            if posixpath.basename(file.path) in names:
                yield from _as(file, "")


def _as(file: SourceFile, language: str) -> Iterator[tuple[SourceFile, str]]:
    """Yield a file as what it is run as; where nothing says what that is, as whatever it can be."""
    if language:
        yield file, language
        return
    text = file.content.decode("utf-8", "replace")
    yield file, "shell"
    if python_code.parse(text) is not None:
        yield file, "python"
    elif _JAVASCRIPT.search(text):
        yield file, "javascript"


def _package(file: SourceFile | None) -> tuple[Mapping[str, str], str]:
    """Return the scripts and the main file of a package.json."""
    try:
        manifest = json.loads(file.content) if file is not None else {}
    except (ValueError, RecursionError):
        return {}, ""
    if not isinstance(manifest, dict):
        return {}, ""
    scripts, main = manifest.get("scripts"), manifest.get("main")
    found = {str(name): str(text) for name, text in scripts.items()} if isinstance(scripts, dict) else {}
    return found, main if isinstance(main, str) else ""
