"""The most downloaded names, shipped with the package and loaded when first asked for.

``python -m skillwarden.scan.toplist SOURCE`` makes ``data/pypi-top.txt`` anew from a list of names, one a
line, most downloaded first.
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
TOP_NAME = "pypi-top.txt"
KNOWN_GOOD_NAME = "pypi-known-good.txt"


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))


@functools.cache
def top_names() -> tuple[str, ...]:
    """Return the normalised names, most downloaded first."""
    return _lines((_DATA / TOP_NAME).read_text(encoding="utf-8"))


@functools.cache
def known_good() -> frozenset[str]:
    """Return real packages outside of the list whose names happen to resemble one of it."""
    return frozenset(_lines((_DATA / KNOWN_GOOD_NAME).read_text(encoding="utf-8")))


def make_list(names: Iterable[str]) -> str:
    """Return the text of the list: normalised names, each once, in the order given.

    Raises
    ------
    ValueError
        Where it would be empty or larger than what we ship.
    """
    seen = dict.fromkeys(normalise_name(Ecosystem.PYPI, name) for name in _lines("\n".join(names)))
    text = "\n".join(seen) + "\n"
    if not seen or len(text) > _MAX_BYTES:
        raise ValueError(
            f"{len(seen)} names make {len(text)} bytes; from 1 to {_MAX_BYTES} bytes are shipped"
        )
    return text


if __name__ == "__main__":
    [source] = sys.argv[1:]
    target = Path(str(_DATA / TOP_NAME))
    target.write_text(make_list(Path(source).read_text(encoding="utf-8").splitlines()), encoding="utf-8")
