"""Honouring the lockfile that an author's package manager wrote: its versions, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from ..domain.lock import LockedPackage
from ..domain.package import DeclaredPackage, Ecosystem
from ..domain.pins import Pins
from ..domain.skill import NodeManager, SourceFile
from .errors import UnresolvableError
from .lockfile_graph import Graph, LockfileError, pins_of
from .lockfile_npm import read_package_lock
from .lockfile_pnpm import read_pnpm
from .lockfile_yarn import read_yarn

LOCKFILES: Mapping[NodeManager, tuple[str, Callable[[str], Graph]]] = {
    NodeManager.NPM: ("package-lock.json", read_package_lock),
    NodeManager.YARN: ("yarn.lock", read_yarn),
    NodeManager.PNPM: ("pnpm-lock.yaml", read_pnpm),
}


def read_pins(
    files: Sequence[SourceFile], *, manager: NodeManager, declared: Sequence[DeclaredPackage]
) -> Pins | None:
    """Return what the lockfile among a skill's files pins, or ``None`` where it has none.

    Parameters
    ----------
    files
        The skill's.
    manager
        Whose lockfile counts.
    declared
        What intake took; of other ecosystems nothing is looked at.

    Raises
    ------
    LockfileError
        Where there is a lockfile that cannot be honoured, or only another manager's.
    """
    packages = tuple(sorted(item for item in declared if item.ecosystem is Ecosystem.NPM))
    if not packages:
        return None
    there = {file.path: file.content for file in files}
    name, _ = LOCKFILES[manager]
    if name in there:
        return _read(manager, there[name], packages)
    for other, (foreign, _) in LOCKFILES.items():
        if foreign in there:
            raise LockfileError(
                foreign,
                f"it is {other.value}'s, and spec.packages.node.manager is {manager.value}.",
                fix=f"Write manager: {other.value}, or remove the file.",
            )
    return None


@lru_cache(maxsize=64)
def _read(manager: NodeManager, content: bytes, declared: tuple[DeclaredPackage, ...]) -> Pins:
    name, read = LOCKFILES[manager]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LockfileError(name, "it is not UTF-8 text.") from error
    return pins_of(read(text), declared)


def check_pinned(packages: Sequence[LockedPackage], pins: Pins) -> None:
    """Refuse a closure that is not what a lockfile pins.

    Raises
    ------
    UnresolvableError
        Where it holds a version that the lockfile does not, or other bytes of one.
    """
    versions = pins.versions
    digests = {(package.name, package.version): package.digest for package in pins.packages}
    for package in packages:
        if package.bundled:
            continue
        name, version = package.id.name, package.id.version
        if (name, version) not in digests:
            parents = ", ".join(str(parent) for parent in package.parents[:3]) or "the skill"
            held = f"holds {', '.join(versions[name])} of it" if name in versions else "does not hold it"
            raise UnresolvableError(
                f"{parents} needs {package.id} here, and {pins.file} {held}.",
                fix=f"Declare {name} with the version that is meant, lock anew, or remove {pins.file}.",
            )
        if digests[name, version] not in {"", package.artefact.digest}:
            raise UnresolvableError(
                f"the registry gives other bytes for {package.id} than {pins.file} says.",
                fix="Find out which are the right ones; then lock anew against this registry.",
            )
