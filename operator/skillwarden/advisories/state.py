"""What is known of the last successful sync, beside the index: when, from where, of which revision.

It is a file of its own because a sync that finds nothing new only moves the time. It counts for nothing
unless it names the revision of the index that it lies beside, so a crash between the two files leaves an
index of unknown age, never one that looks younger than it is.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .record import read_time

STATE_NAME = "sync.json"


@dataclass(frozen=True, slots=True)
class SyncState:
    """The last successful sync.

    Attributes
    ----------
    revision
        Of the index that it made or found unchanged.
    synced_at
        When it ended (UTC).
    source
        Where the records came from, without credentials.
    etags
        For a URL source: ecosystem to the dump's ETag.
    unreadable
        Records that could not be read at all.
    """

    revision: str
    synced_at: datetime
    source: str = ""
    etags: tuple[tuple[str, str], ...] = ()
    unreadable: int = 0


def read_state(folder: Path) -> SyncState | None:
    """Return the state of the last sync; ``None`` where there is none that can be read."""
    try:
        record = json.loads((folder / STATE_NAME).read_bytes())
        synced_at = read_time(record["syncedAt"])
        if synced_at is None:
            return None
        return SyncState(
            revision=str(record["revision"]),
            synced_at=synced_at,
            source=str(record["source"]),
            etags=tuple((str(name), str(etag)) for name, etag in record["etags"]),
            unreadable=int(record["unreadable"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_state(folder: Path, state: SyncState) -> None:
    """Put the state in place at once, on the disk."""
    record = {
        "revision": state.revision,
        "syncedAt": state.synced_at.astimezone(UTC).isoformat(),
        "source": state.source,
        "etags": [list(pair) for pair in state.etags],
        "unreadable": state.unreadable,
    }
    new = folder / f".{STATE_NAME}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / STATE_NAME)
