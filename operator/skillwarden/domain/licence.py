"""SPDX licence expressions: whether everything that one lets a user choose is denied."""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from .glob import glob_matches

#: What SPDX calls a licence of which nothing is known.
UNKNOWN = "NOASSERTION"
_TOKEN = re.compile(r"[()]|[^\s()]+")
#: Longer ones are no expression that a person wrote; it also bounds how deeply they nest.
_MAX_LENGTH = 500


def canonical(expression: str) -> str | None:
    """Return an SPDX expression in its canonical spelling, or ``None`` where it is none."""
    if len(expression) > _MAX_LENGTH:
        return None
    try:
        return str(canonicalize_license_expression(expression))
    except (InvalidLicenseExpression, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=4096)
def denied_licences(expression: str, denied: tuple[str, ...]) -> tuple[str, ...]:
    """Return the denied licences that a canonical expression does not leave a way around, sorted.

    Of ``A OR B`` the user may choose, so both must be denied; of ``A AND B`` one is enough. An exception
    (``A WITH B``) is denied with ``A``.

    Parameters
    ----------
    expression
        In the form that ``canonical`` returns.
    denied
        SPDX identifiers; ``*`` stands for any run of characters.
    """
    patterns = tuple(pattern.lower() for pattern in denied)
    return tuple(sorted(_Expression(expression, patterns).value()))


class _Expression:
    """A canonical expression, read once from left to right; ``AND`` binds more tightly than ``OR`` (SPDX).

    Its value is the set of denied licences that cannot be avoided; empty: there is a way without any.
    """

    def __init__(self, text: str, denied: tuple[str, ...]) -> None:
        self._tokens = _TOKEN.findall(text)
        self._place = 0
        self._denied = denied

    def value(self) -> frozenset[str]:
        found = [self._all()]
        while self._next("OR"):
            found.append(self._all())
        return frozenset().union(*found) if all(found) else frozenset()

    def _all(self) -> frozenset[str]:
        found = self._one()
        while self._next("AND"):
            found |= self._one()
        return found

    def _one(self) -> frozenset[str]:
        if self._next("("):
            found = self.value()
            self._next(")")
            return found
        name = self._take()
        if self._next("WITH"):
            self._take()
        # The old spelling GPL-2.0+ is of GPL-2.0.
        spellings = {name.lower(), name.lower().rstrip("+")}
        hit = any(glob_matches(pattern, spelling) for pattern in self._denied for spelling in spellings)
        return frozenset({name}) if hit else frozenset()

    def _next(self, token: str) -> bool:
        if self._place < len(self._tokens) and self._tokens[self._place] == token:
            self._place += 1
            return True
        return False

    def _take(self) -> str:
        token: str = self._tokens[self._place]
        self._place += 1
        return token
