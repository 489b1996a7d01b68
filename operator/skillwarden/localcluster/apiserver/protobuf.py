"""The few bodies that clients send as protobuf whatever a server says: `create namespace`, Helm's deletions.

Only the kinds those commands make are read (field numbers from the API's published ``generated.proto``
files); any other kind is answered 415.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from skillwarden.localcluster.apiserver.errors import bad_request, unsupported_media_type

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
_Reader = Callable[[Any], Any]
_Fields = Mapping[int, tuple[str, "_Reader", str]]

ONE, MANY, MAP = "one", "many", "map"


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """Take a message apart into field numbers and raw values."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
        elif kind == 2:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise ValueError("a field is cut off")
            yield number, data[place : place + size]
            place += size
        else:
            raise ValueError(f"wire type {kind} is not used by these kinds")


def _message(fields: _Fields) -> _Reader:
    def read(data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, raw in _wire(data):
            if number not in fields:
                continue
            name, reader, shape = fields[number]
            match shape:
                case "one":
                    value = reader(raw)
                    if value not in ("", {}):
                        found[name] = value
                case "many":
                    found.setdefault(name, []).append(reader(raw))
                case _:
                    entry = dict(_wire(raw))
                    found.setdefault(name, {})[_text(entry.get(1, b""))] = reader(entry.get(2, b""))
        return found

    return read


def _text(raw: bytes) -> str:
    return raw.decode()


def _coded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _quantity(raw: bytes) -> str:
    return _text(dict(_wire(raw)).get(1, b"0"))


_META = _message(
    {
        1: ("name", _text, ONE),
        2: ("generateName", _text, ONE),
        3: ("namespace", _text, ONE),
        11: ("labels", _text, MAP),
        12: ("annotations", _text, MAP),
        14: ("finalizers", _text, MANY),
    }
)
_ATTRIBUTES = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_NAMED = _message({1: ("name", _text, ONE)})
_KINDS: Mapping[tuple[str, str], _Reader] = {
    ("v1", "Namespace"): _message({1: ("metadata", _META, ONE)}),
    ("v1", "ConfigMap"): _message(
        {
            1: ("metadata", _META, ONE),
            2: ("data", _text, MAP),
            3: ("binaryData", _coded, MAP),
            4: ("immutable", bool, ONE),
        }
    ),
    ("v1", "Secret"): _message(
        {
            1: ("metadata", _META, ONE),
            2: ("data", _coded, MAP),
            3: ("type", _text, ONE),
            4: ("stringData", _text, MAP),
            5: ("immutable", bool, ONE),
        }
    ),
    ("v1", "ServiceAccount"): _message(
        {
            1: ("metadata", _META, ONE),
            3: ("imagePullSecrets", _NAMED, MANY),
            4: ("automountServiceAccountToken", bool, ONE),
        }
    ),
    # Typed clients, such as Helm's, put these into a DELETE.
    ("v1", "DeleteOptions"): _message(
        {
            1: ("gracePeriodSeconds", int, ONE),
            2: (
                "preconditions",
                _message({1: ("uid", _text, ONE), 2: ("resourceVersion", _text, ONE)}),
                ONE,
            ),
            3: ("orphanDependents", bool, ONE),
            4: ("propagationPolicy", _text, ONE),
            5: ("dryRun", _text, MANY),
        }
    ),
    ("v1", "ResourceQuota"): _message(
        {1: ("metadata", _META, ONE), 2: ("spec", _message({1: ("hard", _quantity, MAP)}), ONE)}
    ),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _message(
        {
            1: ("metadata", _META, ONE),
            2: (
                "spec",
                _message(
                    {
                        1: (
                            "resourceAttributes",
                            _message(
                                {place: (name, _text, ONE) for place, name in enumerate(_ATTRIBUTES, start=1)}
                            ),
                            ONE,
                        ),
                        2: (
                            "nonResourceAttributes",
                            _message({1: ("path", _text, ONE), 2: ("verb", _text, ONE)}),
                            ONE,
                        ),
                    }
                ),
                ONE,
            ),
        }
    ),
}


def decode(raw: bytes) -> dict[str, Any]:
    """Read a body in the API's protobuf envelope.

    Raises
    ------
    ApiError
        400 for bytes that are no such body, 415 for a kind that is not read in this form.
    """
    if not raw.startswith(MAGIC):
        raise bad_request("the body of the request lacks the prefix of a protobuf object")
    try:
        envelope = dict(_wire(raw[len(MAGIC) :]))
        kind = {number: _text(value) for number, value in _wire(envelope.get(1, b""))}
        reader = _KINDS.get((kind.get(1, ""), kind.get(2, "")))
        if reader is None:
            raise unsupported_media_type(["application/json", "application/yaml"])
        return {"apiVersion": kind[1], "kind": kind[2], **reader(envelope.get(2, b""))}
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise bad_request(f"the body of the request is no protobuf object: {error}") from error
