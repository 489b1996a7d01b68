"""What is in an npm package: scripts that npm runs at install, and the licence, bundled packages included.

``prepare`` is not among them: npm runs it for folders and git repositories, never for what comes from a
registry (documentation of npm's scripts, life cycle operation order of ``npm install``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..domain.artefact_facts import ArtefactFacts, Hook
from .archive import UnreadableArchiveError, read_tarball
from .licences import of_npm
from .text import shortened

INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")
_MANIFEST = "package.json"
_GYP = "binding.gyp"


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
    facts = {}
    for place, data in found.items():
        folder = place.removesuffix(_MANIFEST).removesuffix("/")
        facts[folder] = _facts(_parsed(data, place), native=f"{folder}/{_GYP}".lstrip("/") in names)
    return facts


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


def _facts(manifest: Mapping[str, Any], *, native: bool) -> ArtefactFacts:
    scripts = manifest.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    hooks = [Hook(name, shortened(str(scripts[name]))) for name in INSTALL_SCRIPTS if scripts.get(name)]
    # npm's own default where there is a binding.gyp and neither script; `gypfile: false` switches it off.
    if native and not {"install", "preinstall"} & scripts.keys() and manifest.get("gypfile") is not False:
        hooks.append(Hook("node-gyp", f"{_GYP} makes npm run node-gyp rebuild"))
    licence, text = of_npm(manifest)
    return ArtefactFacts(hooks=tuple(sorted(hooks)), licence=licence, licence_text=text)
