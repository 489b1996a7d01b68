"""What the failure of a slow stage means for a skill, and whether it is tried again."""

from __future__ import annotations

from ..domain.assess import Failure
from ..domain.conditions import ResolvedReason, SandboxReason
from ..domain.errors import IntegrityError, SkillwardenError, UnavailableError
from ..resolve.errors import SourceOnlyError


class RepairNeededError(SkillwardenError):
    """Somebody must mend something first; asked again now and then, for nobody says when it is done."""


def resolution_failure(error: Exception) -> Failure:
    """Tell the ways in which a resolution fails apart; only what did not answer is retried."""
    match error:
        case SourceOnlyError():
            return Failure(ResolvedReason.SOURCE_ONLY, error.message, error.fix)
        case UnavailableError():
            return Failure(ResolvedReason.RESOLVER_UNAVAILABLE, error.message, error.fix, retryable=True)
        case SkillwardenError():
            return Failure(ResolvedReason.UNRESOLVABLE, error.message, error.fix)
        case _:
            text = f"The resolver broke ({type(error).__name__}); the operator's log says more."
            return Failure(ResolvedReason.RESOLVER_UNAVAILABLE, text, retryable=True)


def fetch_failure(error: Exception) -> Failure:
    """Tell bytes that are not the lock's from what did not answer."""
    match error:
        case IntegrityError():
            return Failure(SandboxReason.INSTALL_FAILED, error.message, error.fix)
        case SkillwardenError():
            return Failure(SandboxReason.STARTING, error.message, error.fix, retryable=True)
        case _:
            text = f"The artefacts cannot be brought to the depot ({type(error).__name__})."
            return Failure(SandboxReason.STARTING, text, retryable=True)


def scan_failure(error: Exception) -> Failure:
    """Say that a scanner failed: its report has the reason."""
    return Failure("ScannerError", str(error), retryable=True)
