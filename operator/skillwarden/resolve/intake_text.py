"""What every declared package must be, whatever its ecosystem: one short line of ASCII.

A resolver is later given what was parsed, never the user's text, so the messages are guarded as much as the
input: a refusal says which rule was broken and what to write.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..domain.errors import Refusal, RefusalCode
from ..domain.package import DeclaredPackage

#: Longer texts are refused before anything looks at them.
MAX_REQUIREMENT_CHARACTERS = 512
_SHOWN_CHARACTERS = 80
_USERINFO = re.compile(r"//[^/@\s]*@")

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

    def __add__(self, other: Intake) -> Intake:
        """Return what two lists come to together."""
        return Intake(tuple(sorted(self.declared + other.declared)), self.refusals + other.refusals)


@dataclass(frozen=True, slots=True)
class Fault:
    """The rule that a text breaks, in words, and what to write instead."""

    code: RefusalCode
    reason: str
    fix: str


def take(
    texts: Sequence[str],
    read: Callable[[str], DeclaredPackage | Fault],
    *,
    field: str,
    duplicate_fix: str,
) -> Intake:
    """Read each text, and refuse a second one of the same package that means something else.

    Parameters
    ----------
    texts
        One package each, as the user wrote them.
    read
        Takes one text, or says which rule it breaks; must not raise.
    field
        Where the list stands below ``spec``, for the refusals.
    duplicate_fix
        What to write instead of a package twice; ``{}`` is its name.
    """
    declared: dict[str, DeclaredPackage] = {}
    refusals: list[Refusal] = []
    for index, text in enumerate(texts):
        outcome = read(text)
        if isinstance(outcome, DeclaredPackage):
            first = declared.setdefault(outcome.name, outcome)
            if first == outcome:
                continue
            outcome = Fault(
                RefusalCode.DUPLICATE,
                f"names {outcome.name} a second time: {printable(first.requirement)!r} stands before it.",
                duplicate_fix.format(outcome.name),
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


def check_length(text: str) -> Fault | None:
    """Refuse what is too long to be looked at."""
    if len(text) <= MAX_REQUIREMENT_CHARACTERS:
        return None
    return Fault(
        RefusalCode.TOO_LONG,
        f"has {len(text)} characters; at most {MAX_REQUIREMENT_CHARACTERS} are read.",
        "Write a name and a range of versions.",
    )


def check_blank(text: str) -> Fault | None:
    """Refuse what says nothing."""
    if text.strip(" "):
        return None
    return Fault(RefusalCode.SYNTAX, "is empty.", "Remove the entry, or name a package.")


def check_control(text: str) -> Fault | None:
    """Refuse line breaks and what else changes how a text is read."""
    for char in text:
        # Cc is C0, DEL and C1; U+2028 and U+2029 break lines in some readers.
        if unicodedata.category(char) in {"Cc", "Zl", "Zp"}:
            name = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL"}
            what = name.get(char, f"the control character U+{ord(char):04X}")
            return Fault(
                RefusalCode.CONTROL_CHARACTER,
                f"contains {what}; one entry is one requirement on one line.",
                "Write each package as an entry of its own, without control characters.",
            )
    return None


def check_ascii(text: str) -> Fault | None:
    """Refuse look-alikes of ASCII, and name what they look like."""
    char = next((char for char in text if ord(char) > 126), None)
    if char is None:
        return None
    label = unicodedata.name(char, "unnamed character")
    reason = f"contains U+{ord(char):04X} ({label}); package names and versions are ASCII"
    twin = _ascii_twin(char)
    plain = "".join(each if ord(each) < 127 else _ascii_twin(each) or "?" for each in text)
    if twin is None:
        return Fault(RefusalCode.NON_ASCII, reason + ".", "Remove the character.")
    fix = (
        f"If you meant {printable(plain)!r}, type it in ASCII." if "?" not in plain else "Use ASCII letters."
    )
    return Fault(RefusalCode.NON_ASCII, f"{reason}. It looks like the ASCII {twin!r}.", fix)


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
