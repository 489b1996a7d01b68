"""What a lock's artefacts say of themselves: read once each from verified bytes, and remembered by digest."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ..artefact.read import ArtefactFile, Folders, Unreadable, read_artefacts
from ..domain.artefact_facts import ArtefactFacts, LockFacts, MissingArtefact
from ..domain.lock import Lock, LockedPackage
from ..domain.package import PackageId
from .fetch import Fetcher
from .store import DepotStore


class Inspector:
    """Reads what the store holds, and has fetched what it lacks.

    Parameters
    ----------
    store, fetcher
        Where artefacts are, and who brings them.
    """

    def __init__(self, store: DepotStore, fetcher: Fetcher) -> None:
        self._store = store
        self._fetcher = fetcher
        # One at a time: its processes use a core each, and sandboxes are served beside them.
        self._turn = asyncio.Semaphore(1)

    async def inspect(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockFacts:
        """Return what is known of each package; what cannot be had or read is among ``unread``."""
        report = await self._fetcher.fetch(lock, allowed_hosts)
        unread = {item.package: item for item in report.missing}
        there = [package for package in lock.packages if package.id not in unread]
        folders = await self._folders(there)
        known: dict[PackageId, ArtefactFacts] = {}
        for package in there:
            match _facts_of(package, folders[package.artefact.digest], lock):
                case ArtefactFacts() as facts:
                    known[package.id] = facts
                case Unreadable(reason):
                    message = f"{package.artefact.filename}: {reason}."
                    unread[package.id] = MissingArtefact(package.id, message, retryable=False)
        return LockFacts(known=known, unread=tuple(sorted(unread.values())))

    async def _folders(self, packages: Collection[LockedPackage]) -> dict[str, Folders | Unreadable]:
        """Return what each artefact says, by digest; what nobody has read yet is read."""
        async with self._turn:
            digests = dict.fromkeys(package.artefact.digest for package in packages)
            found: dict[str, Folders | Unreadable] = {}
            for digest in digests:
                known = await asyncio.to_thread(self._store.get_facts, digest)
                if known is not None:
                    found[digest] = known
            owners = {
                p.artefact.digest: p for p in packages if not p.bundled and p.artefact.digest not in found
            }
            files = [
                ArtefactFile(package.id.ecosystem, package.id.name, self._store.artefact_path(digest))
                for digest, package in owners.items()
            ]
            for digest, answer in zip(owners, await read_artefacts(files), strict=True):
                found[digest] = answer
                if not isinstance(answer, Unreadable):
                    await asyncio.to_thread(self._store.put_facts, digest, answer)
        lost = Unreadable("the package that it lies in is not in the lock")
        return {digest: found.get(digest, lost) for digest in digests}


def _facts_of(
    package: LockedPackage, folders: Folders | Unreadable, lock: Lock
) -> ArtefactFacts | Unreadable:
    if isinstance(folders, Unreadable):
        return folders
    if not package.bundled:
        return folders[""]
    holders = [other for other in lock.packages if other.artefact == package.artefact and not other.bundled]
    places = {
        place.removeprefix(f"{outer}/")
        for holder in holders
        for outer in holder.locations
        for place in package.locations
        if place.startswith(f"{outer}/")
    }
    found = [folders[place] for place in sorted(places) if place in folders]
    if not found:
        return Unreadable(f"the bundled package {package.id} is not in it")
    hooks = sorted({hook for facts in found for hook in facts.hooks})
    return ArtefactFacts(tuple(hooks), found[0].licence, found[0].licence_text)
