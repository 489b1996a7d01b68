"""Tokens: a sandbox's opens one lock, one content and one input; the operator's opens the writing side.

A sandbox's token says itself what it opens, signed, so that the depot keeps no list of them and a Pod's
spec is the same each time it is built (adoption and drift compare whole specs). It cannot be withdrawn
alone; what it opens is read-only and already judged. A new key voids all of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

from ..domain.errors import InvalidInputError, SkillwardenError
from .digests import hex_of

MIN_SECRET_BYTES = 32
_SCHEME = "swd1"


class InvalidTokenError(SkillwardenError):
    """A token that this depot did not issue."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sandbox's token opens.

    Attributes
    ----------
    lock_digest
        The lock, and with it its artefacts.
    content_digest
        The skill's packed source.
    input_digest
        The run's input, or ``None``.
    """

    lock_digest: str
    content_digest: str
    input_digest: str | None = None


def check_secret(secret: bytes) -> bytes:
    """Return the depot's key if it is long enough to be one.

    Raises
    ------
    InvalidInputError
        Where it has fewer than 32 bytes.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise InvalidInputError(
            f"the depot's key has {len(secret)} bytes; at least {MIN_SECRET_BYTES} are needed.",
            fix="Write random bytes to the key file, such as: openssl rand -hex 32 > depot.key",
        )
    return secret


def issue(secret: bytes, *, lock_digest: str, content_digest: str, input_digest: str | None = None) -> str:
    """Return the token for a sandbox; the same for the same arguments.

    Raises
    ------
    InvalidInputError
        Where the key is too short or a digest is none.
    """
    digests = [lock_digest, content_digest, *([] if input_digest is None else [input_digest])]
    payload = json.dumps([hex_of(digest) for digest in digests], separators=(",", ":")).encode()
    return ".".join((_SCHEME, _encode(payload), _encode(_sign(secret, payload))))


def verify(secret: bytes, token: str) -> Grant:
    """Return what a token opens.

    Raises
    ------
    InvalidTokenError
        Where this key did not issue it.
    """
    try:
        scheme, body, mark = token.split(".")
        payload, signature = _decode(body), _decode(mark)
    except (ValueError, binascii.Error) as error:
        raise InvalidTokenError("the token is malformed.") from error
    if scheme != _SCHEME or not hmac.compare_digest(signature, _sign(secret, payload)):
        raise InvalidTokenError("the token was not issued by this depot.")
    digests = [f"sha256:{text}" for text in json.loads(payload)]
    return Grant(digests[0], digests[1], digests[2] if len(digests) > 2 else None)


def operator_token(secret: bytes) -> str:
    """Return the operator's bearer token; it signs nothing and opens no sandbox's view."""
    return _encode(_derive(secret, b"operator"))


def is_operator(secret: bytes, token: str) -> bool:
    """Whether a token is the operator's, in constant time."""
    return hmac.compare_digest(token.encode("utf-8", "replace"), operator_token(secret).encode())


def _sign(secret: bytes, payload: bytes) -> bytes:
    return hmac.digest(_derive(secret, b"sandbox"), payload, hashlib.sha256)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(check_secret(secret), b"skillwarden depot v1 " + purpose, hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)
