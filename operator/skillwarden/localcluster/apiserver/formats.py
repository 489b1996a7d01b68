"""The small grammars of the Kubernetes API: names, labels, quantities, times and string formats."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PORT_NAME = re.compile(r"[a-z0-9-]+")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?")
_GO_DURATION = re.compile(r"[+-]?(0|(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+)")
_MICRO_TIME = re.compile(r"[^.]+\.\d{6}([Zz]|[+-]\d\d:\d\d)")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

_SCALE: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}

SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
QUANTITY_MESSAGE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def parse_quantity(text: Any) -> Decimal:
    """Read a Kubernetes quantity, such as ``500m`` or ``256Mi``.

    Raises
    ------
    ValueError
        When the text is no quantity.
    """
    match = _QUANTITY.fullmatch(str(text)) if isinstance(text, (str, int, float)) else None
    if match is None or isinstance(text, bool):
        raise ValueError(QUANTITY_MESSAGE)
    number, suffix = Decimal(match[1]), match[2] or ""
    try:
        return number * _SCALE[suffix] if suffix in _SCALE else number * Decimal(f"1{suffix}")
    except InvalidOperation as error:
        raise ValueError(QUANTITY_MESSAGE) from error


def format_quantity(value: Decimal, *, binary: bool = False) -> str:
    """Write a quantity the canonical way: the largest suffix that leaves a whole number."""
    if value == 0:
        return "0"
    if value != value.to_integral_value():
        milli = value * 1000
        return f"{int(milli)}m" if milli == milli.to_integral_value() else f"{int(value * 10**9)}n"
    base, suffixes = (1024, "KMGTPE") if binary else (1000, "kMGTPE")
    whole, unit = int(value), ""
    for suffix in suffixes:
        if whole % base:
            break
        whole, unit = whole // base, f"{suffix}i" if binary else suffix
    return f"{whole}{unit}"


def label_error(text: str) -> str | None:
    """Say what is wrong with an RFC 1123 label (64 characters are too many)."""
    if len(text) > 63:
        return "must be no more than 63 bytes"
    return None if _LABEL.fullmatch(text) else LABEL_MESSAGE


def label_1035_error(text: str) -> str | None:
    """Say what is wrong with an RFC 1035 label, the grammar of Service names."""
    if len(text) > 63:
        return "must be no more than 63 bytes"
    message = "a DNS-1035 label must start with a letter and hold lower case alphanumerics or '-' only"
    return None if _LABEL_1035.fullmatch(text) else message


def subdomain_error(text: str) -> str | None:
    """Say what is wrong with an RFC 1123 subdomain, the usual grammar of object names."""
    if len(text) > 253:
        return "must be no more than 253 bytes"
    return None if all(_LABEL.fullmatch(part) for part in text.split(".")) else SUBDOMAIN_MESSAGE


def port_name_error(text: str) -> str | None:
    """Say what is wrong with a port's name: 15 letters, digits and single hyphens at most."""
    if len(text) > 15:
        return "must be no more than 15 characters"
    hyphens = text.startswith("-") or text.endswith("-") or "--" in text
    if not _PORT_NAME.fullmatch(text) or hyphens:
        return "must contain only alpha-numeric characters (a-z, 0-9), and single hyphens (-) between them"
    return None if any(letter.isalpha() for letter in text) else "must contain at least one letter (a-z)"


def config_key_error(text: str) -> str | None:
    """Say what is wrong with a key of a ConfigMap or a Secret."""
    if len(text) > 253:
        return "must be no more than 253 characters"
    if not _CONFIG_KEY.fullmatch(text):
        return "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    return f"must not be '{text}'" if text in {".", ".."} else None


def prefix_error(text: str, name_error: Callable[[str], str | None]) -> str | None:
    """Say what is wrong with a ``generateName``: a name, but for a hyphen at its end."""
    return name_error(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def path_segment_error(text: str) -> str | None:
    """Say what is wrong with a name that only has to fit one path segment (RBAC kinds, Events)."""
    bad = text in {".", ".."} or "/" in text or "%" in text
    return "may not be '.' or '..', nor contain '/' or '%'" if bad else None


def qualified_name_error(text: str) -> str | None:
    """Say what is wrong with a label or annotation key: ``[prefix/]name``."""
    prefix, slash, name = text.rpartition("/")
    if slash and (not prefix or subdomain_error(prefix)):
        return f"prefix part {SUBDOMAIN_MESSAGE}"
    if not name or len(name) > 63 or not _QUALIFIED.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
            "with an alphanumeric character (63 characters at most)"
        )
    return None


def label_value_error(text: str) -> str | None:
    """Say what is wrong with a label's value."""
    if text and (len(text) > 63 or not _QUALIFIED.fullmatch(text)):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character (63 characters at most)"
        )
    return None


def now_text() -> str:
    """Give the current time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time; ``ValueError`` when it is none."""
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    return datetime.fromisoformat(text.upper().replace("Z", "+00:00"))


def parse_micro_time(text: str) -> datetime:
    """Read a time of an Event or a Lease, with six digits behind the second; ``ValueError`` otherwise."""
    if not _MICRO_TIME.fullmatch(text):
        raise ValueError(f"not a time in microseconds: {text!r}")
    return parse_time(text)


def _parses(parser: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parser(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _network(text: str) -> object:
    if "/" not in text:
        raise ValueError("no prefix length")
    return ipaddress.ip_network(text, strict=False)


# Only the formats that the real server enforces are here; it ignores any other.
STRING_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _parses(parse_time),
    "date": _parses(lambda text: datetime.strptime(text, "%Y-%m-%d")),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "duration": lambda text: bool(_GO_DURATION.fullmatch(text)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(_network),
    "uuid": _parses(uuid.UUID),
    "k8s-short-name": lambda text: label_error(text) is None,
    "k8s-long-name": lambda text: subdomain_error(text) is None,
    "quantity": _parses(parse_quantity),
    "api-time": _parses(parse_time),
    "api-micro-time": _parses(parse_micro_time),
    "api-bytes": _parses(lambda text: base64.b64decode(text, validate=True)),
}
#: Types of their own in the API's Go types: a body that does not fit cannot even be read.
READ_AS_TYPES = {
    "quantity": QUANTITY_MESSAGE,
    "api-time": "a time is written as in RFC 3339",
    "api-micro-time": "a time in microseconds is written as 2006-01-02T15:04:05.000000Z",
    "api-bytes": "illegal base64 data",
}
