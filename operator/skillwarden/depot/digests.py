"""What a digest looks like where it comes in from outside: the one check before it becomes a file name."""

from __future__ import annotations

import re

from ..domain.errors import InvalidInputError

PREFIX = "sha256:"
_HEX = re.compile(r"[0-9a-f]{64}")


def hex_of(digest: str) -> str:
    """Return the 64 hexadecimal characters of ``sha256:…``.

    Raises
    ------
    InvalidInputError
        Where the text is anything else; nothing else may name a file of the store.
    """
    text = digest.removeprefix(PREFIX)
    if not digest.startswith(PREFIX) or not _HEX.fullmatch(text):
        raise InvalidInputError(f"{digest[:100]!r} is not a digest such as sha256:<64 hexadecimal digits>.")
    return text


def check_hex(sha256: str) -> str:
    """Return a bare hexadecimal SHA-256 as it is.

    Raises
    ------
    InvalidInputError
        Where the text is anything else.
    """
    if not _HEX.fullmatch(sha256):
        raise InvalidInputError(f"{sha256[:100]!r} is not a SHA-256 in lower-case hexadecimal.")
    return sha256
