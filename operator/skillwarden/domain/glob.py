"""Name patterns of policies: ``*`` stands for any run of characters, and nothing else is special.

Not ``fnmatch``: it goes through a regular expression, in which a pattern of many stars takes
exponential time on a hostile name, and ``[`` and ``?`` would mean something that no policy says.
"""

from __future__ import annotations

STAR = "*"


def is_glob(pattern: str) -> bool:
    """Whether a pattern is more than one exact name."""
    return STAR in pattern


def literal_prefix(pattern: str) -> str:
    """Return what every name that matches begins with."""
    return pattern.partition(STAR)[0]


def glob_matches(pattern: str, name: str) -> bool:
    """Whether the whole of ``name`` matches; time linear in the name for each run between two stars.

    The leftmost place for each run is always good enough, so there is nothing to go back to.
    """
    head, *runs = pattern.split(STAR)
    if not runs:
        return pattern == name
    tail = runs.pop()
    end = len(name) - len(tail)
    if end < len(head) or not name.startswith(head) or not name.endswith(tail):
        return False
    at = len(head)
    for run in runs:
        found = name.find(run, at, end)
        if found < 0:
            return False
        at = found + len(run)
    return True
