"""What a command starts: files of the package or skill that it belongs to, and code in the command itself.

A shell is not rebuilt here: words are told apart as a shell does, and programs that run a file or a text are
known by name. What a variable or a substitution would make of it, nobody can tell.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

_MAX_COMMAND = 8192
_MAX_RUNS = 32
_DEPTH = 4
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_WRAPPERS = frozenset(
    {"command", "cross-env", "cross-env-shell", "env", "exec", "nohup", "npx", "sudo", "time"}
)
_WRAPPERS |= {"busybox", "dumb-init", "nice", "setsid", "stdbuf", "timeout", "tini", "xargs"}
_NODES = frozenset({"bun", "deno", "esno", "node", "nodejs", "ts-node", "tsx"})
_SHELLS = frozenset({"ash", "bash", "dash", "ksh", "sh", "zsh"})
_SOURCES = frozenset({".", "source"})
_RUNNERS = frozenset({"npm", "npm-run-all", "pnpm", "run-p", "run-s", "yarn"})
_PYTHON = re.compile(r"py|python[0-9.]*")
_PUNCTUATION = re.compile(r"[();<>|&\n]+")
#: Options after which a program takes another word: code, a file that it loads first, or something else.
_NODE_CODE = frozenset({"-e", "--eval", "-p", "--print", "-pe"})
_NODE_FILE = frozenset({"-r", "--require", "--import", "--loader", "--experimental-loader"})
_SPLITS = re.compile(r"(?:-[a-zA-Z]*S|--split-string=?)(.*)", re.DOTALL)
_PYTHON_OPTION = re.compile(r"-[bBdEhiIOPqRsSuvVx?]*([cmWX])(.*)", re.DOTALL)
_PYTHON_RUNS_FILE = frozenset({"cProfile", "coverage", "pdb", "profile", "runpy", "trace"})
_SHELL_OPTION = re.compile(r"[-+][a-zA-Z]*")
#: What code loads from beside itself, by a name that stands there.
_LOADS = re.compile(
    r"\b(?:require|import)\s*\(\s*['\"`](\.{1,2}(?:/[^'\"`\n]{0,200})?)['\"`]\s*\)"
    r"|\b(?:import|from)\s*['\"](\.{1,2}/[^'\"\n]{1,200})['\"]"
)
_ENDINGS = {
    "javascript": ("", ".js", ".cjs", ".mjs", ".ts", "/index.js"),
    "python": ("", "/__main__.py"),
    "module": (".py", "/__main__.py", "/__init__.py"),
    "shell": ("",),
    "": ("",),
}


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of code that a command runs.

    Attributes
    ----------
    language
        ``javascript``, ``python`` or ``shell``; empty: the file's name or first line says.
    path
        The file, below the archive's root; empty where the code stands in the command.
    code
        That code; of a file, empty.
    missing
        Whether the package holds no such file.
    """

    language: str
    path: str = ""
    code: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command runs.

    Attributes
    ----------
    folder
        Of the package, below the archive's root.
    names
        All files of the archive.
    scripts
        The package's own, which ``npm run`` starts.
    main
        What ``node .`` runs.
    """

    folder: str
    names: Container[str]
    scripts: Mapping[str, str]
    main: str = ""

    def file(self, word: str, language: str) -> Run:
        """Return the file that a word names for an interpreter."""
        kind = "python" if language == "module" else language
        stem = word.replace(".", "/") if language == "module" else word
        if language == "javascript" and self.main and posixpath.normpath(word) == ".":
            stem = self.main
        path = posixpath.normpath(posixpath.join(self.folder, stem)).removeprefix(".")
        for ending in _ENDINGS[language]:
            candidate = f"{path}{ending}".lstrip("/")
            if candidate in self.names:
                return Run(kind, path=candidate)
        return Run(kind, path=word, missing=True)


def runs_of(command: str, place: Place) -> tuple[Run, ...]:
    """Return what a command runs, itself included, each once and no more than some."""
    found: dict[Run, None] = {}
    for run in _runs(command[:_MAX_COMMAND], place, _DEPTH):
        found[run] = None
        if len(found) >= _MAX_RUNS:
            break
    return tuple(found)


def runs_of_words(words: Sequence[str], place: Place) -> tuple[Run, ...]:
    """Return what a command without a shell runs, itself included as a shell would read it, each once.

    Wherever an interpreter stands among the words it may be what is started: what hands a command on has
    many names.
    """
    rest = list(words)
    found: dict[Run, None] = {Run("shell", code=shlex.join(rest)): None}
    for position, word in enumerate(rest):
        if position and posixpath.basename(rest[0]) == "env" and (option := _SPLITS.fullmatch(word)):
            text = option[1] or next(iter(rest[position + 1 :]), "")
            found |= dict.fromkeys(_runs(text, place, _DEPTH))
        if position == 0 or _is_interpreter(posixpath.basename(word)):
            found |= dict.fromkeys(_started(rest[position:], place, _DEPTH))
    return tuple(found)


def loaded_by(code: str, place: Place) -> Iterator[Run]:
    """Yield the files beside a piece of JavaScript that it loads, if the package holds them."""
    for found in _LOADS.finditer(code):
        run = place.file(found[1] or found[2], "javascript")
        if not run.missing:
            yield run


def _runs(command: str, place: Place, depth: int) -> Iterator[Run]:
    yield Run("shell", code=command)
    if depth:
        for words in _simple_commands(command):
            yield from _started(words, place, depth - 1)


def _simple_commands(command: str) -> Iterator[list[str]]:
    """Yield the words of each command between ``&&``, ``|``, ``;`` and the like."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # a quote that does not end: a shell refuses it, and somebody else may not
        tokens = command.split()
    words: list[str] = []
    for token in [*tokens, ";"]:
        if _PUNCTUATION.fullmatch(token):
            if words:
                yield words
            words = []
        else:
            words.append(token)


def _started(words: Sequence[str], place: Place, depth: int) -> Iterator[Run]:
    rest = list(words)
    while rest and (_ASSIGNMENT.match(rest[0]) or rest[0] in _WRAPPERS):
        wrapper = rest.pop(0) in _WRAPPERS
        while wrapper and rest and not _is_interpreter(posixpath.basename(rest[0])) and _before_one(rest):
            rest.pop(0)
    if not rest:
        return
    program, arguments = posixpath.basename(rest[0]), rest[1:]
    if program in _NODES:
        yield from _node(arguments, place)
    elif _PYTHON.fullmatch(program):
        yield from _python(arguments, place)
    elif program in _SHELLS:
        yield from _shell(arguments, place, depth)
    elif program in _SOURCES:
        yield from (place.file(word, "shell") for word in arguments[:1])
    elif program in _RUNNERS:
        for word in arguments:
            if word in place.scripts:
                yield from _runs(place.scripts[word][:_MAX_COMMAND], place, depth)
    elif "/" in rest[0]:  # else it is looked for along PATH, and not in the package
        run = place.file(rest[0], "")
        if not run.missing:
            yield run


def _is_interpreter(program: str) -> bool:
    return program in _NODES or program in _SHELLS or _PYTHON.fullmatch(program) is not None


def _before_one(words: Sequence[str]) -> bool:
    """Whether an interpreter stands behind a wrapper's own options and their values."""
    return any(_is_interpreter(posixpath.basename(word)) for word in words[1:])


def _node(arguments: Sequence[str], place: Place) -> Iterator[Run]:
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option in _NODE_CODE:
            code = value if equals else next(words, "")
            yield Run("javascript", code=code)
            yield from loaded_by(code, place)
            return
        if option in _NODE_FILE:
            loaded = value if equals else next(words, "")
            if loaded.startswith("."):
                yield place.file(loaded, "javascript")
        elif not word.startswith("-") and word != "run":
            yield place.file(word, "javascript")
            return


def _python(arguments: Sequence[str], place: Place) -> Iterator[Run]:
    words = iter(arguments)
    for word in words:
        option = _PYTHON_OPTION.fullmatch(word)
        if option is None:
            if not word.startswith("-"):
                yield place.file(word, "python")
                return
            continue
        value = option[2] or next(words, "")
        if option[1] == "c":
            yield Run("python", code=value)
            return
        if option[1] == "m":
            module = place.file(value, "module")
            if not module.missing:  # else it is the standard library's, or another package's
                yield module
            elif value in _PYTHON_RUNS_FILE:
                files = (place.file(item, "python") for item in words)
                yield from (file for file in files if not file.missing)
            return


def _shell(arguments: Sequence[str], place: Place, depth: int) -> Iterator[Run]:
    words, takes_text = iter(arguments), False
    for word in words:
        if _SHELL_OPTION.fullmatch(word):
            takes_text = takes_text or (word[0] == "-" and "c" in word)
            if word[-1] in "oO":
                next(words, "")  # the name of an option, such as pipefail
        elif word in {"--rcfile", "--init-file"}:
            yield place.file(next(words, ""), "shell")
        elif takes_text:
            yield from _runs(word, place, depth)
            return
        elif not word.startswith("-"):
            yield place.file(word, "shell")
            return
