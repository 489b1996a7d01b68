"""One audit record: a line of JSON that holds the hash of the record before it, and its own.

Both hashes are SHA-256 over canonical JSON (sorted keys, no spaces, ASCII), so that whoever has the lines can
verify them with nothing but a JSON parser and a hash.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: By it, a record is told from any other line of a log.
API_VERSION = "audit.skillwarden.io/v1"
#: What records tell of.
EVENTS = (
    "Verdict",
    "Launch",
    "Adoption",
    "Removal",
    "Approval",
    "Ban",
    "PackagePolicy",
    "ClusterPackagePolicy",
    "Agent",
    "Start",
    "Lost",
)
#: What stands before the first record of a chain.
BEGINNING = "sha256:" + "0" * 64
#: Of one line; the API server's objects are bounded, and this keeps what we make of them so.
MAX_LINE = 64 * 1024


def hash_of(record: Mapping[str, Any]) -> str:
    """Return the hash of a record without its field ``hash``."""
    body = {key: value for key, value in record.items() if key != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class Chain:
    """Where a chain of records stands.

    Attributes
    ----------
    name
        Tells chains apart; random, so that no two operators have one.
    seq
        Number of the last record; 0: there is none.
    previous
        Its hash.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(8))
    seq: int = 0
    previous: str = BEGINNING

    def link(self, event: str, time: datetime, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record that comes next; ``take`` makes it the last one, once it is written."""
        record = {
            "apiVersion": API_VERSION,
            "chain": self.name,
            "seq": self.seq + 1,
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event": event,
            **fields,
            "previous": self.previous,
        }
        record["hash"] = hash_of(record)
        return record

    def take(self, record: Mapping[str, Any]) -> None:
        """Stand at a record that was written, or read and verified."""
        self.name, self.seq, self.previous = record["chain"], record["seq"], record["hash"]


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as the line that is written."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def parse(line: bytes | str) -> dict[str, Any] | None:
    """Return the record that a line holds, or ``None`` where it is some other line."""
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    start = text.find("{")
    if start < 0 or API_VERSION not in text:
        return None
    try:
        record = json.loads(text[start:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("apiVersion") != API_VERSION:
        return None
    return record
