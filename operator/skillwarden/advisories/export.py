"""The index as OSV's own dumps, so that operators sync from one server of the cluster as from OSV itself.

A dump is made from the index and not kept from the download: what is served is then what was verified,
whatever the source was (a folder, too), and whoever syncs from it gets the same revision.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from .dumps import ARCHIVE_NAME
from .index import AdvisoryIndex

_NEW = ".new-"
#: zip's earliest time: a dump says what it holds, not when it was packed.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Exports:
    """Dumps by revision, in a folder.

    Parameters
    ----------
    folder
        Where they are kept; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = asyncio.Lock()

    async def of(self, index: AdvisoryIndex) -> Path:
        """Return the folder with an index's dumps, made where there are none yet.

        Raises
        ------
        CorruptIndexError
            Where the index turns out unreadable.
        OSError
            Where the folder cannot be written.
        """
        target = self._folder / index.revision.removeprefix("sha256:")
        async with self._lock:
            if not await asyncio.to_thread(target.is_dir):
                await asyncio.to_thread(self._make, index, target)
        return target

    def _make(self, index: AdvisoryIndex, target: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(f"{_NEW}*"):
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._folder))
        try:
            export(index, new)
            new.replace(target)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        # The one before it may be on its way to somebody still.
        for old in sorted(self._folder.iterdir(), key=lambda item: item.stat().st_mtime_ns)[:-2]:
            shutil.rmtree(old, ignore_errors=True)


def export(index: AdvisoryIndex, into: Path) -> None:
    """Write ``ECOSYSTEM/all.zip`` for every ecosystem of an index, one record at a time."""
    for ecosystem in index.counts():
        archive_path = into / ecosystem.value / ARCHIVE_NAME
        archive_path.parent.mkdir()
        seen: Counter[str] = Counter()
        with zipfile.ZipFile(archive_path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for identity, raw in index.records(ecosystem):
                name = _UNSAFE.sub("_", identity)
                seen[name] += 1
                again = f".{seen[name]}" if seen[name] > 1 else ""
                entry = zipfile.ZipInfo(f"{name}{again}.json", _NO_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, raw)
