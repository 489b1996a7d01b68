"""What is wrong with a skill's folder, and what its author should know: each with file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ..domain.errors import InvalidInputError


class Level(StrEnum):
    """How much an entry stands in the way."""

    ERROR = "error"
    PROPOSAL = "proposal"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to say about a folder.

    Attributes
    ----------
    level
        An error leaves no manifest; a proposal is for the author to take; a note is for information.
    file, line
        Where: path below the folder, and line from 1, or ``None`` for the file as a whole.
    message, fix
        What, and what to do about it.
    code
        The rule that a package entry breaks (``RefusalCode``); empty for anything else.
    """

    level: Level
    file: str
    line: int | None
    message: str
    fix: str = ""
    code: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.level.value}: {self.message} {self.fix}".rstrip()


@dataclass(slots=True)
class Remarks:
    """What was remarked so far, in order."""

    items: list[Remark] = field(default_factory=list)

    def error(self, file: str, line: int | None, message: str, fix: str = "", *, code: str = "") -> None:
        """Remark what stands in the way."""
        self.items.append(Remark(Level.ERROR, file, line, message, fix, code))

    def note(self, file: str, line: int | None, message: str, fix: str = "") -> None:
        """Remark what is worth knowing."""
        self.items.append(Remark(Level.NOTE, file, line, message, fix))

    def propose(self, file: str, line: int | None, message: str, fix: str = "") -> None:
        """Remark what the author may have forgotten."""
        self.items.append(Remark(Level.PROPOSAL, file, line, message, fix))

    @property
    def errors(self) -> tuple[Remark, ...]:
        """What stands in the way."""
        return tuple(item for item in self.items if item.level is Level.ERROR)


class FolderError(InvalidInputError):
    """A folder cannot become a Skill; ``remarks`` holds every reason."""

    def __init__(self, remarks: Iterable[Remark]) -> None:
        self.remarks = tuple(remarks)
        errors = [item for item in self.remarks if item.level is Level.ERROR]
        more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}" if errors else "the folder cannot become a Skill.")
