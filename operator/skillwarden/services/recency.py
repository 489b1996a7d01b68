"""Which of two observations of an object is the later one: lists and watches overtake each other.

Resource versions are ordered within one resource of one API server (KEP-5504). Where they are no numbers,
nobody can tell, and an observation is taken as it comes.
"""

from __future__ import annotations

from typing import Any

from .ports import Body


def version_of(body: Body) -> str:
    """Return an object's resource version, or ``""``."""
    return str(body["metadata"].get("resourceVersion", ""))


def recorded_version(record: Any) -> str:
    """Return the resource version that a record was made of, or ``""``."""
    return str(getattr(record, "resource_version", ""))


def is_of(record: Any, body: Body) -> bool:
    """Whether a record is of this very object, and not of another one of its name."""
    holder = getattr(record, "key", None) or getattr(record, "pod", record)
    return bool(getattr(holder, "uid", None) == body["metadata"].get("uid"))


def holds(record: Any, body: Body) -> bool:
    """Whether a record knows this very version of its object, or a later one: nothing is new in it."""
    version, recorded = version_of(body), recorded_version(record)
    return is_of(record, body) and bool(version) and (version == recorded or at_most(version, recorded))


def earlier(version: str, record: Any) -> bool:
    """Whether a version is an earlier one than that of a record, whichever object of its name it is of."""
    recorded = recorded_version(record)
    return version != recorded and at_most(version, recorded)


def recorded_after(record: Any, version: str) -> bool:
    """Whether a record was made of a later version than this; where nobody can tell, it was."""
    recorded = recorded_version(record)
    return bool(recorded) and not at_most(recorded, version)


def at_most(version: str, other: str) -> bool:
    """Whether a version is the other one, or an earlier one; where nobody can tell, it is not."""
    return version.isdecimal() and other.isdecimal() and int(version) <= int(other)
