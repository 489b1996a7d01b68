"""What can keep a closure from being locked: each kind asks something else of the reader."""

from __future__ import annotations

from ..domain.errors import InvalidInputError, SkillwardenError, UnavailableError


class UnresolvableError(InvalidInputError):
    """No set of versions satisfies what is declared; only another declaration helps."""


class SourceOnlyError(InvalidInputError):
    """Packages exist only as source for the target, and building them would run their code.

    Attributes
    ----------
    packages
        Normalised names, sorted.
    """

    def __init__(self, message: str, *, packages: tuple[str, ...], fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.packages = packages


class IndexUnavailableError(UnavailableError):
    """The index does not answer, or not as an index does."""


class ResolverFailedError(UnavailableError):
    """The resolver broke: killed, out of memory, or its answer cannot be read. Worth another try."""


class ResolverDeadlineError(ResolverFailedError):
    """The resolver was ended at its deadline. Another try gets further, from what is cached by then."""


class ForbiddenHostError(SkillwardenError):
    """The index sends us to a host that the settings do not allow."""
