"""Locking a Python closure with uv, which sees nothing that a user wrote and runs nothing of a package.

Two passes: the first gives the artefacts (``pylock.toml``), the second, from uv's cache, who requires
whom. uv's own refusals (``--no-build``, no URL beneath a name) are the first defence; the clean
environment without a PATH and the strict reading of the answer hold where one of them fails.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from uv import find_uv_bin

from ..bounded import MORE_MEMORY, speaks_of_memory
from ..domain.errors import UnsupportedRuntimeError
from ..domain.lock import Artefact, Lock, LockedPackage, Platform
from ..domain.package import DeclaredPackage, Ecosystem, PackageId
from .errors import (
    ForbiddenHostError,
    IndexUnavailableError,
    ResolverDeadlineError,
    ResolverFailedError,
    SourceOnlyError,
    UnresolvableError,
)
from .explain import condense, missing_names, source_only_names, speaks_of_network
from .probe import index_trouble
from .process import Outcome, run_limited
from .settings import ResolverSettings
from .unknown_names import UNKNOWN_NAME_FIX, say_unknown
from .uvlock import Resolved, read_parents, read_pylock
from .wheels import choose_wheel, platform_parts

_PYLOCK = "pylock.toml"
_PINS = "pins.txt"
_CHECK_UV = "It is tried again; if this stays, check that the uv of the operator's image is whole."
_REQUIREMENTS = "declared.txt"
_MAX_LOCK_BYTES = 64 * 1024 * 1024
#: glibc minors for which uv knows a platform; the next lower one is taken for what lies between.
_UV_GLIBC = (17, 28, *range(31, 41))
_DEFAULT_INDEX = re.compile(r"--default-index.*?\(by default:\s*<(https?://[^>\s]+)>", re.DOTALL)

#: Told the versions of a closure, as soon as they are known.
VersionsCallback = Callable[[frozenset[PackageId]], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """One resolution under way: where it works, for what, and until when (on the monotonic clock)."""

    folder: Path
    declared: tuple[DeclaredPackage, ...]
    platform: Platform
    ends: float

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends - time.monotonic())


class PythonResolver:
    """Resolves declared Python packages to a lock.

    Parameters
    ----------
    settings
        The index, the limits, the cache.
    """

    def __init__(self, settings: ResolverSettings) -> None:
        self._settings = settings
        self._default_url: str | None = None

    @property
    def index_identity(self) -> str:
        """The index without credentials, part of the key under which a lock is kept."""
        return self._settings.index_identity

    async def resolve(
        self,
        declared: Sequence[DeclaredPackage],
        *,
        platform: Platform,
        preference: Lock | None = None,
        on_versions: VersionsCallback = lambda _: None,
    ) -> Lock:
        """Return the closure of some packages with one wheel each.

        Parameters
        ----------
        declared
            What intake took; an empty sequence gives an empty lock without asking anything.
        platform
            What wheels are chosen for.
        preference
            A lock whose versions are kept where they still satisfy what is declared.
        on_versions
            Told what the lock will hold, before it is known who requires whom.

        Raises
        ------
        UnresolvableError
            No versions satisfy all requirements.
        SourceOnlyError
            A package has no wheel for the platform.
        UnsupportedRuntimeError
            The platform is none that wheels are made for.
        ForbiddenHostError
            An artefact lies on a host that is not allowed.
        IndexUnavailableError
            The index does not answer as one; retryable.
        ResolverFailedError, ResolverDeadlineError
            uv broke, or ran into its deadline; retryable.
        """
        if foreign := [item.name for item in declared if item.ecosystem is not Ecosystem.PYPI]:
            raise UnsupportedRuntimeError(f"{', '.join(foreign[:5])}: these are no packages of PyPI.")
        platform_parts(platform)
        items = tuple(sorted(set(declared)))
        if not items:
            return Lock(platform, ())
        ends = time.monotonic() + self._settings.deadline_seconds
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="skillwarden-resolve-"))
        try:
            job = _Job(folder, items, platform, ends)
            await asyncio.to_thread(_prepare, job, preference)
            resolved = await self._artefacts(job)
            on_versions(frozenset(item.id for item in resolved))
            parents = await self._parents(job, resolved)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return self._lock(job, resolved, parents)

    async def _artefacts(self, job: _Job) -> tuple[Resolved, ...]:
        outcome = await self._compile(job, "--format", "pylock.toml", "--output-file", _PYLOCK)
        if outcome.code != 0:
            raise await self._error(job, outcome)
        return read_pylock(await asyncio.to_thread(_read_bounded, job.folder / _PYLOCK), job.platform)

    async def _parents(
        self, job: _Job, resolved: Sequence[Resolved]
    ) -> dict[PackageId, tuple[PackageId, ...]]:
        pins = "".join(f"{item.id.name}=={item.id.version}\n" for item in resolved)
        await asyncio.to_thread((job.folder / _PINS).write_text, pins)
        options = ("--format", "requirements.txt", "--output-file", _PINS, "--annotation-style", "split")
        outcome = await self._compile(job, *options, "--no-header", "--offline")
        if outcome.code != 0:
            # An index may forbid that its pages are kept; then uv has to ask once more.
            outcome = await self._compile(job, *options, "--no-header")
        if outcome.code != 0:
            raise await self._error(job, outcome)
        text = await asyncio.to_thread(_read_bounded, job.folder / _PINS)
        found = read_parents(text)
        if set(found) != {item.id for item in resolved}:
            raise ResolverFailedError(
                "two passes of the Python resolver chose different versions; the index changed between them."
            )
        return found

    def _lock(
        self,
        job: _Job,
        resolved: Sequence[Resolved],
        parents: dict[PackageId, tuple[PackageId, ...]],
    ) -> Lock:
        direct = {item.name for item in job.declared}
        if missing := sorted(direct - {item.id.name for item in resolved}):
            raise ResolverFailedError(
                f"the Python resolver's answer lacks what was asked for: {', '.join(missing)}."
            )
        packages = []
        wheelless = []
        for item in resolved:
            artefact = choose_wheel(item.id, item.wheels, platform=job.platform)
            if artefact is None:
                wheelless.append(str(item.id))
                continue
            self._check_host(artefact)
            above = parents[item.id]
            packages.append(LockedPackage(item.id, artefact, above, direct=item.id.name in direct))
        if wheelless:
            raise _source_only(tuple(sorted(wheelless)), job.platform)
        return Lock(job.platform, tuple(packages))

    def _check_host(self, artefact: Artefact) -> None:
        url = urlsplit(artefact.url)
        index = urlsplit(self._settings.index_url or "https:")
        own = url.hostname is not None and url.hostname == index.hostname
        allowed = self._settings.allowed_hosts
        # Never from TLS down to plain text, nor to a file of this machine.
        schemes = {"https", index.scheme}
        if (
            url.scheme not in schemes
            or not url.hostname
            or (allowed and not own and url.hostname not in allowed)
        ):
            raise ForbiddenHostError(
                f"the index says that {artefact.filename} lies at {url.scheme}://{url.hostname or ''}, from"
                " where artefacts may not be taken.",
                fix="If that host is the index's, the operator's administrator adds it to the allowed hosts.",
            )

    async def _compile(self, job: _Job, *options: str) -> Outcome:
        minor, glibc, machine = platform_parts(job.platform)
        step = max(known for known in _UV_GLIBC if known <= glibc)
        home = job.folder / "home"
        command = (
            str(self._settings.uv_path or find_uv_bin()),
            *("pip", "compile", _REQUIREMENTS),
            *("--no-config", "--no-build", "--no-sources", "--quiet", "--color", "never"),
            *("--python", sys.executable, "--python-version", f"3.{minor}"),
            *("--python-platform", f"{machine}-manylinux_2_{step}"),
            *("--cache-dir", str(self._settings.cache_dir or job.folder / "cache")),
            *options,
        )
        try:
            return await run_limited(
                command,
                cwd=job.folder,
                environment=self._settings.environment(home=home),
                deadline_seconds=job.seconds_left,
                memory_limit_bytes=self._settings.memory_limit_bytes,
            )
        except TimeoutError:
            raise await self._deadline_error(job) from None
        except OSError as error:
            raise ResolverFailedError(
                f"the Python resolver cannot be started: {error.strerror}.",
                fix="Check that the uv wheel is installed.",
            ) from error

    async def _error(self, job: _Job, outcome: Outcome) -> Exception:
        """Say what uv's failure means: only a healthy index makes a requirement unsatisfiable."""
        if outcome.code < 0 or speaks_of_memory(outcome.stderr):
            return _broken(outcome)
        if names := source_only_names(outcome.stderr):
            return _source_only(names, job.platform)
        asked = (job.declared[0].name, *missing_names(outcome.stderr)[:3])
        if reason := await self._trouble(dict.fromkeys(asked)):
            return _unavailable(reason)
        if outcome.code != 1:
            why = condense(outcome.stderr)
            return _unavailable(why) if speaks_of_network(outcome.stderr) else _broken(outcome)
        if unknown := missing_names(outcome.stderr):
            said = say_unknown(unknown, declared=(item.name for item in job.declared))
            return UnresolvableError(
                f"no versions satisfy all requirements: {said}. uv: {condense(outcome.stderr)}.",
                fix=UNKNOWN_NAME_FIX,
            )
        return UnresolvableError(
            f"no versions satisfy all requirements: {condense(outcome.stderr)}.",
            fix="Change the ranges that exclude each other, or name a version that exists.",
        )

    async def _deadline_error(self, job: _Job) -> Exception:
        if reason := await self._trouble([job.declared[0].name]):
            return _unavailable(reason)
        unbounded = [item.name for item in job.declared if not item.specifier]
        hint = f"Bound the range of {', '.join(unbounded)}." if unbounded else "Narrow the ranges."
        return ResolverDeadlineError(
            f"the Python resolver (uv) took longer than {self._settings.deadline_seconds:g} s and was ended;"
            " a wide range can make it walk through thousands of versions.",
            fix=f"{hint} Or give it longer: SKILLWARDEN_RESOLVE_DEADLINE.",
        )

    async def index_url(self) -> str | None:
        """Return the one index that is asked, uv's own where none is set; ``None``: uv does not tell."""
        return self._settings.index_url or await self._default_index()

    async def _trouble(self, names: Iterable[str]) -> str | None:
        url = await self.index_url()
        if url is None:
            return None
        return await index_trouble(self._settings, url=url, names=list(names))

    async def _default_index(self) -> str | None:
        """Return the index that uv uses by itself, in its own words: we name none."""
        if self._default_url is None:
            with tempfile.TemporaryDirectory() as folder:
                outcome = await run_limited(
                    (str(self._settings.uv_path or find_uv_bin()), "pip", "compile", "--help", "--no-config"),
                    cwd=Path(folder),
                    environment=self._settings.environment(home=Path(folder)),
                    deadline_seconds=self._settings.probe_seconds,
                    memory_limit_bytes=self._settings.memory_limit_bytes,
                )
            found = _DEFAULT_INDEX.search(outcome.stdout)
            self._default_url = found[1] if found else None
        return self._default_url


def _prepare(job: _Job, preference: Lock | None) -> None:
    """Write what uv reads: our own spelling of the requirements, and the versions to keep."""
    (job.folder / "home").mkdir()
    lines = "".join(f"{item.requirement}\n" for item in job.declared)
    (job.folder / _REQUIREMENTS).write_text(lines, encoding="ascii")
    kept = [p.id for p in preference.packages if p.id.ecosystem is Ecosystem.PYPI] if preference else []
    if kept:
        rows = (f'[[packages]]\nname = "{id_.name}"\nversion = "{id_.version}"\n' for id_ in kept)
        text = 'lock-version = "1.0"\ncreated-by = "skillwarden"\n' + "".join(rows)
        (job.folder / _PYLOCK).write_text(text, encoding="ascii")


def _read_bounded(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_LOCK_BYTES:
            raise ResolverFailedError(
                f"the Python resolver's answer is larger than {_MAX_LOCK_BYTES} bytes.", fix="Declare less."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResolverFailedError(
            f"the answer of the Python resolver (uv) cannot be used: {type(error).__name__} in {path.name}.",
            fix=_CHECK_UV,
        ) from error


def _source_only(names: tuple[str, ...], platform: Platform) -> SourceOnlyError:
    packages = tuple(name.split(" ")[0] for name in names)
    return SourceOnlyError(
        f"no wheel for {platform} exists of {', '.join(names)}; building from source would run the package's"
        " code before it was judged.",
        packages=packages,
        fix="Name a version that has a wheel, another package, or an index that provides a built wheel."
        f" Where the runtime images have a newer C library than {platform.libc}, set SKILLWARDEN_LIBC.",
    )


def _unavailable(reason: str) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"the package index is not available: {reason}.",
        fix="It is asked again later; if this stays, check the index's address and credentials.",
    )


def _broken(outcome: Outcome) -> ResolverFailedError:
    if speaks_of_memory(outcome.stderr):
        return ResolverFailedError(
            "the Python resolver (uv) ran out of the memory that it may use.",
            fix=f"Narrow the ranges, or have the operator's administrator {MORE_MEMORY}.",
        )
    if outcome.code < 0:
        # What it says then names threads and addresses, which differ each time.
        return ResolverFailedError(
            f"the Python resolver (uv) was ended by signal {-outcome.code}.",
            fix=f"It is tried again; if this stays, have the operator's administrator {MORE_MEMORY}.",
        )
    why = condense(outcome.stderr) or "it said nothing"
    return ResolverFailedError(f"the Python resolver (uv) failed ({outcome.code}): {why}.", fix=_CHECK_UV)
