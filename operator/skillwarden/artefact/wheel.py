"""What is in a wheel: code that an interpreter runs when it starts, names that hide others, the licence.

A wheel has no install script. What comes closest: a ``.pth`` file with an ``import`` line, and the modules
``sitecustomize`` and ``usercustomize``, run whenever Python starts in the environment (documentation of
``site``); a module called like one of the standard library's, which on ``PYTHONPATH`` comes before it; a
script of a system command's name, which runs when somebody calls that command.
"""

from __future__ import annotations

import codecs
import configparser
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from email.parser import BytesParser
from pathlib import Path

from ..domain.artefact_facts import ArtefactFacts, Hook
from ..source.commands import Run
from .archive import UnreadableArchiveError, ZipReader
from .hooks import MAX_FILE_BYTES, looked_into
from .licences import of_python
from .text import shortened

#: SHA-256 of the lines that setuptools wrote into ``*-nspkg.pth``: they make a namespace package of the
#: standard library's parts, and run nothing of the package's.
_NAMESPACE_LINES = frozenset(
    {
        "327d515a9009ee2471ee22c399050583027f2fe6f7de8a697f4c31dc4ef0e4af",
        "3bac73e2a1750d0964f7bf023d7a3135f557dd4adadf005e00b4e3f042fd6ff6",
    }
)
#: The same of setuptools' own ``distutils-precedence.pth``, which loads a module of setuptools.
_OWN_LINES = {"setuptools": frozenset({"2f70c2fa9227e9db9348215d9c7b246d2786aac7516f86d71a5952c7c225aa16"})}
_QUOTED = re.compile(r"'([^']*)'")
#: What these lines quote besides the namespace's name.
_QUOTED_PARTS = frozenset(
    {
        "SETUPTOOLS_USE_DISTUTILS",
        "__path__",
        "_distutils_hack",
        "importlib.machinery",
        "importlib.util",
        "local",
        "sitedir",
    }
)
#: Modules that an interpreter imports before it does anything else; the last two it need not have.
_STARTUP_MODULES = frozenset({"encodings", "site", "sitecustomize", "usercustomize"})
#: Names of the standard library: this interpreter's, and of other releases that a sandbox may have.
_STANDARD = sys.stdlib_module_names | {
    *("asynchat", "asyncore", "distutils", "imp", "smtpd"),  # until 3.11
    *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap"),  # until 3.12
    *("nntplib", "pipes", "sndhdr", "sunau", "telnetlib", "uu", "xdrlib"),
    *("_pydatetime", "_pylong"),  # since 3.12
    *("_colorize", "_opcode_metadata", "_pyrepl", "_sysconfig"),  # since 3.13
    *("_ast_unparse", "_py_warnings", "_zstd", "annotationlib", "compression"),  # since 3.14
}
_MODULE_FILES = (".py", ".pyc", ".so")
#: Commands that scripts and people call without a path.
_SYSTEM_COMMANDS = frozenset(
    {
        "awk",
        "bash",
        "cat",
        "chmod",
        "chown",
        "cp",
        "curl",
        "dash",
        "docker",
        "env",
        "find",
        "git",
        "grep",
        "kill",
        "kubectl",
        "ln",
        "ls",
        "make",
        "mkdir",
        "mv",
        "node",
        "npm",
        "npx",
        "perl",
        "pip",
        "pip3",
        "ps",
        "python",
        "python3",
        "rm",
        "sed",
        "sh",
        "ssh",
        "su",
        "sudo",
        "tar",
        "wget",
        "xargs",
    }
)
#: Packages whose commands these are.
_OWNERS = {"pip": {"pip", "pip3"}}
#: Modules that a line imports by their names.
_IMPORTED = re.compile(r"(?:(?:\bimport|\bfrom|,)\s+|__import__\(\s*['\"])([A-Za-z_][\w.]{0,200})")
_MAX_MODULES = 16
_DIST_INFO = re.compile(r"[^/]+\.dist-info/METADATA")


def read_wheel(path: Path, name: str) -> ArtefactFacts:
    """Return what a wheel says.

    Parameters
    ----------
    path
        The file.
    name
        Normalised name of the package.

    Raises
    ------
    UnreadableArchiveError
        Where it is no wheel that can be read in one way only.
    """
    reader = ZipReader(path)
    metadata = [member for member in reader.names if _DIST_INFO.fullmatch(member)]
    if len(metadata) != 1:
        raise UnreadableArchiveError(f"it holds {len(metadata)} files *.dist-info/METADATA instead of one")
    headers = BytesParser().parsebytes(reader.read(metadata[0]), headersonly=True)
    licence, text = of_python(
        {field: headers.get(field) for field in ("License-Expression", "License")},
        [str(item) for item in headers.get_all("Classifier", [])],
    )
    hooks = [*_startup(reader, name), *_commands(reader, metadata[0], name)]
    return ArtefactFacts(hooks=tuple(sorted(set(hooks))), licence=licence, licence_text=text)


def installed_path(member: str) -> str:
    """Return where ``pip install --target`` puts a member, below the target, which is on ``PYTHONPATH``.

    pip installs below a home of its own (``lib/python``, ``bin``, ``include/python``) and moves into the
    target what lies in ``lib/python``, then whatever else lies in that home. So ``data`` stands beside the
    modules.
    """
    folder, _, rest = member.partition("/")
    if not folder.endswith(".data"):
        return member
    scheme, _, inner = rest.partition("/")
    match scheme:
        case "purelib" | "platlib":
            return inner
        case "data":
            return inner.removeprefix("lib/python/")
        case "scripts":
            return f"bin/{inner}"
        case "headers":
            return f"include/{inner}"  # deeper, in fact: below the package's name
    return f"../{scheme}/{inner}"  # pip refuses it


def _startup(reader: ZipReader, name: str) -> Iterator[Hook]:
    for member in reader.names:
        place = installed_path(member)
        module = _module(place)
        if "/" not in place and place.endswith(".pth"):
            code = _code_lines(reader.read(member))
            strange = [line for line in code if not _harmless(line.strip(), name)]
            if strange:
                hook = Hook(f"pth:{place}", shortened("; ".join(strange)))
                yield _looked(reader, hook, strange, [])
            continue
        if module in _STARTUP_MODULES:
            hook = Hook(f"startup:{module}", f"{place} runs whenever Python starts")
        elif module in _STANDARD or module.startswith("_sysconfigdata_"):
            hook = Hook(f"hides:{module}", f"{place} runs in place of the standard library's {module}")
        else:
            continue
        yield _looked(reader, hook, [], [member] if member.endswith(".py") else [])


def _code_lines(content: bytes) -> list[str]:
    """Return the lines of a ``.pth`` file that some release of Python runs.

    Newer ones pass over a mark of byte order (``site`` reads ``utf-8-sig``), older ones take it for text;
    each reads what is no UTF-8 in the encoding of the locale.
    """
    try:
        texts = [content.decode("utf-8-sig"), content.decode("utf-8")]
    except UnicodeDecodeError:
        texts = [content.removeprefix(codecs.BOM_UTF8).decode("latin-1"), content.decode("latin-1")]
    lines = dict.fromkeys(line for text in texts for line in text.splitlines())
    return [line for line in lines if line.startswith(("import ", "import\t"))]


def _module(place: str) -> str:
    """Return the module that a file is, importable by its bare name; ``""``: none.

    A folder without ``__init__`` hides nothing: a module further along the path comes before it.
    """
    top, _, rest = place.partition("/")
    file = rest or top
    if not file.endswith(_MODULE_FILES) or (rest and not rest.startswith("__init__.")):
        return ""
    return top if rest else top.partition(".")[0]


def _looked(reader: ZipReader, hook: Hook, lines: Sequence[str], files: Sequence[str]) -> Hook:
    """Look into lines that run when Python starts, and into the files of the wheel that they run."""
    places = {installed_path(member): member for member in reader.names}
    modules = [
        places[place]
        for line in lines
        for name in _IMPORTED.findall(line)
        for stem in _packages_of(name)
        for place in (f"{stem}.py", f"{stem}/__init__.py")
        if place in places
    ]
    chosen = list(dict.fromkeys([*files, *modules]))[:_MAX_MODULES]
    runs = [*(Run("python", code=line) for line in lines), *(Run("python", path=path) for path in chosen)]
    return looked_into(hook, runs, {path: reader.peek(path, MAX_FILE_BYTES) for path in chosen})


def _packages_of(module: str) -> list[str]:
    """Return where a module and the packages around it lie: importing it runs each of them."""
    parts = module.split(".")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _harmless(line: str, name: str) -> bool:
    """Whether a line is known to the last letter, but for a namespace's name."""
    bare = _QUOTED.sub(lambda found: found[0] if found[1] in _QUOTED_PARTS else "''", line)
    digest = hashlib.sha256(bare.encode()).hexdigest()
    return digest in _NAMESPACE_LINES or digest in _OWN_LINES.get(name, frozenset())


def _commands(reader: ZipReader, metadata: str, name: str) -> Iterator[Hook]:
    hidden = _SYSTEM_COMMANDS - _OWNERS.get(name, set())
    for member in reader.names:
        folder, _, command = installed_path(member).partition("/")
        if folder == "bin" and command in hidden:
            hook = Hook(f"command:{command}", f"{member} hides the system's {command}")
            yield looked_into(hook, [Run("", path=member)], {member: reader.peek(member, MAX_FILE_BYTES)})
    points = metadata.replace("/METADATA", "/entry_points.txt")
    if points in reader.names:
        for command, target in _console_scripts(reader.read(points)):
            if command in hidden:
                yield Hook(f"command:{command}", shortened(f"{target} hides the system's {command}"))


def _console_scripts(data: bytes) -> Iterator[tuple[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(data.decode("utf-8", "replace"))
    except configparser.Error as error:
        raise UnreadableArchiveError(
            f"its entry_points.txt cannot be read: {error.message.splitlines()[0]}"
        ) from error
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section):
            yield from parser.items(section)
