"""A Skill's status: stable for equal evidence, and written only for what a reader would act on."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import (
    NOW,
    PLATFORM,
    declare,
    make_age,
    make_finding,
    make_finding_rules,
    make_lock,
    make_policy,
    make_scan,
)

from skillwarden.domain.assess import AgentView, Assessment, Evidence, assess
from skillwarden.domain.conditions import ConditionDraft, ConditionType, Status
from skillwarden.domain.decide import decide
from skillwarden.domain.finding import Finding, Severity
from skillwarden.domain.lock import Lock
from skillwarden.domain.policy import Action, Maturity, Policy
from skillwarden.domain.skill import Sandbox, SkillKey
from skillwarden.domain.world import SkillWorld
from skillwarden.services.status import apply_body, differs, skill_status

CHAINS = ("pandas 2.2 > numpy 2.1", "requests 2.32 > urllib3 2.0", "rich 13.0")
LOCK = make_lock(*CHAINS)
NAMES = [f"{package.id.name} {package.id.version}" for package in LOCK.packages]
POLICIES = tuple(
    make_policy(name, findings=make_finding_rules(vulnerability=dict.fromkeys(Severity, Action.DENY)))
    for name in ("one", "two", "three")
)
FINDINGS = st.lists(
    st.builds(
        lambda name, number, severity: make_finding(name, f"GHSA-{number}", severity=severity),
        st.sampled_from(NAMES),
        st.integers(1, 20),
        st.sampled_from(Severity),
    ),
    unique_by=lambda item: (item.package, item.id),
    max_size=15,
)


def judged(
    findings: list[Finding],
    *,
    lock: Lock = LOCK,
    policies: tuple[Policy, ...] = POLICIES,
    now: datetime = NOW,
) -> Assessment:
    return assess(
        Evidence(
            declared=declare("pandas", "requests", "rich"),
            content_digest="sha256:" + "a" * 64,
            source_findings=(),
            platform=PLATFORM,
            agent=AgentView("analyst", Maturity.SUPERVISED),
            policies=policies,
            resolution=lock,
            scan=make_scan(lock, *findings),
            advisories_synced_at=NOW,
            network_isolated=True,
            sandbox=Sandbox(),
            now=now,
        )
    )


def status_of(
    assessment: Assessment, observed: dict[str, Any] | None = None, *, hours: int = 0
) -> dict[str, Any]:
    network = ConditionDraft(ConditionType.NETWORK_ISOLATED, Status.TRUE, "Enforced", "")
    plan = decide(SkillWorld(assessment=assessment, network=network))
    return skill_status(
        plan=plan,
        assessment=assessment,
        observed=observed or {},
        generation=3,
        sandbox={"ready": 0, "selector": "a=b"},
        now=NOW + timedelta(hours=hours),
    )


@given(FINDINGS, st.randoms(use_true_random=False))
def test_equal_evidence_in_any_order_and_at_any_time_gives_an_equal_status(
    findings: list[Finding], chance: random.Random
) -> None:
    first = status_of(judged(findings))
    shuffled, policies, chains = list(findings), list(POLICIES), list(CHAINS)
    for items in (shuffled, policies, chains):
        chance.shuffle(items)
    again = judged(
        shuffled, lock=make_lock(*chains), policies=tuple(policies), now=NOW + timedelta(minutes=9)
    )
    assert status_of(again, first, hours=5) == first


@given(FINDINGS)
def test_a_status_is_bounded_and_its_worst_findings_come_first(findings: list[Finding]) -> None:
    status = status_of(judged(findings))
    top = status["topFindings"]
    assert len(top) == min(10, len(findings))
    order = [str(severity) for severity in Severity]
    shown = [order.index(item["severity"]) for item in top]
    assert shown == sorted(shown)
    assert sum(status["findings"].values()) == len(findings)
    assert len(status.get("reasons", [])) <= 10


def test_the_status_names_what_was_judged_and_how() -> None:
    bad = make_finding("numpy 2.1", "GHSA-9", severity=Severity.CRITICAL, fixed_versions=("2.2",))
    status = status_of(judged([bad]))
    assert status["verdict"] == status["phase"] == "Denied"
    assert status["lock"]["digest"] == LOCK.digest
    assert status["lock"]["python"] == [name.replace(" ", "==") for name in NAMES]
    assert status["packages"] == len(LOCK.packages)
    [top] = status["topFindings"]
    assert (top["id"], top["path"], top["severity"]) == ("GHSA-9", "pandas > numpy", "Critical")
    assert "2.2" in top["fix"]
    assert {item["policy"] for item in status["decidedBy"]} == {str(policy.ref) for policy in POLICIES}


def test_an_age_is_no_finding_to_count() -> None:
    status = status_of(judged([make_age("numpy 2.1", timedelta(days=900))]))
    assert sum(status["findings"].values()) == 0
    assert status["topFindings"] == []


def test_a_status_of_a_skill_that_was_not_scanned_claims_no_findings() -> None:
    status = status_of(replace(judged([]), verdict=None, scan=None, lock=None))
    assert not {"findings", "topFindings", "scan", "lock", "packages"} & set(status)


@pytest.mark.parametrize(
    ("sentence", "change", "written"),
    [
        ("nothing", {}, False),
        ("the revision of the advisories", {"scan": {"advisoryRevision": "r2"}}, False),
        ("the phase", {"phase": "Failed"}, True),
        ("a condition", {"conditions": []}, True),
        ("a field that nobody knew before", {"new": 1}, True),
    ],
)
def test_a_status_is_written_when_what_differs_is(
    sentence: str, change: dict[str, Any], written: bool
) -> None:
    status = status_of(judged([]))
    assert differs(status | change, status) is written


def test_a_status_is_always_applied_to_the_very_version_that_was_seen() -> None:
    body = apply_body("Skill", SkillKey("team", "demo", "u"), "17", {"phase": "Ready"})
    assert body["metadata"] == {"name": "demo", "namespace": "team", "resourceVersion": "17", "uid": "u"}
    body = apply_body("ClusterPackagePolicy", SkillKey("", "base", "u"), "17", {})
    assert "namespace" not in body["metadata"]
