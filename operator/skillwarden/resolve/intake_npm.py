"""Reading declared npm packages: a name and a range of versions are taken, every trick is refused by name.

npm's own reader takes much more (addresses, git, folders, tarballs, aliases, tags), and a project's
dependency is as good a place for each as the command line. Hence npm is only ever given what this module
has taken apart: a name and a range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..domain.errors import RefusalCode
from ..domain.package import DeclaredPackage, Ecosystem
from ..domain.semver import MAX_LENGTH, parse_semver_range
from .intake_text import (
    Fault,
    Intake,
    check_ascii,
    check_blank,
    check_control,
    check_length,
    printable,
    take,
)

#: npm's bound on a name, its scope included.
MAX_NAME_CHARACTERS = 214
_PART = r"[A-Za-z0-9~][A-Za-z0-9._~-]*"
_NAME = re.compile(rf"(?:@[a-z0-9~-][a-z0-9._~-]*/)?{_PART}", re.ASCII)
#: Names that the registry keeps for itself.
_RESERVED = {"node_modules", "favicon.ico"}

_VCS = re.compile(r"(?:^|@)(?:git(?:\+[a-z]+)?|hg|svn)[:@+]|^git@|\.git(?:#|$)", re.I)
_HOSTED = re.compile(r"(?:^|@)(?:github|gitlab|bitbucket|gist):", re.IGNORECASE)
_ALIAS = re.compile(r"(?:^|@)npm:", re.IGNORECASE)
_LOCAL = re.compile(r"(?:^|@)(?:file|link|portal|patch|workspace|catalog|exec):", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PATH = re.compile(r"(?:^|@)(?:\.{1,2}(?:[/\\]|$)|~?[/\\]|[a-z]:[/\\])|\\|\.(?:tgz|tar\.gz|tar|zip)$", re.I)
_SHELL = re.compile(r"[;&`$'\"(){}\[\]!%]|(?<!\|)\|(?!\|)")
_PARTIAL = (
    r"v?(?:[xX*]|\d{1,16}(?:\.(?:[xX*]|\d{1,16})){0,2}"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z.-]+)?)"
)
_SIMPLE = rf"(?:[<>]=?|=|\^|~>?)?\s*{_PARTIAL}"
_ALTERNATIVE = rf"(?:{_PARTIAL} +- +{_PARTIAL}|{_SIMPLE}(?: +{_SIMPLE})*)"
_RANGE = re.compile(rf"{_ALTERNATIVE}(?: *\|\| *{_ALTERNATIVE})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_EXAMPLE = "Write a name and a range of versions, such as lodash@^4.17.21 or @scope/name@>=1.2.0 <2."
_REGISTRY_ONLY = "only packages of the configured registry can be judged."


def parse_node(requirements: Sequence[str], *, field: str = "packages.node.dependencies") -> Intake:
    """Read the npm packages that a Skill declares.

    Parameters
    ----------
    requirements
        A name and, behind ``@``, a range of versions each, as the user wrote them.
    field
        Where the list stands below ``spec``, for the refusals.

    Returns
    -------
    Intake
        Never raises on anything that a user can write.
    """
    return take(
        requirements, _read, field=field, duplicate_fix="Write {} once, with the range that is meant."
    )


def name_fault(name: str) -> str | None:
    """Say which of npm's rules a name breaks, or ``None``; also for the names in a lockfile."""
    if len(name) > MAX_NAME_CHARACTERS:
        return f"has a name of {len(name)} characters; npm's limit is {MAX_NAME_CHARACTERS}."
    bare = name.rpartition("/")[2]
    if bare.startswith((".", "_")):
        return f"names {printable(name)!r}: no package's name begins with {bare[0]!r}."
    if not _NAME.fullmatch(name) or bare.lower() in _RESERVED:
        return f"names {printable(name)!r}, which is not a name of a package on npm."
    return None


def _read(text: str) -> DeclaredPackage | Fault:
    """Take one package, or say the first rule that its text breaks."""
    for check in _CHECKS:
        if fault := check(text):
            return fault
    spec = text.strip(" ")
    at = spec.find("@", 1)
    name, versions = (spec, "") if at < 0 else (spec[:at], spec[at + 1 :])
    if "/" in name and not name.startswith("@"):
        return _vcs_fault()
    if reason := name_fault(name):
        pin = " A version follows '@', such as lodash@4.17.21." if re.search(r"[=<>^]", name) else ""
        return Fault(RefusalCode.SYNTAX, reason, _EXAMPLE + pin)
    if at >= 0 and not versions.strip():
        return Fault(RefusalCode.SYNTAX, "ends in '@' without a range.", _EXAMPLE)
    return _with_range(name, " ".join(versions.split()))


def _with_range(name: str, versions: str) -> DeclaredPackage | Fault:
    if _TAG.fullmatch(versions) and not _RANGE.fullmatch(versions):
        return Fault(
            RefusalCode.TAG,
            f"names the tag {printable(versions)!r}, which whoever publishes the package can move at will.",
            "Write a range of versions, such as ^4.17.21, or leave it out for any version.",
        )
    if "/" in versions:
        return _vcs_fault()
    parsed = parse_semver_range(versions) if len(versions) <= MAX_LENGTH else None
    if versions and (parsed is None or not _RANGE.fullmatch(versions)):
        comma = " npm separates bounds by spaces, not commas." if "," in versions else ""
        return Fault(
            RefusalCode.SYNTAX,
            f"has {printable(versions)!r}, which is no range of versions.",
            _EXAMPLE + comma,
        )
    if parsed is not None and parsed.empty:
        return Fault(
            RefusalCode.EMPTY_RANGE,
            f"asks for a range that no version can lie in: {printable(versions)}.",
            "Remove one of the bounds that exclude each other.",
        )
    return DeclaredPackage(Ecosystem.NPM, name, specifier=versions)


def _option(text: str) -> Fault | None:
    if not text.strip().startswith("-"):
        return None
    return Fault(
        RefusalCode.OPTION_LINE,
        "is an option of npm, not a package; options could redirect the registry or run scripts.",
        f"Remove it: the platform's operator configures the registry. {_EXAMPLE}",
    )


def _alias(text: str) -> Fault | None:
    if not _ALIAS.search(text):
        return None
    return Fault(
        RefusalCode.ALIAS,
        "installs a package under another name, so that what is imported is not what is judged.",
        "Name the package itself, and import it by its own name.",
    )


def _vcs(text: str) -> Fault | None:
    return _vcs_fault() if _VCS.search(text) or _HOSTED.search(text) else None


def _vcs_fault() -> Fault:
    return Fault(
        RefusalCode.VCS,
        f"points at a version control repository; {_REGISTRY_ONLY}",
        "Name a released package and its range, such as lodash@^4.17.21.",
    )


def _url(text: str) -> Fault | None:
    if _LOCAL.search(text) or not _URL.search(text):
        return None
    return Fault(
        RefusalCode.URL,
        f"names an address to download from; {_REGISTRY_ONLY}",
        "Name the package and its range only.",
    )


def _path(text: str) -> Fault | None:
    if not _LOCAL.search(text) and not _PATH.search(text.strip()):
        return None
    return Fault(
        RefusalCode.LOCAL_PATH,
        f"is a local path, workspace or file; {_REGISTRY_ONLY}",
        "Name a released package and its range; a skill's own modules belong in spec.source.",
    )


def _shell(text: str) -> Fault | None:
    found = _SHELL.search(text)
    if found is None:
        return None
    return Fault(
        RefusalCode.SHELL_CHARACTER,
        f"contains {found.group()!r}, which has a meaning to a shell and none in a range of npm.",
        _EXAMPLE,
    )


#: In this order: the first rule that a text breaks is the one that is told.
_CHECKS: tuple[Callable[[str], Fault | None], ...] = (
    check_length,
    check_control,
    check_blank,
    check_ascii,
    _option,
    _alias,
    _vcs,
    _url,
    _path,
    _shell,
)
