"""Since when an index has the projects of a lock: what somebody who asked it found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .package import PackageId


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """When an index received the first file of each project that a lock has packages of.

    Attributes
    ----------
    known
        The time (UTC) by package; ``None``: the index answered, and does not tell.
    unanswered
        Why there is no answer, by package. Each of them may be answered when it is asked again.
    """

    known: Mapping[PackageId, datetime | None]
    unanswered: Mapping[PackageId, str]
