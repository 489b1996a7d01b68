"""The advisories as a long-running process sees them: the newest index, re-opened when a sync put one."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from skillwarden.domain.package import Ecosystem

from .errors import AdvisoryError
from .index import AdvisoryIndex
from .state import STATE_NAME
from .store import INDEX_NAME


class AdvisoryFeed:
    """Follows the folder that ``sync`` fills.

    Looking costs two ``stat`` calls. A file that cannot be opened is no index, and ``problem`` says why:
    scanners then end in an error, not in a pass.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: AdvisoryError | None = None
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] | None = None
        self._index: AdvisoryIndex | None = None

    def current(self) -> AdvisoryIndex | None:
        """Return the newest index, or ``None`` where there is none that can be read.

        An index that was handed out before goes on answering; it is closed with its last user.
        """
        with self._lock:
            seen = (_identity(self.path / INDEX_NAME), _identity(self.path / STATE_NAME))
            if seen != self._seen:
                self._seen = seen
                self._open()
            return self._index

    def _open(self) -> None:
        try:
            self._index = AdvisoryIndex.open(self.path)
            self.problem = None
        except AdvisoryError as error:
            self._index = None
            self.problem = error

    @property
    def revision(self) -> str:
        """The newest index's revision; ``""`` where there is none."""
        index = self.current()
        return index.revision if index else ""

    def revision_of(self, names: Iterable[tuple[Ecosystem, str]]) -> str:
        """Return the newest index's revision of some packages; ``""`` where none can be read."""
        index = self.current()
        if index is None:
            return ""
        try:
            return index.revision_of(names)
        except AdvisoryError as error:
            self.problem = error
            return ""

    @property
    def synced_at(self) -> datetime | None:
        """When the last successful sync ended (UTC); ``None`` where nobody knows."""
        index = self.current()
        return index.synced_at if index else None

    def age_seconds(self, now: datetime) -> float:
        """Return how long ago that was; infinitely long where nobody knows."""
        synced_at = self.synced_at
        return (now - synced_at).total_seconds() if synced_at else math.inf


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
