"""Which wheel a platform gets: the one that pip would install there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from ..domain.errors import UnsupportedRuntimeError
from ..domain.lock import Artefact, Platform
from ..domain.package import Ecosystem, PackageId, normalise_version

MACHINES: Mapping[str, str] = {"amd64": "x86_64", "arm64": "aarch64"}
#: The oldest manylinux policy of an architecture (PEP 600 and its predecessors).
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_PYTHON = re.compile(r"3\.(\d{1,3})")
_GLIBC = re.compile(r"glibc-2\.(\d{1,3})")


def platform_parts(platform: Platform) -> tuple[int, int, str]:
    """Return the minors of Python 3 and glibc 2 and the machine, e.g. ``(12, 28, "x86_64")``.

    Raises
    ------
    UnsupportedRuntimeError
        For a platform that wheels cannot be chosen for.
    """
    python, glibc = _PYTHON.fullmatch(platform.python), _GLIBC.fullmatch(platform.libc)
    machine = MACHINES.get(platform.arch)
    if python is None or glibc is None or machine is None or int(glibc[1]) < 17:
        raise UnsupportedRuntimeError(
            f"packages cannot be resolved for the platform {platform}.",
            fix="Use CPython 3.x with glibc 2.17 or later on amd64 or arm64.",
        )
    return int(python[1]), int(glibc[1]), machine


@lru_cache(maxsize=32)
def supported_tags(platform: Platform) -> Mapping[Tag, int]:
    """Return the tags that the platform installs, each with its rank; 0 is the most specific."""
    minor, glibc, machine = platform_parts(platform)
    platforms = list(_platform_tags(glibc, machine))
    interpreter = f"cp3{minor}"
    # The ABI is named: by default packaging asks the interpreter that runs us, not the target.
    ordered = [
        *cpython_tags((3, minor), abis=[interpreter], platforms=platforms),
        *compatible_tags((3, minor), interpreter=interpreter, platforms=platforms),
    ]
    ranks: dict[Tag, int] = {}
    for tag in ordered:
        ranks.setdefault(tag, len(ranks))
    return ranks


def _platform_tags(glibc: int, machine: str) -> Iterator[str]:
    for minor in range(glibc, _OLDEST_GLIBC[machine] - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_{machine}"
    yield f"linux_{machine}"


def choose_wheel(package: PackageId, artefacts: Iterable[Artefact], *, platform: Platform) -> Artefact | None:
    """Return the artefact that pip would install, or ``None`` where none fits.

    Parameters
    ----------
    package
        What the wheel must be of: a file named after another package or version is passed over.
    artefacts
        What the index has.
    platform
        The sandbox's.
    """
    ranks = supported_tags(platform)
    fitting = []
    for artefact in artefacts:
        try:
            name, version, build, tags = parse_wheel_filename(artefact.filename)
        except InvalidWheelFilename:
            continue
        same = normalise_version(Ecosystem.PYPI, package.version) == str(version)
        if canonicalize_name(name) != package.name or not same:
            continue
        if known := [ranks[tag] for tag in tags if tag in ranks]:
            # The best tag, then the highest build tag; the name only breaks a tie the same way each time.
            fitting.append((-min(known), build, artefact.filename, artefact))
    return max(fitting, key=lambda row: row[:3])[3] if fitting else None
