"""Resolving a skill's whole closure: Python's and npm's packages, each by its own tool, into one lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from ..domain.errors import UnsupportedRuntimeError
from ..domain.lock import Lock, Platform
from ..domain.package import DeclaredPackage, Ecosystem
from ..domain.pins import Pins
from .npm import NpmResolver
from .python import PythonResolver, VersionsCallback


class ClosureResolver:
    """Resolves declared packages of every ecosystem.

    Parameters
    ----------
    python, npm
        Who resolves which.
    """

    def __init__(self, *, python: PythonResolver, npm: NpmResolver) -> None:
        self._python, self._npm = python, npm

    @property
    def index_identity(self) -> str:
        """The indexes without credentials, part of the key under which a lock is kept."""
        python, npm = self._python.index_identity, self._npm.index_identity
        # A lock without npm packages stays the same whatever the registry is called.
        return python if npm == "default" else f"{python} {npm}"

    async def resolve(
        self,
        declared: Sequence[DeclaredPackage],
        *,
        platform: Platform,
        preference: Lock | None = None,
        pins: Pins | None = None,
        on_versions: VersionsCallback = lambda _: None,
    ) -> Lock:
        """Return one lock of all; the first ecosystem that cannot be resolved raises, and ends the other.

        ``on_versions`` is told the versions of Python's packages as soon as they are known.

        Raises
        ------
        SkillwardenError
            As ``PythonResolver.resolve`` and ``NpmResolver.resolve``.
        """
        parts: dict[Ecosystem, list[DeclaredPackage]] = {}
        for item in declared:
            parts.setdefault(item.ecosystem, []).append(item)
        for ecosystem, language in ((Ecosystem.PYPI, platform.python), (Ecosystem.NPM, platform.node)):
            if ecosystem in parts and not language:
                raise UnsupportedRuntimeError(
                    f"the skill declares packages of {ecosystem.value}, and {platform} has no"
                    f" interpreter for them."
                )
        resolvers: Mapping[Ecosystem, Callable[..., Coroutine[Any, Any, Lock]]] = {
            Ecosystem.PYPI: partial(self._python.resolve, on_versions=on_versions),
            Ecosystem.NPM: partial(self._npm.resolve, pins=pins),
        }
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(resolvers[ecosystem](items, platform=platform, preference=preference))
                    for ecosystem, items in sorted(parts.items())
                ]
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        return Lock(platform, tuple(package for task in running for package in task.result().packages))
