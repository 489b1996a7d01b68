"""How bad an advisory is: CVSS vectors first, then the database's own word, else Unknown."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import cvss
from cvss.exceptions import CVSSError

from skillwarden.domain.finding import Severity

_library: Any = cvss  # it has no types

_RANK = {
    Severity.UNKNOWN: 0,
    Severity.LOW: 1,
    Severity.MEDIUM: 2,
    Severity.HIGH: 3,
    Severity.CRITICAL: 4,
}
#: A score of 0.0 is "None" in CVSS; an advisory exists all the same, so it is Low.
_WORDS = {
    "none": Severity.LOW,
    "low": Severity.LOW,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "critical": Severity.CRITICAL,
}
_MAX_VECTOR = 1000


def highest(severities: Iterable[Severity]) -> Severity:
    """Return the worst of the known severities; Unknown only where none is known."""
    return max(severities, key=lambda severity: _RANK[severity], default=Severity.UNKNOWN)


@functools.lru_cache(maxsize=4096)
def severity_of_vector(kind: str, vector: str) -> Severity:
    """Return the band of a CVSS v3 or v4 vector; Unknown where it cannot be read."""
    if len(vector) > _MAX_VECTOR:
        return Severity.UNKNOWN
    try:
        match kind:
            case "CVSS_V3":
                band = _library.CVSS3(vector).severities()[0]
            case "CVSS_V4":
                band = _library.CVSS4(vector).severity
            case _:
                return Severity.UNKNOWN
        return _WORDS[band.lower()]
    except (CVSSError, KeyError, ValueError, ArithmeticError):
        return Severity.UNKNOWN


def severity_of(*levels: Mapping[str, Any]) -> Severity:
    """Return the worst severity that any level of a record states.

    Parameters
    ----------
    levels
        The record and its affected entry, as OSV JSON. Vectors count before words: a word is often a
        rounded copy of another database's vector.
    """
    vectors = [
        severity_of_vector(item["type"], item["score"])
        for level in levels
        for item in _as_list(level.get("severity"))
        if isinstance(item, dict) and isinstance(item.get("type"), str) and isinstance(item.get("score"), str)
    ]
    known = highest(vectors)
    if known is not Severity.UNKNOWN:
        return known
    return highest(
        _WORDS.get(word.strip().lower(), Severity.UNKNOWN)
        for level in levels
        for key in ("database_specific", "ecosystem_specific")
        if isinstance(place := level.get(key), dict) and isinstance(word := place.get("severity"), str)
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
