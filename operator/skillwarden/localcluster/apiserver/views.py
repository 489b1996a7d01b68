"""How answers look: plain, as a Table, or metadata only; in the version that was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from skillwarden.localcluster.apiserver import tables
from skillwarden.localcluster.apiserver.errors import ApiError, Obj
from skillwarden.localcluster.apiserver.resources import Resource


class Form(StrEnum):
    """The forms that a client may ask for."""

    PLAIN = "Plain"
    TABLE = "Table"
    PARTIAL = "Partial"


_AS = re.compile(r"as=(Table|PartialObjectMetadataList|PartialObjectMetadata)\b")


def negotiate(accept: str) -> Form:
    """Choose the first form of an ``Accept`` header that is served; 406 when it names none."""
    for part in accept.split(",") if accept else ["*/*"]:
        media, _, parameters = part.strip().partition(";")
        if media.strip() not in {"application/json", "application/yaml", "application/*", "*/*", "text/*"}:
            continue
        match = _AS.search(parameters.replace(" ", ""))
        if match is None and "as=" in parameters:
            continue
        if match is None:
            return Form.PLAIN
        return Form.TABLE if match[1] == "Table" else Form.PARTIAL
    text = "only the following media types are accepted: application/json"
    raise ApiError(406, "NotAcceptable", text)


def dumps(value: Any) -> bytes:
    """Write JSON, compact."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def accept_renamed(resource: Resource, body: Any) -> Any:
    """Read an object whose kind is stored under other field names (``events.k8s.io``)."""
    if not resource.renames or not isinstance(body, dict):
        return body
    return {
        **{resource.renames.get(name, name): value for name, value in body.items()},
        **({"apiVersion": "v1"} if "apiVersion" in body else {}),
    }


def shown(resource: Resource, obj: Obj) -> Obj:
    """Give a stored object in the version, and under the names, of the path it is asked through."""
    if obj["apiVersion"] == resource.api_version:
        return obj
    back = {stored: name for name, stored in resource.renames.items()}
    return {
        **{back.get(name, name): value for name, value in obj.items()},
        "apiVersion": resource.api_version,
    }


@dataclass(frozen=True, slots=True)
class View:
    """A form together with what it is applied to."""

    resource: Resource
    form: Form
    include: str = "Metadata"

    def one(self, obj: Obj, *, heads: bool = True) -> Obj:
        """Give a single object."""
        match self.form:
            case Form.TABLE:
                meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
                cells = tables.cells_of(self.resource)
                return tables.table(cells, [obj], meta, include=self.include, heads=heads)
            case Form.PARTIAL:
                return tables.partial(obj)
            case _:
                return shown(self.resource, obj)

    def many(self, objects: Iterable[Obj], meta: Obj) -> Obj:
        """Give a list."""
        match self.form:
            case Form.TABLE:
                return tables.table(tables.cells_of(self.resource), objects, meta, include=self.include)
            case Form.PARTIAL:
                return {
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": meta,
                    "items": [tables.partial(obj) for obj in objects],
                }
            case _:
                return {
                    "kind": self.resource.listing_kind,
                    "apiVersion": self.resource.api_version,
                    "metadata": meta,
                    "items": [shown(self.resource, obj) for obj in objects],
                }
