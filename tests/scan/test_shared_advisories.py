"""On real data: every record of the shared dump, and pip-audit as the judge of our findings."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scan_support import nothing_detected, plain_facts, plain_first_seen

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.sync import SyncReport, sync
from skillwarden.domain.finding import Finding, ScannerName, ScanState
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.scan.factory import default_scanners
from skillwarden.scan.runner import ScanRunner
from skillwarden.scan.toplist import top_names

pytestmark = pytest.mark.shared

PINS = """
    aiohttp==3.8.0 certifi==2022.5.18 cryptography==39.0.0 django==3.2.0 fastapi==0.65.0 flask==2.2.2
    gitpython==3.1.20 gunicorn==20.0.4 idna==3.6 ipython==7.16.2 jinja2==2.11.2 lxml==4.6.2
    mako==1.2.1 mistune==2.0.2 notebook==6.4.1 numpy==1.21.0 opencv-python==4.8.0.74 paramiko==2.4.0
    pillow==9.0.0 pip==20.0 protobuf==3.20.1 pyyaml==5.3 requests==2.30.0 rsa==4.0
    scipy==1.9.0 setuptools==65.0.0 sqlparse==0.4.0 tensorflow==2.8.0 tornado==6.0 urllib3==1.26.4
    werkzeug==2.2.2 six==1.16.0
"""


@pytest.fixture(scope="module")
def dump(shared_dir: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(shared_dir / "advisories" / "PyPI" / "all.zip") as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


@pytest.fixture(scope="module")
def synced(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SyncReport, AdvisoryIndex]:
    import asyncio

    into = tmp_path_factory.mktemp("shared-index")
    report = asyncio.run(sync(shared_dir / "advisories", into=into))
    return report, AdvisoryIndex.open(into)


def test_every_record_is_in_the_index(
    synced: tuple[SyncReport, AdvisoryIndex], dump: dict[str, dict[str, Any]]
) -> None:
    report, index = synced
    counts = index.counts()[Ecosystem.PYPI]
    assert len(dump) == 2659 == counts.records + counts.withdrawn
    assert report.unreadable == 0
    assert all(index.advisory(record["id"]) is not None for record in dump.values())


def test_every_listed_version_is_found_affected(
    synced: tuple[SyncReport, AdvisoryIndex], dump: dict[str, dict[str, Any]]
) -> None:
    _, index = synced
    expected: dict[PackageId, set[str]] = {}
    withdrawn = {record["id"] for record in dump.values() if "withdrawn" in record}
    for record in dump.values():
        for entry in record["affected"]:
            for version in entry.get("versions", []):
                package = PackageId.of(Ecosystem.PYPI, entry["package"]["name"], version)
                expected.setdefault(package, set()).add(record["id"])
    assert len(expected) > 10_000
    for package, identities in expected.items():
        found = {advisory.id for advisory in index.affecting(package)}
        assert identities - withdrawn <= found
        assert not found & withdrawn


async def test_our_findings_are_those_of_pip_audit(
    synced: tuple[SyncReport, AdvisoryIndex], make_lock: Callable[..., Lock]
) -> None:
    _, index = synced
    runner = ScanRunner(
        default_scanners(
            index,
            read_facts=plain_facts,
            ask_first_seen=plain_first_seen,
            detect_malware=nothing_detected,
        ),
        deadline_seconds=120,
        max_concurrency=4,
    )
    lock = make_lock(*PINS.split())
    result = await runner.scan(lock, advisory_revision=index.revision)
    reports = {report.scanner: report for report in result.reports}
    ours, theirs = reports[ScannerName.OSV], reports[ScannerName.PIP_AUDIT]
    assert ours.state is theirs.state is ScanState.FINDINGS, theirs.error
    assert len(ours.findings) > 50

    def told(finding: Finding) -> tuple[Any, ...]:
        return finding.package, finding.kind, finding.id, finding.severity, finding.aliases

    assert list(map(told, ours.findings)) == list(map(told, theirs.findings))
    assert reports[ScannerName.TYPOSQUAT].findings == ()


def test_the_shipped_top_list_is_the_shared_one(shared_dir: Path) -> None:
    assert list(top_names()) == (shared_dir / "toplists" / "pypi-top-15000.txt").read_text().split()
