"""The kinds of volume that this node has, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from skillwarden.localcluster.node.quantities import parse_bytes
from skillwarden.localcluster.node.refusals import Refused

Object = Mapping[str, Any]


class VolumeKind(StrEnum):
    """Where a volume's content comes from."""

    EMPTY_DIR = "emptyDir"
    CONFIG_MAP = "configMap"
    SECRET = "secret"  # noqa: S105 (the name of a kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeItem:
    """One key of a ConfigMap or Secret, and the file that shows it."""

    key: str
    path: str
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """One volume.

    Parameters
    ----------
    size_bytes
        An emptyDir's limit.
    in_memory
        An emptyDir of medium Memory: its content counts as the container's memory.
    source
        The ConfigMap's or Secret's name.
    items
        The keys shown; empty: all.
    """

    name: str
    kind: VolumeKind
    size_bytes: int = 0
    in_memory: bool = False
    source: str = ""
    items: tuple[VolumeItem, ...] = ()
    mode: int = 0o644
    optional: bool = False

    @property
    def writable(self) -> bool:
        """Whether a container may write to it where it mounts it without readOnly."""
        return self.kind is VolumeKind.EMPTY_DIR


def plan_volume(volume: Object, *, default_bytes: int) -> VolumePlan:
    """Read one entry of ``spec.volumes``.

    Raises
    ------
    Refused
        It is of a kind that this node does not have; hostPath above all.
    """
    name = volume["name"]
    match volume:
        case {"emptyDir": empty_dir}:
            limit = (empty_dir or {}).get("sizeLimit")
            return VolumePlan(
                name=name,
                kind=VolumeKind.EMPTY_DIR,
                size_bytes=parse_bytes(limit) if limit else default_bytes,
                in_memory=(empty_dir or {}).get("medium") == "Memory",
            )
        case {"configMap": source}:
            return _from_object(name, VolumeKind.CONFIG_MAP, source, source["name"])
        case {"secret": source}:
            return _from_object(name, VolumeKind.SECRET, source, source["secretName"])
    kinds = ", ".join(sorted(set(volume) - {"name"})) or "nothing"
    raise Refused(
        "SandboxOnly", f"volume {name} is of kind {kinds}: this node has emptyDir, configMap and secret only"
    )


def _from_object(name: str, kind: VolumeKind, source: Object, object_name: str) -> VolumePlan:
    for each in source.get("items") or []:
        if each["path"].startswith("/") or ".." in each["path"].split("/"):
            raise Refused(
                "CreateContainerConfigError", f"volume {name}: the path {each['path']!r} leaves the volume"
            )
    return VolumePlan(
        name=name,
        kind=kind,
        source=object_name,
        items=tuple(
            VolumeItem(key=each["key"], path=each["path"], mode=each.get("mode"))
            for each in source.get("items") or []
        ),
        mode=source.get("defaultMode", 0o644),
        optional=bool(source.get("optional", False)),
    )
