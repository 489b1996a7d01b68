"""npm audit as a scanner: the real one against our endpoint, and fakes for all that can go wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.domain.finding import FindingKind, ScannerName, ScannerReport, ScanState
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.nodejs import find_node_tools
from skillwarden.scan.npm_audit import NpmAuditScanner
from skillwarden.scan.osv import OsvScanner
from skillwarden.scan.pip_audit import PipAuditScanner
from skillwarden.scan.runner import ScanRunner

MakeIndex = Callable[..., AdvisoryIndex]


def npm_lock(*pins: str, python: tuple[str, ...] = ()) -> Lock:
    """Return a lock of ``name@version`` pins; a second version of a name is nested."""
    packages, taken = [], set()
    for pin in pins:
        name, _, version = pin.rpartition("@")
        place = f"node_modules/{name}"
        if place in taken:
            place = f"node_modules/{pins[0].rpartition('@')[0]}/{place}"
        taken.add(place)
        file = f"{name.rpartition('/')[2]}-{version}.tgz"
        id_ = PackageId.of(Ecosystem.NPM, name, version)
        packages.append(LockedPackage(id_, Artefact(file, "sha512:" + "0" * 128), locations=(place,)))
    for pin in python:
        id_ = PackageId.of(Ecosystem.PYPI, *pin.split("=="))
        packages.append(LockedPackage(id_, Artefact(f"{pin}.whl", "sha256:" + "0" * 64)))
    return Lock(Platform(python="3.12", node="24"), tuple(packages))


def advisory(
    identity: str, package: str, *, fixed: str | None = "2.0.0", kind: str = "SEMVER", **fields: Any
) -> Any:
    events = [{"introduced": "0"}] + ([{"fixed": fixed}] if fixed else [])
    affected = {
        "package": {"ecosystem": "npm", "name": package},
        "ranges": [{"type": kind, "events": events}],
    }
    return {
        "id": identity,
        "schema_version": "1.6.0",
        "summary": f"{identity} here",
        "affected": [affected],
        **fields,
    }


def told(report: ScannerReport) -> list[Any]:
    return [(f.kind, f.package, f.id, f.severity, f.aliases, f.fixed_versions) for f in report.findings]


async def test_the_real_npm_audit_finds_what_our_own_evaluation_finds(make_index: MakeIndex) -> None:
    index = make_index(
        advisory("GHSA-1", "widget", aliases=["CVE-1"], database_specific={"severity": "HIGH"}),
        advisory("GHSA-2", "widget", fixed="1.0.0"),
        advisory("GHSA-3", "@acme/core", database_specific={"severity": "LOW"}),
        advisory("MAL-4", "evil", fixed=None),
        advisory("GHSA-5", "odd", fixed="not a version"),
        advisory("GHSA-6", "widget", withdrawn="2024-01-01T00:00:00Z"),
        advisory("GHSA-7", "pre", fixed="1.0.0"),
    )
    pins = (
        "widget@1.5.0",
        "widget@2.0.0",
        "@acme/core@1.9.9",
        "evil@0.0.1",
        "odd@7.0.0",
        "pre@1.0.0-rc.1",
        "clean@3.0.0",
    )
    lock = npm_lock(*pins)
    theirs = await NpmAuditScanner(lambda: index).scan(lock)
    ours = await OsvScanner(lambda: index).scan(lock)
    assert (theirs.state, theirs.error) == (ScanState.FINDINGS, "")
    assert theirs.audited == ours.audited == {package.id for package in lock.packages}
    assert told(theirs) == told(ours)
    assert {(str(f.package), f.id, f.kind) for f in theirs.findings} == {
        ("widget 1.5.0", "GHSA-1", FindingKind.VULNERABILITY),
        ("@acme/core 1.9.9", "GHSA-3", FindingKind.VULNERABILITY),
        ("evil 0.0.1", "MAL-4", FindingKind.MALICIOUS),
        ("odd 7.0.0", "GHSA-5", FindingKind.VULNERABILITY),
        ("pre 1.0.0-rc.1", "GHSA-7", FindingKind.VULNERABILITY),
    }


async def test_the_real_npm_audit_passes_a_clean_lock(make_index: MakeIndex) -> None:
    report = await NpmAuditScanner(lambda: make_index(advisory("GHSA-1", "widget"))).scan(
        npm_lock("clean@1.0.0")
    )
    assert (report.state, report.error, report.findings) == (ScanState.PASS, "", ())


async def test_each_auditor_owes_an_answer_for_its_own_ecosystem_alone(make_index: MakeIndex) -> None:
    pypi = {"package": {"ecosystem": "PyPI", "name": "pair"}, "versions": ["1.0"]}
    record = {"id": "PYSEC-1", "schema_version": "1.6.0", "affected": [pypi]}
    index = make_index(record, advisory("GHSA-1", "pair"))
    lock = npm_lock("pair@1.0.0", python=("pair==1.0",))
    scanners = [NpmAuditScanner(lambda: index), PipAuditScanner(lambda: index), OsvScanner(lambda: index)]
    result = await ScanRunner(scanners, deadline_seconds=60, max_concurrency=3).scan(
        lock, advisory_revision="r"
    )
    reports = {report.scanner: report for report in result.reports}
    assert [report.error for report in result.reports] == ["", "", ""]
    assert {f.id for f in reports[ScannerName.NPM_AUDIT].findings} == {"GHSA-1"}
    assert {f.id for f in reports[ScannerName.PIP_AUDIT].findings} == {"PYSEC-1"}
    # One name in two ecosystems: each finding is about its own.
    assert {(f.id, f.package.ecosystem) for f in reports[ScannerName.OSV].findings} == {
        ("GHSA-1", Ecosystem.NPM),
        ("PYSEC-1", Ecosystem.PYPI),
    }


FAILURES = {
    "it writes garbage": ("print('found 1'); sys.exit(1)", "did not write JSON"),
    "it writes nothing and is content": ("pass", "did not write JSON"),
    "the registry gives an error": (
        "print(json.dumps({'error': {'code': 'E500'}})); sys.exit(1)",
        "gave no answer",
    ),
    "it says nothing is wrong with exit code 1": (
        "print(json.dumps({'vulnerabilities': {}})); sys.exit(1)",
        "no vuln",
    ),
    "it crashes after an answer": ("print(json.dumps({'vulnerabilities': {}})); sys.exit(7)", "exit code 7"),
    "it is killed": ("os.kill(os.getpid(), 9)", "exit code -9"),
    "it asks nobody and is content": (
        "print(json.dumps({'vulnerabilities': {}}))",
        "not audited (clean 1.0.0)",
    ),
    "it reports what is no advisory": (
        "print(json.dumps({'vulnerabilities': {'a': {'via': [7]}}})); sys.exit(1)",
        "no advisory",
    ),
    "it floods": ("sys.stdout.write('x' * 5_000_000)", "stopped"),
}


@pytest.mark.parametrize("sentence", FAILURES)
async def test_it_is_an_error_and_no_pass_when(sentence: str, make_index: MakeIndex, tmp_path: Path) -> None:
    body, words = FAILURES[sentence]
    script = tmp_path / "fake_npm.py"
    script.write_text(f"import json, os, sys\n{body}\n")
    command = (sys.executable, "-I", str(script))
    index = make_index(advisory("GHSA-1", "widget"))
    report = await NpmAuditScanner(lambda: index, command=command, max_output=1_000_000).scan(
        npm_lock("clean@1.0.0")
    )
    assert report.state is ScanState.ERROR
    assert words in report.error


async def test_without_advisories_nothing_is_a_pass() -> None:
    report = await NpmAuditScanner(lambda: None).scan(npm_lock("clean@1.0.0"))
    assert report.state is ScanState.ERROR
    assert "no advisories" in report.error


async def test_the_answer_is_json_that_npm_writes_without_vulnerabilities_on_error(
    make_index: MakeIndex,
) -> None:
    """A registry that fails: npm's own error JSON, by the real npm, is an error."""
    index = make_index(advisory("GHSA-1", "widget"))
    command = (*find_node_tools().npm(), "--offline")
    report = await NpmAuditScanner(lambda: index, command=command).scan(npm_lock("clean@1.0.0"))
    assert report.state is ScanState.ERROR
    assert json.dumps(report.to_json())
