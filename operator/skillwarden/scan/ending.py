"""How a tool that a scanner ran came to an end which is no answer, and what would mend it."""

from __future__ import annotations

from ..advisories.record import one_line
from ..bounded import MORE_MEMORY, Finished, speaks_of_memory

#: Of what a tool said: what would mend it comes after, and must not be cut off where the message is shown.
_SHOWN = 50


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
