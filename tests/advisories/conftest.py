"""Builders of OSV records, dumps and indexes for the advisory tests."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.record import parse_record
from skillwarden.advisories.store import INDEX_NAME, IndexWriter

Document = dict[str, Any]


def build_record(identity: str = "PYSEC-1", *, package: str = "widget", **overrides: Any) -> Document:
    entry: Document = {"package": {"ecosystem": "PyPI", "name": package}}
    ranges, versions = overrides.pop("ranges", None), overrides.pop("versions", None)
    events = overrides.pop("events", None)
    if events is not None:
        ranges = [{"type": "ECOSYSTEM", "events": events}]
    if ranges is None and versions is None:
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]
    if ranges is not None:
        entry["ranges"] = ranges
    if versions is not None:
        entry["versions"] = versions
    entry.update(overrides.pop("entry", {}))
    return {
        "id": identity,
        "schema_version": "1.6.0",
        "modified": "2024-01-01T00:00:00Z",
        "summary": f"Something is wrong in {package}",
        "affected": [entry],
        **overrides,
    }


def build_zip(path: Path, records: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def make_record() -> Callable[..., Document]:
    return build_record


@pytest.fixture
def make_zip() -> Callable[[Path, dict[str, bytes]], Path]:
    return build_zip


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Path]:
    """Write records as a source folder, in one of the layouts that sync takes."""

    def make(*records: Document, layout: str = "folder", name: str = "source") -> Path:
        folder = tmp_path / name
        files = {f"{record['id']}.json": json.dumps(record).encode() for record in records}
        match layout:
            case "folder" | "ecosystem folder":
                target = folder if layout == "folder" else folder / "PyPI"
                target.mkdir(parents=True, exist_ok=True)
                for file, data in files.items():
                    (target / file).write_bytes(data)
            case "zip":
                build_zip(folder / "PyPI" / "all.zip", files)
        return folder

    return make


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., AdvisoryIndex]:
    """Build an index of records without a sync."""
    made = 0

    def make(*records: Document) -> AdvisoryIndex:
        nonlocal made
        made += 1
        folder = tmp_path / f"index-{made}"
        folder.mkdir()
        writer = IndexWriter(folder / INDEX_NAME)
        for record in records:
            writer.add(parse_record(json.dumps(record).encode()))
        writer.finish()
        return AdvisoryIndex.open(folder)

    return make
