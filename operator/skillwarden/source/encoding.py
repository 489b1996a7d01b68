"""The text of Python code, in the encoding that it declares (PEP 263)."""

from __future__ import annotations

import codecs
import io
import tokenize

from skillwarden.domain.finding import Severity

from .collect import Collector

#: In which code reads as it runs.
_PLAIN = frozenset({"ascii", "iso8859-1", "utf-8", "utf-8-sig"})
#: Take a time that grows with the square of the length.
_SLOW = frozenset({"idna", "punycode"})


def code_text(content: bytes, into: Collector) -> str | None:
    """Return code as Python would read it, and remark where that is not how a person reads it.

    ``None``: nobody can read it, which is remarked, too.
    """
    # Python ends a line at a carriage return, too; the declaration stands in one of the first two.
    lines = io.BytesIO(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    declared = ""
    try:
        declared = tokenize.detect_encoding(lines.readline)[0]
        encoding = codecs.lookup(declared).name
        if encoding not in _PLAIN:
            into.add(
                "unusual-encoding",
                Severity.HIGH,
                1,
                f"declares the encoding {declared[:40]}, in which code reads otherwise than it runs",
            )
        if encoding not in _SLOW:
            return content.decode(encoding)
    except (SyntaxError, LookupError, ValueError):  # no such encoding, no text of it, or none of text at all
        into.add(
            "unreadable-code", Severity.HIGH, 1, "is code that cannot be decoded, so nobody looked into it"
        )
    return None
