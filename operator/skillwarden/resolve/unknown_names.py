"""Names that the index does not have: what a user is told, since it may be more than a slip of the pen.

A language model that makes a package's name up makes the same one up for others, and whoever registers it
then decides what all of them install (slopsquatting). So the advice is never to wait until it exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SHOWN = 5
#: npm: ``404  The requested resource 'NAME@RANGE' could not be found``; older: ``is not in this registry``.
_NOT_IN_REGISTRY = re.compile(
    r"404 [^'\n]*'((?:@[\w.~-]{1,100}/)?[\w.~-]{1,214})@[^'\n]*' (?:could not|is not)"
)
UNKNOWN_NAME_FIX = (
    "Look the name up where the project itself gives it, and declare that; a name that a language model gave"
    " must not be taken on trust, even where it exists later on."
)


def names_not_in_registry(stderr: str) -> tuple[str, ...]:
    """Return the names that npm did not find, in its order."""
    return tuple(dict.fromkeys(_NOT_IN_REGISTRY.findall(stderr)))


def say_unknown(names: Sequence[str], *, declared: Iterable[str]) -> str:
    """Return a sentence about names that the index does not have, without its full stop.

    Parameters
    ----------
    names
        What it does not have.
    declared
        What the skill declares; the others are packages that something of the closure asks for.
    """
    own = frozenset(declared)
    shown = [name if name in own else f"{name} (asked for by a dependency)" for name in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"the index has no package called {', '.join(shown)}{more}, or does not show it to us; it may be a"
        " name that a language model made up, which anybody can register (slopsquatting)"
    )
