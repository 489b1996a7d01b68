"""Scanners ``artefact`` and ``confusion``: facts become findings, and what is not known is an error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from skillwarden.domain.artefact_facts import ArtefactFacts, Hook, LockFacts, MissingArtefact
from skillwarden.domain.finding import FindingKind, ScannerName, ScanState, Severity
from skillwarden.domain.licence import UNKNOWN
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId, normalise_name
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.intake_npm import parse_node
from skillwarden.scan.artefact import ArtefactScanner
from skillwarden.scan.confusion import ConfusionScanner, confusion_findings
from skillwarden.scan.names import name_findings
from skillwarden.scan.toplist import top_names

MakeLock = Callable[..., Lock]
UPLOADED = datetime(2026, 11, 28, tzinfo=UTC)


async def test_hooks_and_licences_become_findings(make_lock: MakeLock) -> None:
    lock = make_lock("loud==1.0", "plain==1.0")
    loud, plain = (package.id for package in lock.packages)

    async def read(asked: Lock) -> LockFacts:
        assert asked is lock
        hooks = (
            Hook("install", "node x", Severity.CRITICAL, "x.js:1 runs hidden code (Critical)"),
            Hook("pth:loud.pth", "import os"),
        )
        return LockFacts({loud: ArtefactFacts(hooks, "MIT"), plain: ArtefactFacts(licence_text="see file")})

    report = await ArtefactScanner(read).scan(lock)
    assert (report.state, report.audited) == (ScanState.FINDINGS, {loud, plain})
    shown = "x.js:1 runs hidden code (Critical); node x"
    assert report.findings[0].severity is Severity.CRITICAL
    assert [(f.package.name, f.kind, f.id, f.summary) for f in report.findings] == [
        ("loud", FindingKind.INSTALL_SCRIPT, "install", shown),
        ("loud", FindingKind.INSTALL_SCRIPT, "pth:loud.pth", "import os"),
        ("loud", FindingKind.LICENCE, "MIT", ""),
        ("plain", FindingKind.LICENCE, UNKNOWN, "see file"),
    ]


@pytest.mark.parametrize("retryable", [True, False])
async def test_one_artefact_that_is_unread_makes_an_error(retryable: bool, make_lock: MakeLock) -> None:
    lock = make_lock("gone==1.0", "plain==1.0")
    gone, plain = (package.id for package in lock.packages)

    async def read(_: Lock) -> LockFacts:
        return LockFacts({plain: ArtefactFacts()}, (MissingArtefact(gone, "it is gone", retryable),))

    report = await ArtefactScanner(read).scan(lock)
    assert (report.state, report.retryable) == (ScanState.ERROR, retryable)
    assert "gone 1.0: it is gone" in report.error
    assert report.audited == {plain}


def declare(*names: str) -> tuple[DeclaredPackage, ...]:
    python = parse_python([name for name in names if not name.startswith("npm:")])
    node = parse_node([name.removeprefix("npm:") for name in names if name.startswith("npm:")])
    assert not python.refusals
    assert not node.refusals
    return (*python.declared, *node.declared)


@pytest.mark.parametrize(
    "name",
    [
        "internal-utils",
        "company-auth",
        "enterprise-logger",
        "acme_shared.config",
        "npm:internal-utils",
        "npm:@acme/core",
        "npm:@company/ui-kit",
        "npm:@internal/utils",
    ],
)
def test_a_companys_own_name_is_found_before_any_index_is_asked(name: str) -> None:
    [finding] = confusion_findings(declare(name))
    assert (finding.kind, finding.id) == (FindingKind.CONFUSION, "internal-name")
    assert finding in name_findings(declare(name))


@pytest.mark.parametrize(
    "name",
    ["internal", "npm:internal-slot", "private-ip", "enterprise-attack", "core-utils", "npm:@babel/core"],
)
def test_other_names_are_not(name: str) -> None:
    assert confusion_findings(declare(name)) == ()


@pytest.mark.parametrize("ecosystem", list(Ecosystem))
def test_no_popular_name_is_found(ecosystem: Ecosystem) -> None:
    names = top_names(ecosystem)
    declared = [DeclaredPackage(ecosystem, normalise_name(ecosystem, name), name) for name in names]
    assert confusion_findings(declared) == ()


def one(ecosystem: Ecosystem, name: str, version: str, uploaded: datetime | None = UPLOADED) -> Lock:
    package = PackageId(ecosystem, name, version)
    node = ecosystem is Ecosystem.NPM
    digest = "sha512:" + "a" * 128 if node else "sha256:" + "a" * 64
    places = (f"node_modules/{name}",) if node else ()
    artefact = Artefact("file", digest, uploaded_at=uploaded)
    locked = LockedPackage(package, artefact, direct=True, locations=places)
    return Lock(Platform(python="3.12", node="24"), (locked,))


@pytest.mark.parametrize(
    ("ecosystem", "name", "version", "found"),
    [
        (Ecosystem.PYPI, "nobody-knows-this", "99.0", False),
        (Ecosystem.PYPI, "nobody-knows-this", "100.0", True),
        (Ecosystem.PYPI, "nobody-knows-this", "1!9999.0", True),
        (Ecosystem.PYPI, "nobody-knows-this", "2026.11.1", False),
        (Ecosystem.PYPI, "nobody-knows-this", "20261101", False),
        (Ecosystem.PYPI, "nobody-knows-this", "20269901", True),
        (Ecosystem.PYPI, "nobody-knows-this", "202611.3", False),
        (Ecosystem.PYPI, "nobody-knows-this", "2027.1", False),
        (Ecosystem.PYPI, "nobody-knows-this", "20271231", False),
        (Ecosystem.PYPI, "nobody-knows-this", "20260230", True),
        (Ecosystem.PYPI, "nobody-knows-this", "2028.1", True),
        (Ecosystem.PYPI, "nobody-knows-this", "20280101", True),
        (Ecosystem.PYPI, "nobody-knows-this", "1999.1", True),
        (Ecosystem.NPM, "nobody-knows-this", "2099.0.0", True),
        (Ecosystem.NPM, "nobody-knows-this", "20991231.0.0", True),
        (Ecosystem.PYPI, "pywin32", "311", False),
        (Ecosystem.NPM, "nobody-knows-this", "99.99.99", False),
        (Ecosystem.NPM, "nobody-knows-this", "999.0.0", True),
        (Ecosystem.NPM, "googleapis", "171.4.0", False),
    ],
)
async def test_a_version_above_every_real_one(
    ecosystem: Ecosystem, name: str, version: str, found: bool
) -> None:
    report = await ConfusionScanner().scan(one(ecosystem, name, version))
    assert [finding.id for finding in report.findings] == (["version-above-99"] if found else [])
    assert (report.scanner, len(report.audited)) == (ScannerName.CONFUSION, 1)


async def test_a_date_is_one_by_todays_year_where_nobody_knows_the_upload() -> None:
    for years, found in ((0, []), (2, ["version-above-99"])):
        lock = one(Ecosystem.NPM, "nobody-knows-this", f"{datetime.now(UTC).year + years}.1.0", None)
        assert [finding.id for finding in (await ConfusionScanner().scan(lock)).findings] == found


async def test_a_name_is_looked_at_in_the_closure_too() -> None:
    report = await ConfusionScanner().scan(one(Ecosystem.NPM, "@acme/core", "1.0.0"))
    assert [finding.id for finding in report.findings] == ["internal-name"]
