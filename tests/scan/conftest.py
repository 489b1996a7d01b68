"""Builders of locks, advisories and fake pip-audits for the scanner tests."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.record import parse_record
from skillwarden.advisories.store import INDEX_NAME, IndexWriter
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId


def build_lock(*pins: str, uploaded_at: datetime | None = None) -> Lock:
    ids = [PackageId.of(Ecosystem.PYPI, *pin.split("==")) for pin in pins]
    return Lock(
        platform=Platform("3.12"),
        packages=tuple(
            LockedPackage(
                item,
                Artefact(
                    f"{item.name}-{item.version}-py3-none-any.whl",
                    "sha256:" + "0" * 64,
                    uploaded_at=uploaded_at,
                ),
                direct=True,
            )
            for item in ids
        ),
    )


def build_advisory(
    identity: str,
    package: str,
    *,
    fixed: str | None = "2.0",
    versions: list[str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    entry: dict[str, Any] = {"package": {"ecosystem": "PyPI", "name": package}}
    if versions is not None:
        entry["versions"] = versions
    else:
        events = [{"introduced": "0"}] + ([{"fixed": fixed}] if fixed else [])
        entry["ranges"] = [{"type": "ECOSYSTEM", "events": events}]
    return {
        "id": identity,
        "schema_version": "1.6.0",
        "modified": "2024-01-01T00:00:00Z",
        "summary": f"{identity} in {package}",
        "affected": [entry],
        **fields,
    }


@pytest.fixture
def make_lock() -> Callable[..., Lock]:
    return build_lock


@pytest.fixture
def make_advisory() -> Callable[..., dict[str, Any]]:
    return build_advisory


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., AdvisoryIndex]:
    made = 0

    def make(*records: dict[str, Any]) -> AdvisoryIndex:
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


@pytest.fixture
def fake_pip_audit(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Write a program that stands in for pip-audit; it finds the pins as ``pins``, pairs of texts."""

    def make(body: str) -> tuple[str, ...]:
        script = tmp_path / "fake_pip_audit.py"
        head = """\
            import json, os, subprocess, sys, time
            lines = open(sys.argv[sys.argv.index("-r") + 1]).read().split()
            pins = [line.split("==") for line in lines]
            clean = [{"name": name, "version": version, "vulns": []} for name, version in pins]
            """
        script.write_text(textwrap.dedent(head) + textwrap.dedent(body))
        return (sys.executable, "-I", str(script))

    return make
