"""What a digest looks like where it comes in from outside: the one check before it becomes a file name."""

from __future__ import annotations

import re

from ..domain.errors import InvalidInputError

PREFIX = "sha256:"
_HEX = re.compile(r"[0-9a-f]{64}")
_ARTEFACT = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


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


def split_artefact_digest(digest: str) -> tuple[str, str]:
    """Return algorithm and hexadecimal characters of an artefact's digest.

    Raises
    ------
    InvalidInputError
        Where the text is neither ``sha256:`` nor ``sha512:`` with that many digits.
    """
    if not _ARTEFACT.fullmatch(digest):
        raise InvalidInputError(
            f"{digest[:100]!r} is neither sha256: nor sha512: with that many lower-case hexadecimal digits."
        )
    algorithm, _, text = digest.partition(":")
    return algorithm, text
