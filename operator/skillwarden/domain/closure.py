"""The graph of a lock: who pulls in whom, computed once a lock and kept as long as the lock lives."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from .finding import ScannerName, looks_at
from .lock import Lock, LockedPackage
from .package import PackageId

if TYPE_CHECKING:
    from .policy import Policy
    from .policy_index import Opinions


class Node:
    """One package of a closure, with what judging it needs at hand.

    Attributes
    ----------
    position
        Its place in ``Closure.nodes``.
    package
        The locked package.
    key
        Identity and whether it is declared, as one string: strings keep their hash.
    """

    __slots__ = ("key", "package", "position")

    def __init__(self, position: int, package: LockedPackage) -> None:
        identity = package.id
        self.position = position
        self.package = package
        self.key = "\0".join(
            (identity.ecosystem.value, identity.name, identity.version, "1" if package.direct else "0")
        )


class Closure:
    """The packages of a lock as a graph.

    Attributes
    ----------
    nodes
        In the lock's order.
    ids
        The packages.
    children
        For each node the positions of what it requires.
    opinions
        What each policy says of each node; ``policy_index`` keeps it here, so that it goes with the lock.
    """

    def __init__(self, lock: Lock) -> None:
        self.nodes = tuple(Node(position, package) for position, package in enumerate(lock.packages))
        self.ids: frozenset[PackageId] = frozenset(package.id for package in lock.packages)
        self.opinions: weakref.WeakKeyDictionary[Policy, Opinions] = weakref.WeakKeyDictionary()
        self.children = lock.children

    @cached_property
    def by_id(self) -> dict[PackageId, Node]:
        """Look a node up by identity."""
        return {node.package.id: node for node in self.nodes}

    @cached_property
    def by_artefact(self) -> dict[str, list[Node]]:
        """Look nodes up by their artefact's digest."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.package.artefact.digest, []).append(node)
        return found

    def ids_for(self, scanner: ScannerName) -> frozenset[PackageId]:
        """Return what a scanner must have audited: no more and no less."""
        return frozenset(id_ for id_ in self.ids if looks_at(scanner, id_.ecosystem))

    def reach(self, starts: Iterable[int], *, without: frozenset[int] = frozenset()) -> set[int]:
        """Return the positions that can be reached from some, themselves included, never through others."""
        seen = {start for start in starts if start not in without}
        queue = list(seen)
        while queue:
            for child in self.children[queue.pop()]:
                if child not in seen and child not in without:
                    seen.add(child)
                    queue.append(child)
        return seen

    @cached_property
    def by_root(self) -> dict[PackageId, set[int]]:
        """For each declared package the positions of its closure, itself included.

        A package that nothing declared reaches (a lock that is wrong about its parents) stands for itself:
        it must not be lost where somebody looks for what waits for approval.
        """
        found = {node.package.id: self.reach([node.position]) for node in self.nodes if node.package.direct}
        reached = set().union(*found.values())
        for node in self.nodes:
            if node.position not in reached:
                found[node.package.id] = {node.position}
        return dict(sorted(found.items()))

    @cached_property
    def roots(self) -> tuple[tuple[str, ...], ...]:
        """For each node the names of the declared packages that pull it in, sorted."""
        found: list[list[str]] = [[] for _ in self.nodes]
        for root, positions in self.by_root.items():
            for position in positions:
                found[position].append(root.name)
        return tuple(tuple(names) for names in found)


#: By identity, since two equal locks are two objects and hashing one by value costs more than judging it.
_CLOSURES: dict[int, tuple[weakref.ref[Lock], Closure]] = {}


def closure_of(lock: Lock) -> Closure:
    """Return the graph of a lock; the same one for as long as the lock object lives."""
    place = id(lock)
    kept = _CLOSURES.get(place)
    if kept is not None and kept[0]() is lock:
        return kept[1]
    closure = Closure(lock)
    reference = weakref.ref(lock, lambda gone: _forget(place, gone))
    _CLOSURES[place] = (reference, closure)
    return closure


def _forget(place: int, gone: weakref.ref[Lock]) -> None:
    kept = _CLOSURES.get(place)
    if kept is not None and kept[0] is gone:
        del _CLOSURES[place]
