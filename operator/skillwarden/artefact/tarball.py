"""What is in an npm package: scripts that npm runs at install, and the licence, bundled packages included.

``prepare`` is not among them: npm runs it for folders and git repositories, never for what comes from a
registry (documentation of npm's scripts, life cycle operation order of ``npm install``).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.artefact_facts import ArtefactFacts, Hook
from ..source.commands import Place, Run, loaded_by, runs_of
from .archive import UnreadableArchiveError, peek_tarball, read_tarball
from .hooks import MAX_FILE_BYTES, looked_into
from .licences import of_npm
from .text import shortened

INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")
_MANIFEST = "package.json"
_GYP = "binding.gyp"
#: Commands whose output gyp takes: they run when the build is only prepared.
_GYP_COMMAND = re.compile(r"<!@?\(([^()\n]{1,2000}(?:\([^()\n]{0,500}\)[^()\n]{0,500}){0,8})\)")
_MAX_GYP_COMMANDS = 20
_MAX_LOADED = 64


def read_npm(path: Path) -> dict[str, ArtefactFacts]:
    """Return what a tarball says, by folder: ``""`` is the package, ``node_modules/b`` one that is bundled.

    Raises
    ------
    UnreadableArchiveError
        Where it is no npm package that can be read.
    """
    names, found = read_tarball(path, wanted=_is_manifest)
    if _MANIFEST not in found:
        raise UnreadableArchiveError("it holds no package.json")
    packages = []
    for place, data in found.items():
        folder = place.removesuffix(_MANIFEST).removesuffix("/")
        packages.append(_Package(folder, _parsed(data, place), names))
    gyps = peek_tarball(path, {gyp for package in packages if (gyp := package.gyp)}, limit=MAX_FILE_BYTES)
    plans = {package.folder: package.plan(gyps) for package in packages}
    files = {run.path for plan in plans.values() for runs in plan.values() for run in runs if run.path}
    contents = peek_tarball(path, files & names, limit=MAX_FILE_BYTES)
    plans = {package.folder: package.followed(plans[package.folder], contents) for package in packages}
    more = {run.path for plan in plans.values() for runs in plan.values() for run in runs} - contents.keys()
    contents |= peek_tarball(path, more & names, limit=MAX_FILE_BYTES)
    return {package.folder: package.facts(plans[package.folder], contents) for package in packages}


@dataclass(frozen=True, slots=True)
class _Package:
    """The package of a tarball, or one that is bundled in it."""

    folder: str
    manifest: Mapping[str, Any]
    names: frozenset[str]

    @property
    def scripts(self) -> dict[str, str]:
        scripts = self.manifest.get("scripts")
        return {name: str(text) for name, text in scripts.items()} if isinstance(scripts, dict) else {}

    @property
    def hooks(self) -> tuple[Hook, ...]:
        hooks = [Hook(name, shortened(text)) for name in INSTALL_SCRIPTS if (text := self._script(name))]
        if self._native and not {"install", "preinstall"} & self.scripts.keys():
            hooks.append(Hook("node-gyp", f"{_GYP} makes npm run node-gyp rebuild"))
        return tuple(sorted(hooks))

    @property
    def gyp(self) -> str | None:
        """Where the commands are that node-gyp runs, if it does."""
        asked = any("node-gyp" in (hook.id, *hook.text.split()) for hook in self.hooks)
        return self._gyp if asked and self._gyp in self.names else None

    def plan(self, gyps: Mapping[str, bytes | None]) -> dict[Hook, tuple[Run, ...]]:
        """Return what each hook runs."""
        main = self.manifest.get("main")
        place = Place(self.folder, self.names, self.scripts, main if isinstance(main, str) else "")
        built = (gyps.get(self.gyp) or b"").decode("utf-8", "replace") if self.gyp else ""
        return {hook: self._runs(hook, built, place) for hook in self.hooks}

    def followed(
        self, plan: Mapping[Hook, tuple[Run, ...]], contents: Mapping[str, bytes | None]
    ) -> dict[Hook, tuple[Run, ...]]:
        """Return a plan with the files that its JavaScript loads, one step far."""
        return {
            hook: tuple(dict.fromkeys([*runs, *self._loaded(runs, contents)])) for hook, runs in plan.items()
        }

    def _loaded(self, runs: Sequence[Run], contents: Mapping[str, bytes | None]) -> list[Run]:
        found: list[Run] = []
        for run in runs:
            if run.language == "javascript" and (data := contents.get(run.path)):
                beside = Place(posixpath.dirname(run.path), self.names, {})
                found += loaded_by(data.decode("utf-8", "replace"), beside)
        return found[:_MAX_LOADED]

    def facts(
        self, plan: Mapping[Hook, tuple[Run, ...]], contents: Mapping[str, bytes | None]
    ) -> ArtefactFacts:
        licence, text = of_npm(self.manifest)
        hooks = sorted(looked_into(hook, runs, contents) for hook, runs in plan.items())
        return ArtefactFacts(hooks=tuple(hooks), licence=licence, licence_text=text)

    def _runs(self, hook: Hook, built: str, place: Place) -> tuple[Run, ...]:
        commands = [self._script(hook.id)] if hook.id in INSTALL_SCRIPTS else []
        if "node-gyp" in (hook.id, *hook.text.split()):
            commands += _GYP_COMMAND.findall(built)[:_MAX_GYP_COMMANDS]
        return tuple(run for command in commands for run in runs_of(command, place))

    def _script(self, name: str) -> str:
        """Return a script; what is there but empty is none."""
        scripts = self.manifest.get("scripts")
        return str(scripts[name]) if isinstance(scripts, dict) and scripts.get(name) else ""

    @property
    def _gyp(self) -> str:
        return f"{self.folder}/{_GYP}".lstrip("/")

    @property
    def _native(self) -> bool:
        """Whether npm runs node-gyp by itself; ``gypfile: false`` switches that off."""
        return self._gyp in self.names and self.manifest.get("gypfile") is not False


def _is_manifest(name: str) -> bool:
    """Whether it is the package's own package.json, or that of a package in a ``node_modules``."""
    parts = name.split("/")
    if parts.pop() != _MANIFEST:
        return False
    while parts:
        if parts.pop(0) != "node_modules" or not parts:
            return False
        scoped = parts.pop(0).startswith("@")
        if scoped and not parts:
            return False
        if scoped:
            parts.pop(0)
    return True


def _parsed(data: bytes, place: str) -> Mapping[str, Any]:
    try:
        manifest = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableArchiveError(f"its {place[:200]} is no JSON") from error
    if not isinstance(manifest, dict):
        raise UnreadableArchiveError(f"its {place[:200]} is no JSON object")
    return manifest
