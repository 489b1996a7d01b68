"""What keeps a skill from being judged at all: no verdict of a policy, but something that must be mended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend.

    Attributes
    ----------
    reason
        Of the condition that the skill would have in a cluster, e.g. ``InvalidPackage``.
    message
        What is wrong, and where.
    fix
        What to do about it; may be empty.
    field
        Below ``spec``, e.g. ``packages.python[0]``; empty where it is about no single field.
    code
        The rule that a package entry breaks (``RefusalCode``); empty for anything else.
    file, line
        Where in a skill's folder it is; empty and ``None``: in the manifest, or nowhere in particular.
    definite
        Whether the skill is at fault, so that it stays as it is until somebody changes it.
    """

    reason: str
    message: str
    fix: str = ""
    field: str = ""
    code: str = ""
    file: str = ""
    line: int | None = None
    definite: bool = True

    def to_json(self) -> dict[str, str | int | None]:
        """Return a JSON-ready record."""
        return {
            "reason": self.reason,
            "field": self.field,
            "code": self.code,
            "file": self.file,
            "line": self.line,
            "message": self.message,
            "fix": self.fix,
        }
