"""Errors that a person must act on: each says what went wrong, where, why, and what would fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SkillwardenError(Exception):
    """Base of every error that Skillwarden raises on purpose.

    Parameters
    ----------
    message
        What went wrong and why, naming the object or field.
    fix
        What the reader can do about it; empty where nothing can be said.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".rstrip()


class InvalidInputError(SkillwardenError):
    """Something a user wrote cannot be accepted."""


class UnsupportedRuntimeError(InvalidInputError):
    """The operator has no image for the language and version that a Skill asks for."""


class IntegrityError(SkillwardenError):
    """Bytes do not have the digest that was promised; never retried against the same bytes."""


class UnavailableError(SkillwardenError):
    """Something that we depend on does not answer; worth another try later."""


class RefusalCode(StrEnum):
    """Why a declared package was refused at intake (DESIGN 1.2): one code a trick."""

    SYNTAX = "Syntax"
    CONTROL_CHARACTER = "ControlCharacter"
    OPTION_LINE = "OptionLine"
    URL = "Url"
    VCS = "Vcs"
    LOCAL_PATH = "LocalPath"
    SHELL_CHARACTER = "ShellCharacter"
    NON_ASCII = "NonAscii"
    TOO_LONG = "TooLong"
    MARKER = "Marker"
    DUPLICATE = "Duplicate"
    EMPTY_RANGE = "EmptyRange"
    ALIAS = "Alias"
    TAG = "Tag"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One declared package that intake will not take.

    Attributes
    ----------
    field
        Where it stands, as a JSONPath below ``spec``, e.g. ``packages.python[2]``.
    text
        What was written, shortened and with control characters escaped, safe to print.
    code
        Which rule it breaks.
    message
        The rule in words, naming the text.
    fix
        What to write instead.
    """

    field: str
    text: str
    code: RefusalCode
    message: str
    fix: str
