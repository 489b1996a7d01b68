"""Reading declared packages: a plain PEP 508 requirement is taken, every trick is refused by name.

What a resolver is later given is written from the parsed value, never from the user's text, so this
module guards the messages as much as the input: a refusal says which rule was broken and what to write.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import InvalidVersion, Version

from ..domain.errors import Refusal, RefusalCode
from ..domain.package import DeclaredPackage
from .ranges import is_empty_range

#: Longer texts are refused before anything looks at them.
MAX_REQUIREMENT_CHARACTERS = 512
_SHOWN_CHARACTERS = 80

_VCS = re.compile(r"(?:^|[\s@=])(?:git|hg|svn|bzr)\+|\bgit@|^(?:git|hg|svn|bzr)://", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE = re.compile(r"(?:^|[\s@])file:", re.IGNORECASE)
_PATH = re.compile(
    r"^(?:\.{1,2}$|\.{0,2}[/\\]|~|[a-z]:[/\\])|[/\\]|\.(?:whl|egg|zip|tar|tgz|tar\.[a-z0-9]+)$",
    re.IGNORECASE,
)
_SHELL = re.compile(r"[;&|`$]")
_USERINFO = re.compile(r"//[^/@\s]*@")
_EXAMPLE = "Write a name, optional extras and a version range, such as pandas>=2.2,<3."

#: ASCII text to the characters that look like it and that NFKC leaves alone; escaped, or no reader could
#: check the table. The commonest of what Unicode calls confusables.
_LOOK_ALIKES = {
    twin: plain
    for plain, twins in {
        "a": "\u0430\u03b1\u0251",
        "b": "\u042c\u0185",
        "c": "\u0441\u03f2\u2ca5",
        "d": "\u0501",
        "e": "\u0435\u0454",
        "g": "\u0261\u0581",
        "h": "\u04bb\u0570",
        "i": "\u0456\u03b9\u0131",
        "j": "\u0458",
        "k": "\u043a\u03ba",
        "l": "\u04cf\u2113",
        "m": "\u043c",
        "n": "\u043f\u0578\u03b7\u0274",
        "o": "\u043e\u03bf\u0585\u2c9f\u03c3",
        "p": "\u0440\u03c1",
        "q": "\u051b",
        "r": "\u0433\u0280",
        "s": "\u0455",
        "t": "\u0442\u03c4",
        "u": "\u03c5\u057d\u0446",
        "v": "\u03bd\u0475",
        "w": "\u051d\u03c9\u0448",
        "x": "\u0445\u03c7",
        "y": "\u0443\u04af\u03b3",
        "z": "\u1d22",
        "A": "\u0410\u0391",
        "B": "\u0412\u0392",
        "C": "\u0421",
        "E": "\u0415\u0395",
        "H": "\u041d\u0397",
        "I": "\u0406\u0399",
        "J": "\u0408",
        "K": "\u041a\u039a",
        "M": "\u041c\u039c",
        "N": "\u039d",
        "O": "\u041e\u039f",
        "P": "\u0420\u03a1",
        "S": "\u0405",
        "T": "\u0422\u03a4",
        "X": "\u0425\u03a7",
        "Y": "\u04ae\u03a5",
        "Z": "\u0396",
        "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
        "=": "\u1400",
        "'": "\u2018\u2019",
        '"': "\u201c\u201d",
        ">=": "\u2265",
        "<=": "\u2264",
        "!=": "\u2260",
        "*": "\u2217",
    }.items()
    for twin in twins
}


@dataclass(frozen=True, slots=True)
class Intake:
    """What a list of declared packages comes to.

    Attributes
    ----------
    declared
        The packages that were taken, sorted, each once.
    refusals
        The ones that were not, in the order in which they were written. A Skill with any is invalid.
    """

    declared: tuple[DeclaredPackage, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class _Fault:
    code: RefusalCode
    reason: str
    fix: str


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
    declared: dict[str, DeclaredPackage] = {}
    refusals: list[Refusal] = []
    for index, text in enumerate(requirements):
        outcome = _read(text)
        if isinstance(outcome, DeclaredPackage):
            first = declared.setdefault(outcome.name, outcome)
            if first == outcome:
                continue
            outcome = _Fault(
                RefusalCode.DUPLICATE,
                f"names {outcome.name} a second time: {printable(first.requirement)!r} stands before it.",
                f"Write {outcome.name} once, with the extras and the range that both need.",
            )
        shown = printable(text)
        refusals.append(
            Refusal(
                field=f"{field}[{index}]",
                text=shown,
                code=outcome.code,
                message=f"{field}[{index}] '{shown}' {outcome.reason}",
                fix=outcome.fix,
            )
        )
    return Intake(tuple(sorted(declared.values())), tuple(refusals))


def printable(text: str) -> str:
    """Return a text that is safe to show: ASCII, on one line, shortened, without a URL's credentials."""
    if len(text) > MAX_REQUIREMENT_CHARACTERS:
        text = text[:MAX_REQUIREMENT_CHARACTERS]
    clean = "".join(char if 32 <= ord(char) < 127 else _escape(char) for char in _USERINFO.sub("//", text))
    return clean if len(clean) <= _SHOWN_CHARACTERS else clean[: _SHOWN_CHARACTERS - 3] + "..."


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _read(text: str) -> DeclaredPackage | _Fault:
    """Take one requirement, or say the first rule that it breaks."""
    for check in _CHECKS:
        if fault := check(text):
            return fault
    try:
        parsed = Pep508(text)
    except (InvalidRequirement, ValueError) as error:
        return _syntax(text, error)
    return _from_parsed(parsed)


def _from_parsed(parsed: Pep508) -> DeclaredPackage | _Fault:
    if parsed.url is not None:
        return _address(parsed.url)
    if parsed.marker is not None:
        return _MARKER
    # packaging's parser lets a trailing '_' pass, which no index and no other tool takes.
    for name in (parsed.name, *sorted(parsed.extras)):
        if not is_normalized_name(canonicalize_name(name)):
            return _Fault(
                RefusalCode.SYNTAX,
                f"holds {printable(name)!r}, which is not a name: it must end in a letter or a digit.",
                _EXAMPLE,
            )
    for part in parsed.specifier:
        if part.operator == "===" and not _is_version(part.version):
            return _Fault(
                RefusalCode.SYNTAX,
                f"compares with '===' to {printable(part.version)!r}, which is not a version.",
                "Pin with ==, such as pandas==2.2.3.",
            )
    if is_empty_range(parsed.specifier):
        return _Fault(
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


def _length(text: str) -> _Fault | None:
    if len(text) <= MAX_REQUIREMENT_CHARACTERS:
        return None
    return _Fault(
        RefusalCode.TOO_LONG,
        f"has {len(text)} characters; at most {MAX_REQUIREMENT_CHARACTERS} are read.",
        _EXAMPLE,
    )


def _blank(text: str) -> _Fault | None:
    if text.strip(" "):
        return None
    return _Fault(RefusalCode.SYNTAX, "is empty.", "Remove the entry, or name a package.")


def _control(text: str) -> _Fault | None:
    for char in text:
        # Cc is C0, DEL and C1; U+2028 and U+2029 break lines in some readers.
        if unicodedata.category(char) in {"Cc", "Zl", "Zp"}:
            name = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL"}
            what = name.get(char, f"the control character U+{ord(char):04X}")
            return _Fault(
                RefusalCode.CONTROL_CHARACTER,
                f"contains {what}; one entry is one requirement on one line.",
                "Write each package as an entry of its own, without control characters.",
            )
    return None


def _ascii(text: str) -> _Fault | None:
    char = next((char for char in text if ord(char) > 126), None)
    if char is None:
        return None
    label = unicodedata.name(char, "unnamed character")
    reason = f"contains U+{ord(char):04X} ({label}); package names and versions are ASCII"
    twin = _ascii_twin(char)
    plain = "".join(each if ord(each) < 127 else _ascii_twin(each) or "?" for each in text)
    if twin is None:
        return _Fault(RefusalCode.NON_ASCII, reason + ".", "Remove the character.")
    fix = (
        f"If you meant {printable(plain)!r}, type it in ASCII." if "?" not in plain else "Use ASCII letters."
    )
    return _Fault(RefusalCode.NON_ASCII, f"{reason}. It looks like the ASCII {twin!r}.", fix)


def _ascii_twin(char: str) -> str | None:
    if char in _LOOK_ALIKES:
        return _LOOK_ALIKES[char]
    folded = unicodedata.normalize("NFKC", char)
    if not folded.isascii():
        # An accented letter reads as its base: 'é' as 'e'.
        folded = "".join(
            each for each in unicodedata.normalize("NFKD", char) if not unicodedata.combining(each)
        )
    return folded if folded and folded.isascii() and folded.isprintable() else None


def _option(text: str) -> _Fault | None:
    if not text.strip().startswith("-"):
        return None
    return _Fault(
        RefusalCode.OPTION_LINE,
        "is an option of an installer, not a package; options could redirect the index.",
        f"Remove it: the platform's operator configures the index. {_EXAMPLE}",
    )


def _vcs(text: str) -> _Fault | None:
    if not _VCS.search(text):
        return None
    return _Fault(
        RefusalCode.VCS,
        "points at a version control repository; only packages of the configured index can be judged.",
        "Name a released package and its range, such as pandas>=2.2,<3.",
    )


def _url(text: str) -> _Fault | None:
    if _FILE.search(text) or not _URL.search(text):
        return None
    return _address(text)


def _address(text: str) -> _Fault:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = ""
    # "requests@2.31" is how other ecosystems pin; PEP 508 reads the version as an address.
    pin = "" if scheme or "://" in text else " A version is pinned with ==, such as pandas==2.2.3."
    return _Fault(
        RefusalCode.URL,
        "names an address to download from; only packages of the configured index can be judged.",
        f"Name the package and its range only.{pin}",
    )


def _path(text: str) -> _Fault | None:
    if not _FILE.search(text) and not _PATH.search(text.strip()):
        return None
    return _Fault(
        RefusalCode.LOCAL_PATH,
        "is a local path or file; only packages of the configured index can be judged.",
        "Name a released package and its range; a skill's own modules belong in spec.source.",
    )


_MARKER = _Fault(
    RefusalCode.MARKER,
    "has an environment marker; a skill is resolved for one known platform, where a marker would only"
    " hide whether the package is part of it.",
    "Remove the marker and everything after ';', or remove the package.",
)


def _shell(text: str) -> _Fault | None:
    found = _SHELL.search(text)
    if found is None:
        return None
    if found.group() == ";" and _has_marker(text):
        return _MARKER
    return _Fault(
        RefusalCode.SHELL_CHARACTER,
        f"contains {found.group()!r}, which has a meaning to a shell and none in a requirement.",
        _EXAMPLE,
    )


def _has_marker(text: str) -> bool:
    try:
        return Pep508(text).marker is not None
    except (InvalidRequirement, ValueError):
        return False


def _syntax(text: str, error: Exception) -> _Fault:
    if "@" in text:
        return _address(text)
    return _Fault(
        RefusalCode.SYNTAX,
        f"is not a requirement: {printable(str(error).splitlines()[0] if str(error) else 'unreadable')}.",
        _EXAMPLE,
    )


#: In this order: the first rule that a text breaks is the one that is told.
_CHECKS: tuple[Callable[[str], _Fault | None], ...] = (
    _length,
    _control,
    _blank,
    _ascii,
    _option,
    _vcs,
    _url,
    _shell,
    _path,
)
