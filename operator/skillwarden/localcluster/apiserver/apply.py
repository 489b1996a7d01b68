"""Field ownership: who set what (``metadata.managedFields``), and server-side apply on top of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from skillwarden.localcluster.apiserver import fieldsets
from skillwarden.localcluster.apiserver.errors import ApiError, Cause, Obj
from skillwarden.localcluster.apiserver.fieldsets import Path, PathSet
from skillwarden.localcluster.apiserver.formats import now_text
from skillwarden.localcluster.apiserver.schema import Schema

#: kubectl's manager in server-side apply, and the annotation of its client-side apply.
CLIENT = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

# The server's own fields have no manager.
_UNOWNED_META = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
)
_UNOWNED = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(("f:metadata", f"f:{name}") for name in _UNOWNED_META),
    }
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, by which way; the identity under which fields are owned."""

    manager: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of ``managedFields``."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: PathSet

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells two entries apart."""
        return (self.manager, self.operation, self.subresource)


def read_entries(obj: Obj) -> list[Entry]:
    """Give the owners of an object's fields."""
    return [
        Entry(
            manager=item.get("manager", ""),
            operation=item.get("operation", "Update"),
            api_version=item.get("apiVersion", ""),
            subresource=item.get("subresource", ""),
            time=item.get("time", ""),
            fields=fieldsets.decode(item.get("fieldsV1")),
        )
        for item in (obj.get("metadata") or {}).get("managedFields") or ()
        if item
    ]


def _write_entries(obj: Obj, entries: Iterable[Entry]) -> Obj:
    listed = []
    for entry in sorted(entries, key=lambda item: (item.operation, item.time, item.manager)):
        if not entry.fields:
            continue
        body: Obj = {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldsets.encode(entry.fields),
        }
        if entry.subresource:
            body["subresource"] = entry.subresource
        listed.append(body)
    meta = {name: item for name, item in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": {**meta, "managedFields": listed} if listed else meta}


def _ownable(paths: Iterable[Path], subresource: str, *, status_apart: bool) -> PathSet:
    """Leave out the server's own fields, and the half of the object that this path does not write."""
    kept = (path for path in paths if path not in _UNOWNED and path[:2] not in _UNOWNED)
    if subresource == "status":
        return frozenset(path for path in kept if path[0] == "f:status")
    if status_apart:
        return frozenset(path for path in kept if path[0] != "f:status")
    return frozenset(kept)


def _bare(obj: Obj) -> Obj:
    meta = {name: item for name, item in obj.get("metadata", {}).items() if name not in _UNOWNED_META}
    return {**obj, "metadata": meta}


def record_update(old: Obj | None, new: Obj, schema: Schema, writer: Writer, *, status_apart: bool) -> Obj:
    """Note an ordinary write: what it changed is the writer's now, and nobody else's.

    Parameters
    ----------
    old, new : objects
        Before (``None``: a creation) and after, system metadata included; ``new`` may carry
        ``managedFields`` of its own, which then replace the stored ones.
    status_apart : bool
        The kind keeps its status behind a subresource.
    """
    entries = read_entries(new)
    if old is not None and not entries:
        listed = new["metadata"].get("managedFields")
        # A list of one empty entry, or an empty list, is how clients ask for a reset.
        entries = [] if listed is not None and not any(listed) else read_entries(old)
    found = fieldsets.compare(_bare(old) if old else {"metadata": {}}, _bare(new), schema)
    written = _ownable(found.added | found.modified, writer.subresource, status_apart=status_apart)
    removed = frozenset(found.removed)
    if not written and not removed:
        return _write_entries(new, entries)
    identity = (writer.manager, "Update", writer.subresource)
    mine = next((entry for entry in entries if entry.identity == identity), None)
    rest = [replace(entry, fields=entry.fields - written - removed) for entry in entries if entry is not mine]
    owned = ((mine.fields if mine else frozenset()) | written) - removed
    if mine and mine.fields == owned:
        return _write_entries(new, [*rest, mine])
    mine = Entry(writer.manager, "Update", writer.api_version, writer.subresource, now_text(), owned)
    return _write_entries(new, [*rest, mine])


def _named_prefixes(paths: Iterable[Path]) -> set[Path]:
    """Close a set over the named fields above its members."""
    closed: set[Path] = set()
    for path in paths:
        closed.add(path)
        closed.update(path[:depth] for depth in range(1, len(path)) if path[depth - 1][0] == "f")
    return closed


def _all_prefixes(paths: Iterable[Path]) -> set[Path]:
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def _reading_order(path: Path) -> list[tuple[bool, str]]:
    """Order paths as sets are read: at each level first what ends there."""
    return [(depth < len(path), element) for depth, element in enumerate(path, start=1)]


def _conflict(clashes: list[tuple[Entry, Path]]) -> ApiError:
    causes, texts = [], []
    for entry, path in sorted(clashes, key=lambda item: (item[0].manager, _reading_order(item[1]))):
        who = f'"{entry.manager}"'
        if entry.subresource:
            who += f' with subresource "{entry.subresource}"'
        if entry.operation == "Update":
            who += f" using {entry.api_version} at {entry.time}"
        causes.append(Cause("FieldManagerConflict", f"conflict with {who}", fieldsets.show(path)))
        texts.append((who, fieldsets.show(path)))
    count = len(texts)
    if count == 1:
        text = f"conflict with {texts[0][0]}: {texts[0][1]}"
    else:
        groups = dict.fromkeys(who for who, _ in texts)
        text = "\n".join(
            f"conflicts with {who}:\n" + "\n".join(f"- {where}" for by, where in texts if by == who)
            for who in groups
        )
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: {text}"
    return ApiError(409, "Conflict", message, details={"causes": [cause.as_dict() for cause in causes]})


def _left_by_client_side_apply(live: Obj, schema: Schema) -> PathSet:
    """Give the fields that ``kubectl apply`` set and nobody changed: kubectl may take these over."""
    try:
        applied = json.loads(live["metadata"]["annotations"][LAST_APPLIED])
    except (KeyError, TypeError, ValueError):
        return frozenset()
    if not isinstance(applied, dict):
        return frozenset()
    found = fieldsets.compare(applied, live, schema)
    return fieldsets.field_set(applied, schema) - found.modified - found.removed


def _noting(merged: Obj, live: Obj, manifest: Obj, writer: Writer) -> Obj:
    """Keep the annotation of client-side apply current, so that kubectl can go back to it."""
    annotations = live["metadata"].get("annotations") or {}
    if writer.manager != CLIENT or writer.subresource or LAST_APPLIED not in annotations:
        return merged
    text = json.dumps(manifest, separators=(",", ":"), sort_keys=True) + "\n"
    meta = merged["metadata"]
    noted = {**(meta.get("annotations") or {}), LAST_APPLIED: text}
    return {**merged, "metadata": {**meta, "annotations": noted}}


def apply_manifest(
    live: Obj, manifest: Obj, schema: Schema, writer: Writer, *, force: bool, status_apart: bool
) -> Obj:
    """Merge a manifest into the live object on behalf of one manager.

    Fields that this manager applied before and no longer does are removed, unless somebody else owns them.

    Parameters
    ----------
    live : object
        The stored object, or a shell with only the server's fields for one that is to be made.
    manifest : object
        What the manager wants, complete.
    force : bool
        Take fields over that others own with another value.

    Raises
    ------
    ApiError
        409 with a cause for each field that another manager set to something else.
    """
    entries = read_entries(live)
    identity = (writer.manager, "Apply", writer.subresource)
    mine = next((entry for entry in entries if entry.identity == identity), None)
    others = [entry for entry in entries if entry is not mine]
    wanted = _ownable(
        fieldsets.field_set(_bare(manifest), schema), writer.subresource, status_apart=status_apart
    )
    merged = fieldsets.merge(live, _bare(manifest), schema)
    if mine:
        kept = _all_prefixes(wanted).union(*(_all_prefixes(entry.fields) for entry in others))
        dropped = _named_prefixes(mine.fields) - kept - _UNOWNED
        merged = fieldsets.without(merged, schema, dropped)
    found = fieldsets.compare(_bare(live), _bare(merged), schema)
    written = _ownable(found.added | found.modified, writer.subresource, status_apart=status_apart)
    clashes = [(entry, path) for entry in others for path in entry.fields & written]
    if writer.manager == CLIENT and clashes:
        left = _left_by_client_side_apply(live, schema)
        clashes = [(entry, path) for entry, path in clashes if path not in left]
    if clashes and not force:
        raise _conflict(clashes)
    taken = written | frozenset(found.removed)
    merged = _noting(merged, live, manifest, writer)
    others = [replace(entry, fields=entry.fields - taken) for entry in others]
    if mine and mine.fields == wanted and mine.api_version == writer.api_version:
        return _write_entries(merged, [*others, mine])
    mine = Entry(writer.manager, "Apply", writer.api_version, writer.subresource, now_text(), wanted)
    return _write_entries(merged, [*others, mine])
