"""What an artefact says of itself when it is read: code that would run by itself, and its licence.

Facts, no judgement: policies rule on the findings that scanners make of them. They are read from the bytes
that the lock names, never from what an index says of a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .finding import Severity
from .package import PackageId

#: Raised whenever the same bytes would give other facts: what an older release remembers is read anew.
FACTS_VERSION = 5


@dataclass(frozen=True, slots=True, order=True)
class Hook:
    """Code of a package that runs without anybody calling it: at install, or when an interpreter starts.

    Attributes
    ----------
    id
        Which hook, e.g. ``postinstall`` or ``pth:evil.pth``: its identity for approvals.
    text
        Its text, or what is known of it, on one line and shortened.
    severity
        How grave the gravest is that was found in what it runs; Unknown: nothing was.
    does
        What was found there, or why nobody could look, on one line and shortened.
    """

    id: str
    text: str
    severity: Severity = Severity.UNKNOWN
    does: str = ""


@dataclass(frozen=True, slots=True)
class ArtefactFacts:
    """What is known of one package from its artefact.

    Attributes
    ----------
    hooks
        Sorted.
    licence
        SPDX expression in its canonical form; ``""``: none that can be read.
    licence_text
        What the package said, shortened, where that is no SPDX expression.
    """

    hooks: tuple[Hook, ...] = ()
    licence: str = ""
    licence_text: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; ``from_json`` reads it."""
        return {
            "hooks": [[hook.id, hook.text] for hook in self.hooks],
            # Beside them: an operator of the release before reads the pairs alone.
            "looks": {hook.id: [hook.severity.value, hook.does] for hook in self.hooks if hook.does},
            "licence": self.licence,
            "licenceText": self.licence_text,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ArtefactFacts:
        """Read a record.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where the record is not one of ours.
        """
        looks = {
            str(id_): (Severity(severity), str(does))
            for id_, (severity, does) in record.get("looks", {}).items()
        }
        return cls(
            hooks=tuple(
                sorted(
                    Hook(str(id_), str(text), *looks.get(str(id_), (Severity.UNKNOWN, "")))
                    for id_, text in record["hooks"]
                )
            ),
            licence=str(record["licence"]),
            licence_text=str(record["licenceText"]),
        )


@dataclass(frozen=True, slots=True, order=True)
class MissingArtefact:
    """An artefact that could not be had, or not be read.

    Attributes
    ----------
    package
        Whose.
    message
        What went wrong and what would help.
    retryable
        Whether another try, with nothing else changed, may end otherwise.
    """

    package: PackageId
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class LockFacts:
    """What is known of a lock's artefacts.

    Attributes
    ----------
    known
        By package.
    unread
        The others, sorted.
    """

    known: Mapping[PackageId, ArtefactFacts]
    unread: tuple[MissingArtefact, ...] = ()
