"""Remembers since when projects are there, so that thousands of skills do not ask the index anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_TABLE = """
CREATE TABLE IF NOT EXISTS first_seen (
    project_url TEXT PRIMARY KEY, began TEXT NOT NULL, asked TEXT NOT NULL
) WITHOUT ROWID
"""
_WAIT_SECONDS = 5.0
_BATCH = 500
#: How far the index's clock and ours may lie apart.
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an index said once.

    Attributes
    ----------
    began
        When it received the project's first file (UTC).
    asked
        When it was asked (UTC).
    """

    began: datetime
    asked: datetime

    def covers(self, uploaded: datetime | None) -> bool:
        """Whether it still holds for a file of the project that was uploaded then.

        A project that is deleted and registered by somebody else begins anew, and has only files that came
        later than anything that was said before.
        """
        return uploaded is not None and uploaded + _CLOCK_SKEW <= self.asked


class FirstSeenMemory:
    """A file of answers; what is damaged or cannot be written is asked again.

    Parameters
    ----------
    path
        The file; made where it is absent. Several processes may share it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, urls: Collection[str]) -> Mapping[str, Remembered]:
        """Return what is remembered, by the address of the project's page; blocks."""
        return self._with_table(lambda table: _recall(table, sorted(urls))) or {}

    def keep(self, url: str, what: Remembered) -> None:
        """Remember an answer; blocks."""
        row = (url, what.began.isoformat(), what.asked.isoformat())
        self._with_table(
            lambda table: table.execute("INSERT OR REPLACE INTO first_seen VALUES (?, ?, ?)", row)
        )

    def _with_table(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_WAIT_SECONDS)) as table, table:
                table.execute(_TABLE)
                return use(table)
        except (sqlite3.OperationalError, OSError):
            return None  # locked, or no room: it is asked again
        except (sqlite3.DatabaseError, ValueError, TypeError):
            self._path.unlink(missing_ok=True)  # damaged: begun anew
            return None


def _recall(table: sqlite3.Connection, urls: Sequence[str]) -> Mapping[str, Remembered]:
    found: dict[str, Remembered] = {}
    for start in range(0, len(urls), _BATCH):
        batch = urls[start : start + _BATCH]
        marks = ",".join("?" * len(batch))
        query = f"SELECT project_url, began, asked FROM first_seen WHERE project_url IN ({marks})"  # noqa: S608 - question marks only
        for url, began, asked in table.execute(query, batch):
            found[url] = Remembered(datetime.fromisoformat(began), datetime.fromisoformat(asked))
    return found
