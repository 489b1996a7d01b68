"""Decoding constants that hide something: base64, hexadecimal, and what is compressed inside of them."""

from __future__ import annotations

import base64
import binascii
import re
import zlib

_MAX_DECODED = 256 * 1024
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){12,}")
_ESCAPE = re.compile(
    r"\\(?:x(?P<two>[0-9a-fA-F]{2})|u(?P<four>[0-9a-fA-F]{4})|u\{(?P<any>[0-9a-fA-F]{1,5})\}|(?P<one>\r\n|.))",
    re.DOTALL,
)
_ESCAPED_AS = {"n": "\n", "r": "\r", "t": "\t", "\n": "", "\r": "", "\r\n": ""}
_ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2}){8,}")


def decoded(text: str) -> list[str]:
    """Return the readable texts that a constant decodes to; empty where it is what it seems."""
    found: list[str] = []
    compact = "".join(text.split())
    if _HEX.fullmatch(compact):
        found += _readable(bytes.fromhex(compact))
    elif _BASE64.fullmatch(compact):
        padded = compact.rstrip("=") + "=" * (-len(compact.rstrip("=")) % 4)
        try:
            found += _readable(
                base64.b64decode(padded, altchars=b"-_" if re.search("[-_]", compact) else None)
            )
        except (binascii.Error, ValueError):
            return found
    elif escaped := _ESCAPED.search(text):
        found += _readable(bytes.fromhex(escaped[0].replace("\\x", "")))
    return found


def unescaped(text: str) -> str:
    """Return what the text of a JavaScript string says."""
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    digits = escape["two"] or escape["four"] or escape["any"]
    return chr(int(digits, 16)) if digits else _ESCAPED_AS.get(escape["one"], escape["one"])


def _readable(data: bytes) -> list[str]:
    """Return data as text, or what it holds compressed, where that is text."""
    for attempt in (data, _inflated(data)):
        try:
            text = attempt.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if text and sum(char.isprintable() or char.isspace() for char in text) >= 0.95 * len(text):
            return [text]
    return []


def _inflated(data: bytes) -> bytes:
    for bits in (zlib.MAX_WBITS, zlib.MAX_WBITS | 16, -zlib.MAX_WBITS):
        try:
            return zlib.decompressobj(bits).decompress(data, _MAX_DECODED)
        except zlib.error:
            continue
    return b"\xff"
