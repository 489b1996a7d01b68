"""Small builders of domain values: each takes what a test is about and fills in the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from packaging.requirements import Requirement

from skillwarden.domain.evaluate import EvaluationRequest, evaluate
from skillwarden.domain.finding import (
    Finding,
    FindingKind,
    ScannerName,
    ScannerReport,
    ScanResult,
    ScanState,
    Severity,
)
from skillwarden.domain.judge_names import NamesRequest, judge_names
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId
from skillwarden.domain.policy import (
    Action,
    Ban,
    FindingRules,
    Maturity,
    Policy,
    PolicyRef,
    Rule,
)
from skillwarden.domain.skill import Sandbox
from skillwarden.domain.verdict import Approval, Verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLATFORM = Platform("3.12")

SCANNERS_OF_KIND = {
    FindingKind.VULNERABILITY: ScannerName.OSV,
    FindingKind.MALICIOUS: ScannerName.OSV,
    FindingKind.TYPOSQUAT: ScannerName.TYPOSQUAT,
    FindingKind.RELEASE_AGE: ScannerName.AGE,
    FindingKind.PACKAGE_AGE: ScannerName.FIRST_SEEN,
    FindingKind.CONFUSION: ScannerName.CONFUSION,
    FindingKind.INSTALL_SCRIPT: ScannerName.ARTEFACT,
    FindingKind.LICENCE: ScannerName.ARTEFACT,
    FindingKind.MALWARE: ScannerName.MALWARE,
}


def package_id(text: str) -> PackageId:
    """``numpy 2.1.0``, or only a name."""
    name, _, version = text.partition(" ")
    return PackageId.of(Ecosystem.PYPI, name, version)


def sha_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(str(package_id(text)).encode()).hexdigest()}"


def make_package(text: str, *, parents: Iterable[str] = (), direct: bool | None = None) -> LockedPackage:
    """Parents are texts such as ``numpy 2.1``."""
    identity = package_id(text)
    parents = tuple(sorted(package_id(parent) for parent in parents))
    return LockedPackage(
        id=identity,
        artefact=Artefact(f"{identity.name}-{identity.version}-py3-none-any.whl", sha_of(text)),
        parents=parents,
        direct=not parents if direct is None else direct,
    )


def make_lock(*chains: str, platform: Platform = PLATFORM) -> Lock:
    """Each text is a chain such as ``pandas 2.2 > numpy 2.1 > six 1.16``, its first package declared."""
    parents: dict[str, set[str]] = {}
    direct: set[str] = set()
    versions: dict[str, str] = {}
    for text in chains:
        previous = None
        for item in text.split(" > "):
            name, _, version = item.partition(" ")
            versions[name] = version or versions.get(name, "1.0")
            above = parents.setdefault(name, set())
            if previous is None:
                direct.add(name)
            else:
                above.add(previous)
            previous = name
    return Lock(
        platform,
        tuple(
            make_package(
                f"{name} {version}",
                parents=[f"{parent} {versions[parent]}" for parent in parents[name]],
                direct=name in direct,
            )
            for name, version in versions.items()
        ),
    )


def make_mixed_lock() -> Lock:
    """One package of PyPI and one of npm, of one name."""
    return Lock(
        Platform("3.12", node="24"),
        (
            make_package("left-pad 1.3"),
            LockedPackage(
                PackageId.of(Ecosystem.NPM, "left-pad", "1.3.0"),
                Artefact("left-pad-1.3.0.tgz", "sha512:" + "a" * 128),
                direct=True,
                locations=("node_modules/left-pad",),
            ),
        ),
    )


def make_rule(names: str, action: Action = Action.ALLOW, **changes: Any) -> Rule:
    """Names are separated by spaces; maturity does not matter unless a test says so."""
    changes.setdefault("name", f"rule-{names.replace(' ', '-')}")
    changes.setdefault("min_maturity", Maturity.STUDENT)
    return Rule(ecosystem=Ecosystem.PYPI, names=tuple(names.split()), action=action, **changes)


def make_ban(names: str, **changes: Any) -> Ban:
    return Ban(ecosystem=Ecosystem.PYPI, names=tuple(names.split()), **changes)


def make_policy(name: str = "base", **changes: Any) -> Policy:
    """A policy that allows everything and every finding but malicious ones."""
    changes.setdefault("unlisted", Action.ALLOW)
    changes.setdefault("findings", make_finding_rules())
    return Policy(ref=PolicyRef(name, changes.pop("namespace", None)), **changes)


def make_finding_rules(**changes: Any) -> FindingRules:
    for kind in ("typosquat", "confusion", "install_script"):
        changes.setdefault(kind, Action.ALLOW)
    changes.setdefault("vulnerability", dict.fromkeys(Severity, Action.ALLOW))
    return FindingRules(**changes)


def make_finding(
    package: str, identity: str = "GHSA-1", kind: FindingKind = FindingKind.VULNERABILITY, **changes: Any
) -> Finding:
    if kind is FindingKind.VULNERABILITY:
        changes.setdefault("severity", Severity.HIGH)
    changes.setdefault("scanners", (SCANNERS_OF_KIND[kind],))
    return Finding(kind=kind, package=package_id(package), id=identity, **changes)


def make_age(package: str, age: timedelta | None, *, now: datetime = NOW) -> Finding:
    published = None if age is None else now - age
    return make_finding(package, "released", FindingKind.RELEASE_AGE, published_at=published)


def make_package_age(package: str, age: timedelta | None, *, now: datetime = NOW) -> Finding:
    published = None if age is None else now - age
    return make_finding(package, "firstSeen", FindingKind.PACKAGE_AGE, published_at=published)


def make_report(scanner: ScannerName, lock: Lock, *findings: Finding, **changes: Any) -> ScannerReport:
    changes.setdefault("state", ScanState.FINDINGS if findings else ScanState.PASS)
    changes.setdefault("audited", frozenset(package.id for package in lock.packages))
    return ScannerReport(scanner=scanner, findings=findings, **changes)


def make_scan(lock: Lock, *findings: Finding, reports: Iterable[ScannerReport] = ()) -> ScanResult:
    """Every scanner answered about every package; ``reports`` stand in for their scanners' own."""
    given = {report.scanner: report for report in reports}
    by_scanner = {
        scanner: [finding for finding in findings if scanner in finding.scanners] for scanner in ScannerName
    }
    return ScanResult(
        lock_digest=lock.digest,
        advisory_revision="r1",
        completed_at=NOW,
        reports=tuple(
            given.get(scanner) or make_report(scanner, lock, *by_scanner[scanner])
            for scanner in sorted(ScannerName)
        ),
    )


def make_request(lock: Lock, *policies: Policy, **changes: Any) -> EvaluationRequest:
    """A complete scan without findings, fresh advisories, a Supervised agent, an isolated network."""
    findings = changes.pop("findings", ())
    changes.setdefault("scan", make_scan(lock, *findings))
    changes.setdefault("maturity", Maturity.SUPERVISED)
    changes.setdefault("sandbox", Sandbox())
    changes.setdefault("now", NOW)
    changes.setdefault("advisories_synced_at", NOW - timedelta(hours=1))
    changes.setdefault("network_isolated", True)
    return EvaluationRequest(lock=lock, policies=tuple(policies), **changes)


def judge(lock: Lock | str, *policies: Policy, **changes: Any) -> Verdict:
    return evaluate(make_request(make_lock(lock) if isinstance(lock, str) else lock, *policies, **changes))


#: Whom an approval answers unless a test says so: the policy that ``make_policy`` makes.
BASE = frozenset({PolicyRef("base")})


def make_approval(*packages: str, findings: Iterable[tuple[str, str, str]] = (), **changes: Any) -> Approval:
    """Findings are ``(package, kind, name)``, with packages as ``package_id`` takes them."""
    changes.setdefault("min_maturity", Maturity.STUDENT)
    changes.setdefault("approved", True)
    changes.setdefault("name", "approval-1")
    changes.setdefault("policies", BASE)
    return Approval(
        artefacts=frozenset(sha_of(package) for package in packages),
        accepted_findings=frozenset((package_id(package), kind, name) for package, kind, name in findings),
        **changes,
    )


def declare(*requirements: str) -> tuple[DeclaredPackage, ...]:
    return tuple(DeclaredPackage.from_pep508(Requirement(text)) for text in requirements)


def judge_by_names(*requirements: str, policies: Iterable[Policy], **changes: Any) -> Verdict | None:
    changes.setdefault("maturity", Maturity.SUPERVISED)
    changes.setdefault("name_findings", ())
    changes.setdefault("approvals", ())
    changes.setdefault("now", NOW)
    return judge_names(NamesRequest(declared=declare(*requirements), policies=tuple(policies), **changes))


def grounds_of(verdict: Verdict) -> set[tuple[str, str, str]]:
    """Package name, code and rule of each reason."""
    return {
        (reason.package.name if reason.package else "", reason.code.value, reason.rule)
        for reason in verdict.reasons
    }
