"""Reading declared Python packages: a plain PEP 508 requirement is taken, every trick is refused by name.

What a resolver is later given is written from the parsed value, never from the user's text, so this
module guards the messages as much as the input: a refusal says which rule was broken and what to write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import InvalidVersion, Version

from ..domain.errors import RefusalCode
from ..domain.package import DeclaredPackage
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
from .ranges import is_empty_range

_VCS = re.compile(r"(?:^|[\s@=])(?:git|hg|svn|bzr)\+|\bgit@|^(?:git|hg|svn|bzr)://", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE = re.compile(r"(?:^|[\s@])file:", re.IGNORECASE)
_PATH = re.compile(
    r"^(?:\.{1,2}$|\.{0,2}[/\\]|~|[a-z]:[/\\])|[/\\]|\.(?:whl|egg|zip|tar|tgz|tar\.[a-z0-9]+)$",
    re.IGNORECASE,
)
_SHELL = re.compile(r"[;&|`$]")
_EXAMPLE = "Write a name, optional extras and a version range, such as pandas>=2.2,<3."


def parse_python(requirements: Sequence[str], *, field: str = "packages.python") -> Intake:
    """Read the Python packages that a Skill declares.

    Parameters
    ----------
    requirements
        One PEP 508 requirement each, as the user wrote them.
    field
        Where the list stands below ``spec``, for the refusals.

    Returns
    -------
    Intake
        Never raises on anything that a user can write.
    """
    return take(
        requirements,
        _read,
        field=field,
        duplicate_fix="Write {} once, with the extras and the range that both need.",
    )


def _read(text: str) -> DeclaredPackage | Fault:
    """Take one requirement, or say the first rule that it breaks."""
    for check in _CHECKS:
        if fault := check(text):
            return fault
    try:
        parsed = Pep508(text)
    except (InvalidRequirement, ValueError) as error:
        return _syntax(text, error)
    return _from_parsed(parsed)


def _from_parsed(parsed: Pep508) -> DeclaredPackage | Fault:
    if parsed.url is not None:
        return _address(parsed.url)
    if parsed.marker is not None:
        return _marker(str(parsed))
    # packaging's parser lets a trailing '_' pass, which no index and no other tool takes.
    for name in (parsed.name, *sorted(parsed.extras)):
        if not is_normalized_name(canonicalize_name(name)):
            return Fault(
                RefusalCode.SYNTAX,
                f"holds {printable(name)!r}, which is not a name: it must end in a letter or a digit.",
                _EXAMPLE,
            )
    for part in parsed.specifier:
        if part.operator == "===" and not _is_version(part.version):
            return Fault(
                RefusalCode.SYNTAX,
                f"compares with '===' to {printable(part.version)!r}, which is not a version.",
                "Pin with ==, such as pandas==2.2.3.",
            )
    if is_empty_range(parsed.specifier):
        return Fault(
            RefusalCode.EMPTY_RANGE,
            f"asks for a range that no version can lie in: {printable(str(parsed.specifier))}.",
            "Remove one of the bounds that exclude each other.",
        )
    return DeclaredPackage.from_pep508(parsed)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _option(text: str) -> Fault | None:
    if not text.strip().startswith("-"):
        return None
    return Fault(
        RefusalCode.OPTION_LINE,
        "is an option of an installer, not a package; options could redirect the index.",
        f"Remove it: the platform's operator configures the index. {_EXAMPLE}",
    )


def _vcs(text: str) -> Fault | None:
    if not _VCS.search(text):
        return None
    return Fault(
        RefusalCode.VCS,
        "points at a version control repository; only packages of the configured index can be judged.",
        "Name a released package and its range, such as pandas>=2.2,<3.",
    )


def _url(text: str) -> Fault | None:
    if _FILE.search(text) or not _URL.search(text):
        return None
    return _address(text)


def _address(text: str) -> Fault:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = ""
    # "requests@2.31" is how other ecosystems pin; PEP 508 reads the version as an address.
    pin = "" if scheme or "://" in text else " A version is pinned with ==, such as pandas==2.2.3."
    return Fault(
        RefusalCode.URL,
        "names an address to download from; only packages of the configured index can be judged.",
        f"Name the package and its range only.{pin}",
    )


def _path(text: str) -> Fault | None:
    if not _FILE.search(text) and not _PATH.search(text.strip()):
        return None
    return Fault(
        RefusalCode.LOCAL_PATH,
        "is a local path or file; only packages of the configured index can be judged.",
        "Name a released package and its range; a skill's own modules belong in spec.source.",
    )


def _marker(text: str) -> Fault:
    plain = printable(text.partition(";")[0].strip())
    return Fault(
        RefusalCode.MARKER,
        "has an environment marker; a skill is resolved for one known platform, where a marker would only"
        " hide whether the package is part of it.",
        f"Write: {plain} (or remove the line, where sandboxes do without the package)",
    )


def _shell(text: str) -> Fault | None:
    found = _SHELL.search(text)
    if found is None:
        return None
    if found.group() == ";" and _has_marker(text):
        return _marker(text)
    return Fault(
        RefusalCode.SHELL_CHARACTER,
        f"contains {found.group()!r}, which has a meaning to a shell and none in a requirement.",
        _EXAMPLE,
    )


def _has_marker(text: str) -> bool:
    try:
        return Pep508(text).marker is not None
    except (InvalidRequirement, ValueError):
        return False


def _syntax(text: str, error: Exception) -> Fault:
    if "@" in text:
        return _address(text)
    return Fault(
        RefusalCode.SYNTAX,
        f"is not a requirement: {printable(str(error).splitlines()[0] if str(error) else 'unreadable')}.",
        _EXAMPLE,
    )


#: In this order: the first rule that a text breaks is the one that is told.
_CHECKS: tuple[Callable[[str], Fault | None], ...] = (
    check_length,
    check_control,
    check_blank,
    check_ascii,
    _option,
    _vcs,
    _url,
    _shell,
    _path,
)
