"""The verdict on a closure of 250 artefacts against 1,000 rules and 50 approvals."""

from __future__ import annotations

import gc
import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from skillwarden.domain.evaluate import Approval, EvaluationRequest, evaluate
from skillwarden.domain.finding import (
    Finding,
    FindingKind,
    ScannerName,
    ScannerReport,
    ScanResult,
    ScanState,
    Severity,
)
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Action, FindingRules, Maturity, Policy, PolicyRef, Rule
from skillwarden.domain.skill import Sandbox

from .measure import Measurement, percentile

ARTEFACTS, RULES, POLICIES, APPROVALS, DECLARED = 250, 1_000, 4, 50, 20
ROUNDS = 2_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> list[Measurement]:
    """Measure warm verdicts, and the first one over policies that were never seen."""
    request = make_request()
    started = time.thread_time()
    first = evaluate(request)
    cold = time.thread_time() - started
    if not first.allowed:
        raise RuntimeError(f"the benchmark's own closure is not allowed: {first.reasons[:3]}")
    gc.collect()
    cpu, wall = [], []
    for _ in range(ROUNDS):
        clock, started = time.perf_counter(), time.thread_time()
        evaluate(request)
        cpu.append(1e3 * (time.thread_time() - started))
        wall.append(1e3 * (time.perf_counter() - clock))
    single = replace(request, lock=make_lock(1), scan=make_scan(make_lock(1)))
    evaluate(single)
    started = time.thread_time()
    for _ in range(ROUNDS):
        evaluate(single)
    alone = 1e3 * (time.thread_time() - started) / ROUNDS
    what = f"verdict, {ARTEFACTS} artefacts, {RULES:,} rules, {APPROVALS} approvals"
    return [
        Measurement(f"{what}: p99", percentile(cpu, 0.99), "ms", 1, peer="one artefact", peer_value=alone),
        Measurement("  p50", percentile(cpu, 0.5), "ms"),
        Measurement("  p99 by the wall clock", percentile(wall, 0.99), "ms", note="what else runs counts"),
        Measurement("  the first, over unseen policies", 1e3 * cold, "ms", note="compiles their rules"),
    ]


def make_request() -> EvaluationRequest:
    """Return everything that a verdict depends on."""
    lock, policies = make_lock(ARTEFACTS), make_policies()
    return EvaluationRequest(
        lock=lock,
        scan=make_scan(lock),
        policies=policies,
        maturity=Maturity.SUPERVISED,
        approvals=make_approvals(lock, policies),
        sandbox=Sandbox(),
        now=NOW,
        advisories_synced_at=NOW,
        network_isolated=True,
    )


def make_lock(size: int) -> Lock:
    """Return a closure in which every pulled-in package has two parents."""
    chance = random.Random(1)
    packages = []
    for number in range(size):
        declared = number < DECLARED
        parents = set() if declared else {chance.randrange(number) for _ in range(2)}
        packages.append(
            LockedPackage(
                PackageId.of(Ecosystem.PYPI, f"pkg-{number}", f"1.{number}.0"),
                Artefact(f"pkg_{number}.whl", f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"),
                tuple(
                    PackageId.of(Ecosystem.PYPI, f"pkg-{above}", f"1.{above}.0") for above in sorted(parents)
                ),
                declared,
            )
        )
    return Lock(Platform("3.12"), tuple(packages))


def make_policies() -> tuple[Policy, ...]:
    """Return policies with a fifth of their rules by glob, a seventh over dependencies, and ranges."""
    chance = random.Random(2)

    def rule(number: int) -> Rule:
        names = (f"pkg-{chance.randrange(400)}", f"x{number}-*") if number % 5 else (f"y{number}*-core",)
        return Rule(
            f"rule-{number}",
            Ecosystem.PYPI,
            names,
            Action.ALLOW,
            versions=chance.choice(["*", ">=1,<3"]),
            include_dependencies=number % 7 == 0,
        )

    return tuple(
        Policy(
            PolicyRef(f"policy-{number}"),
            rules=tuple(rule(index) for index in range(RULES // POLICIES)),
            # What no rule names needs an approval, or the approvals would not be looked at.
            unlisted=Action.REQUIRE_APPROVAL if number == 0 else None,
            max_advisory_age=timedelta(hours=48),
            findings=FindingRules(min_release_age=timedelta(hours=72), licence_deny=("AGPL-*", "SSPL-*")),
        )
        for number in range(POLICIES)
    )


def make_scan(lock: Lock) -> ScanResult:
    """Return the reports of six scanners, with an advisory on every twenty-fifth package."""
    ids = frozenset(package.id for package in lock.packages)
    ages = tuple(
        Finding(FindingKind.RELEASE_AGE, package.id, "released", published_at=NOW - timedelta(days=30))
        for package in lock.packages
    )
    licences = tuple(
        Finding(FindingKind.LICENCE, package.id, "MIT OR Apache-2.0") for package in lock.packages
    )
    holes = tuple(
        Finding(
            FindingKind.VULNERABILITY,
            package.id,
            f"GHSA-{number}",
            Severity.MEDIUM,
            "a hole",
            (f"CVE-{number}",),
            ("9.9",),
            (ScannerName.OSV,),
        )
        for number, package in enumerate(lock.packages[::25])
    )
    reports = (
        ScannerReport(ScannerName.OSV, ScanState.FINDINGS, ids, holes),
        ScannerReport(ScannerName.PIP_AUDIT, ScanState.PASS, ids),
        ScannerReport(ScannerName.TYPOSQUAT, ScanState.PASS, ids),
        ScannerReport(ScannerName.CONFUSION, ScanState.PASS, ids),
        ScannerReport(ScannerName.ARTEFACT, ScanState.FINDINGS, ids, licences),
        ScannerReport(ScannerName.AGE, ScanState.FINDINGS, ids, ages),
    )
    return ScanResult(lock.digest, "revision", NOW, reports)


def make_approvals(lock: Lock, policies: Sequence[Policy]) -> tuple[Approval, ...]:
    """Return approvals that together cover the closure."""
    share = len(lock.packages) // APPROVALS
    return tuple(
        Approval(
            artefacts=frozenset(item.artefact.digest for item in lock.packages[share * n : share * (n + 1)]),
            accepted_findings=frozenset(),
            min_maturity=Maturity.INTERN,
            approved=True,
            policies=frozenset(policy.ref for policy in policies),
            name=f"approval-{n}",
        )
        for n in range(APPROVALS)
    )
