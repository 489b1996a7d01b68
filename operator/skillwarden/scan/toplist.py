"""The most downloaded names, shipped with the package and loaded when first asked for.

``python -m skillwarden.scan.toplist ECOSYSTEM SOURCE`` makes ``data/pypi-top.txt`` or ``data/npm-top.txt``
anew from a list of names, one a line, most downloaded first.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from skillwarden.domain.package import Ecosystem, normalise_name

_MAX_BYTES = 300_000
_DATA = resources.files("skillwarden.scan") / "data"
_TOP = {Ecosystem.PYPI: "pypi-top.txt", Ecosystem.NPM: "npm-top.txt"}
_KNOWN_GOOD = {Ecosystem.PYPI: "pypi-known-good.txt", Ecosystem.NPM: "npm-known-good.txt"}


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))


@functools.cache
def top_names(ecosystem: Ecosystem = Ecosystem.PYPI) -> tuple[str, ...]:
    """Return the normalised names, most downloaded first."""
    return _lines((_DATA / _TOP[ecosystem]).read_text(encoding="utf-8"))


@functools.cache
def known_good(ecosystem: Ecosystem = Ecosystem.PYPI) -> frozenset[str]:
    """Return real packages outside of the list whose names happen to resemble one of it."""
    return frozenset(_lines((_DATA / _KNOWN_GOOD[ecosystem]).read_text(encoding="utf-8")))


def make_list(names: Iterable[str], ecosystem: Ecosystem = Ecosystem.PYPI) -> str:
    """Return the text of the list: normalised names, each once, in the order given.

    Raises
    ------
    ValueError
        Where it would be empty or larger than what we ship.
    """
    seen = dict.fromkeys(normalise_name(ecosystem, name) for name in _lines("\n".join(names)))
    text = "\n".join(seen) + "\n"
    if not seen or len(text) > _MAX_BYTES:
        raise ValueError(
            f"{len(seen)} names make {len(text)} bytes; from 1 to {_MAX_BYTES} bytes are shipped"
        )
    return text


if __name__ == "__main__":
    [wanted, source] = sys.argv[1:]
    chosen = Ecosystem(wanted)
    text = make_list(Path(source).read_text(encoding="utf-8").splitlines(), chosen)
    Path(str(_DATA / _TOP[chosen])).write_text(text, encoding="utf-8")
