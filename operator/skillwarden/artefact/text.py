"""Text from strangers, for one line of a report."""

from __future__ import annotations

_MAX = 200


def shortened(text: str) -> str:
    """Return a text on one line, without what a terminal or a reader would take for something else."""
    words = " ".join(text.split())
    safe = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words[: _MAX + 1]
    )
    return safe if len(words) <= _MAX else safe[:_MAX] + "\N{HORIZONTAL ELLIPSIS}"
