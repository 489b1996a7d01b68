"""How a scanner came to an end which is no answer, and what would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..advisories.record import one_line
from ..bounded import MORE_MEMORY, Finished, speaks_of_memory
from ..domain.artefact_facts import MissingArtefact
from ..domain.finding import ScannerName, ScannerReport
from ..domain.package import PackageId
from .protocol import failed

#: Of what a tool said: what would mend it comes after, and must not be cut off where the message is shown.
_SHOWN = 50
_SHOWN_PACKAGES = 3


def ended(tool: str, finished: Finished, why: str, *, said: str) -> str:
    """Return one sentence for a report's error, and what to do.

    Parameters
    ----------
    tool
        As its users call it.
    finished
        How it ended.
    why
        Why that is no answer.
    said
        The line of its output that tells most; may be empty.
    """
    words = f"; it said: {one_line(said)[:_SHOWN]}" if said else ""
    remedy = f"check that the {tool} of the operator's image is whole and unchanged"
    if finished.status < 0 or speaks_of_memory(finished.stderr):
        remedy = f"it needs more memory: {MORE_MEMORY}"
    how = f"{tool} ended with exit code {finished.status} and {why}{words}"
    return f"{how}. It is tried again; if this stays, {remedy}"


def unread(
    scanner: ScannerName, missing: Sequence[MissingArtefact], *, audited: Iterable[PackageId]
) -> ScannerReport:
    """Return the report of a scanner that could not look at some artefacts."""
    shown = "; ".join(f"{item.package}: {item.message}" for item in missing[:_SHOWN_PACKAGES])
    more = f" and {len(missing) - _SHOWN_PACKAGES} more" if len(missing) > _SHOWN_PACKAGES else ""
    return failed(
        scanner,
        f"{len(missing)} artefact(s) could not be read: {shown}{more}",
        audited=audited,
        retryable=any(item.retryable for item in missing),
    )
