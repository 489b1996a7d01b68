"""What an approval lifts, what it never lifts, and what waits for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import (
    NOW,
    grounds_of,
    judge,
    make_approval,
    make_ban,
    make_finding,
    make_finding_rules,
    make_lock,
    make_policy,
    make_rule,
    make_scan,
    package_id,
    sha_of,
)

from skillwarden.domain.finding import Finding, FindingKind, Severity
from skillwarden.domain.lock import Artefact, Lock, LockedPackage
from skillwarden.domain.policy import Action, Maturity, PolicyRef
from skillwarden.domain.verdict import Approval, ComplianceReason

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
HIGH_ASKS = make_finding_rules(vulnerability=dict.fromkeys(Severity, ALLOW) | {Severity.HIGH: ASK})
HOUR = timedelta(hours=1)
GHSA_1 = [("numpy 2.1", "vulnerability", "GHSA-1"), ("numpy 2.1", "vulnerability", "CVE-1")]
SIX_GHSA_1 = [("six 2.1", kind, name) for _, kind, name in GHSA_1]
OLD_GHSA_1 = [("numpy 2.0", kind, name) for _, kind, name in GHSA_1]


@pytest.mark.parametrize(
    ("sentence", "approval", "reason"),
    [
        ("of the very artefact", make_approval("numpy 2.1"), "Allowed"),
        ("of it and others", make_approval("six 1", "numpy 2.1"), "Allowed"),
        ("of another version", make_approval("numpy 2.0"), "ApprovalRequired"),
        ("of another package", make_approval("six 1"), "ApprovalRequired"),
        ("of nothing", make_approval(), "ApprovalRequired"),
        ("that ends later", make_approval("numpy 2.1", expires_at=NOW + HOUR), "Allowed"),
        ("that ends now", make_approval("numpy 2.1", expires_at=NOW), "ApprovalRequired"),
        ("that has ended", make_approval("numpy 2.1", expires_at=NOW - HOUR), "ApprovalRequired"),
        ("for agents of this maturity", make_approval("numpy 2.1", min_maturity=Maturity.INTERN), "Allowed"),
        (
            "for agents of a higher maturity",
            make_approval("numpy 2.1", min_maturity=Maturity.SUPERVISED),
            "ApprovalRequired",
        ),
        ("that is a refusal", make_approval("numpy 2.1", approved=False), "Denied"),
        (
            "that is a refusal, for good: expired",
            make_approval("numpy 2.1", approved=False, expires_at=NOW - HOUR),
            "Denied",
        ),
        (
            "that is a refusal, for all: asked for a higher maturity",
            make_approval("numpy 2.1", approved=False, min_maturity=Maturity.AUTONOMOUS),
            "Denied",
        ),
        ("that is a refusal of another artefact", make_approval("six 1", approved=False), "ApprovalRequired"),
    ],
)
def test_an_approval(sentence: str, approval: Approval, reason: str) -> None:
    verdict = judge("numpy 2.1", make_policy(unlisted=ASK), approvals=(approval,), maturity=Maturity.INTERN)
    assert verdict.reason.value == reason, sentence


def test_an_approval_is_of_bytes_and_not_of_a_name_and_version() -> None:
    lock = make_lock("numpy 2.1")
    other = Lock(
        lock.platform,
        (LockedPackage(package_id("numpy 2.1"), Artefact("numpy.whl", "sha256:" + "f" * 64), direct=True),),
    )
    approvals = (make_approval("numpy 2.1"),)
    assert judge(lock, make_policy(unlisted=ASK), approvals=approvals).allowed
    assert not judge(other, make_policy(unlisted=ASK), approvals=approvals).allowed


def test_an_approval_meets_what_no_policy_speaks_of() -> None:
    assert judge("numpy 2.1", make_policy(unlisted=None), approvals=(make_approval("numpy 2.1"),)).allowed


def test_an_approval_meets_what_a_ceiling_asks_for() -> None:
    base = make_policy(maturity={Maturity.INTERN: ASK})
    approvals = (make_approval("numpy 2.1"),)
    assert judge("numpy 2.1", base, maturity=Maturity.INTERN, approvals=approvals).allowed


@pytest.mark.parametrize(
    ("sentence", "changes", "reason"),
    [
        ("a ban", {"bans": (make_ban("numpy"),)}, "Banned"),
        ("a later ban of the approved version", {"bans": (make_ban("numpy", versions="==2.1"),)}, "Banned"),
        ("a rule that denies", {"rules": (make_rule("numpy", DENY),)}, "Denied"),
        ("unlisted that denies", {"unlisted": DENY}, "Denied"),
        ("a ceiling that denies", {"maturity": {Maturity.SUPERVISED: DENY}}, "MaturityTooLow"),
        (
            "a rule that asks for more maturity",
            {"rules": (make_rule("numpy", ASK, min_maturity=Maturity.AUTONOMOUS),)},
            "MaturityTooLow",
        ),
        (
            "a finding that denies",
            {"findings": make_finding_rules(vulnerability=dict.fromkeys(Severity, DENY))},
            "Denied",
        ),
    ],
)
def test_no_approval_lifts(sentence: str, changes: dict[str, Any], reason: str) -> None:
    approval = make_approval("numpy 2.1", findings=[("numpy 2.1", "vulnerability", "GHSA-1")])
    verdict = judge(
        "numpy 2.1",
        make_policy(**changes),
        findings=[make_finding("numpy 2.1")],
        approvals=(approval,),
    )
    assert verdict.reason.value == reason, sentence


@pytest.mark.parametrize(
    ("sentence", "approvals", "allowed"),
    [
        ("names the finding and its number", [make_approval("numpy 2.1", findings=GHSA_1)], True),
        ("names the finding, and not its number", [make_approval("numpy 2.1", findings=GHSA_1[:1])], False),
        ("names its number alone", [make_approval("numpy 2.1", findings=GHSA_1[1:])], False),
        ("names no finding", [make_approval("numpy 2.1")], False),
        (
            "names another",
            [make_approval("numpy 2.1", findings=[("numpy 2.1", "vulnerability", "GHSA-2")])],
            False,
        ),
        ("names it of another package", [make_approval("numpy 2.1", findings=SIX_GHSA_1)], False),
        ("names it of another version", [make_approval("numpy 2.1", findings=OLD_GHSA_1)], False),
        (
            "names it in another kind",
            [make_approval("numpy 2.1", findings=[("numpy 2.1", "typosquat", "GHSA-1")])],
            False,
        ),
        (
            "names it for another artefact",
            [make_approval("numpy 2.0", findings=GHSA_1)],
            False,
        ),
        (
            "of the artefact and another of the finding do not add up",
            [
                make_approval("numpy 2.1"),
                make_approval("six 1", findings=GHSA_1),
            ],
            False,
        ),
    ],
)
def test_a_finding_is_accepted_only_by_an_approval_that(
    sentence: str, approvals: list[Approval], allowed: bool
) -> None:
    verdict = judge(
        "numpy 2.1",
        make_policy(findings=HIGH_ASKS),
        findings=[make_finding("numpy 2.1", aliases=("CVE-1",))],
        approvals=tuple(approvals),
    )
    assert verdict.allowed is allowed, sentence


def test_an_accepted_finding_does_not_accept_another_of_the_same_package() -> None:
    verdict = judge(
        "numpy 2.1",
        make_policy(findings=HIGH_ASKS),
        findings=[make_finding("numpy 2.1", "GHSA-1"), make_finding("numpy 2.1", "GHSA-2")],
        approvals=(make_approval("numpy 2.1", findings=[("numpy 2.1", "vulnerability", "GHSA-1")]),),
    )
    assert [reason.finding.id for reason in verdict.reasons if reason.finding] == ["GHSA-2"]


@pytest.mark.parametrize(
    "named",
    [
        pytest.param({"identity": "GHSA-1", "aliases": ("CVE-1",)}, id="an advisory"),
        pytest.param({"identity": "exec-base64", "kind": FindingKind.MALWARE}, id="a heuristic"),
        pytest.param({"identity": "postinstall", "kind": FindingKind.INSTALL_SCRIPT}, id="a script"),
    ],
)
def test_what_is_accepted_of_one_package_is_not_accepted_of_another_that_was_approved_with_it(
    named: dict[str, Any],
) -> None:
    shown, later = make_finding("pillow 9.5", **named), make_finding("opencv-python 4.8", **named)
    names = [("pillow 9.5", shown.kind.value, name) for name in (shown.id, *shown.aliases)]
    approvals = (make_approval("pillow 9.5", "opencv-python 4.8", findings=names),)
    rules = replace(HIGH_ASKS, malware=ASK, install_script=ASK)
    policy = make_policy(unlisted=ASK, findings=rules)
    lock = make_lock("pillow 9.5", "opencv-python 4.8")
    assert judge(lock, policy, findings=[shown], approvals=approvals).allowed
    verdict = judge(lock, policy, findings=[shown, later], approvals=approvals)
    assert [reason.finding for reason in verdict.reasons] == [later]


ONE = make_finding("numpy 2.1", "GHSA-1", aliases=("CVE-1",))
OTHER = make_finding("numpy 2.1", "GHSA-2", aliases=("CVE-2",))


@pytest.mark.parametrize(
    ("sentence", "findings", "allowed"),
    [
        ("the one", [ONE], True),
        ("the other besides", [ONE, OTHER], False),
        (
            "both as one, by a record that names both",
            [ONE, OTHER, make_finding("numpy 2.1", "PYSEC-9", aliases=("CVE-1", "CVE-2"))],
            False,
        ),
        ("a copy of the one", [ONE, make_finding("numpy 2.1", "PYSEC-9", aliases=("CVE-1",))], True),
        ("a copy of it with another number", [make_finding("numpy 2.1", aliases=("CVE-1", "CVE-3"))], False),
    ],
)
def test_an_approval_of_one_vulnerability_meets(
    sentence: str, findings: list[Finding], allowed: bool
) -> None:
    approvals = (make_approval("numpy 2.1", findings=GHSA_1),)
    policy = make_policy(findings=HIGH_ASKS)
    assert judge("numpy 2.1", policy, findings=findings, approvals=approvals).allowed is allowed, sentence


NUMBERS = ["GHSA-1", "GHSA-2", "CVE-1", "CVE-2"]
#: One at least has a number: what has none is what the record says that names it besides.
RECORDS = st.builds(
    lambda number, others: make_finding("numpy 2.1", number, aliases=tuple(sorted(others - {number}))),
    st.sampled_from(NUMBERS),
    st.frozensets(st.sampled_from([*NUMBERS, "PYSEC-1", "PYSEC-2"]), max_size=2),
)


@given(st.lists(RECORDS, min_size=1, max_size=3), RECORDS, st.integers(0, 2))
def test_another_advisory_never_makes_a_verdict_milder(
    records: list[Finding], another: Finding, first: int
) -> None:
    asked = records[first % len(records)]
    names = [("numpy 2.1", "vulnerability", name) for name in (asked.id, *asked.aliases)]
    approvals = (make_approval("numpy 2.1", findings=names),)
    policy = make_policy(findings=HIGH_ASKS)
    before = judge("numpy 2.1", policy, findings=records, approvals=approvals)
    after = judge("numpy 2.1", policy, findings=[*records, another], approvals=approvals)
    assert before.allowed or not after.allowed


def test_a_verdict_that_rests_on_an_approval_is_revisited_when_it_ends() -> None:
    approvals = (
        make_approval("numpy 2.1", expires_at=NOW + 5 * HOUR),
        make_approval("six 1", expires_at=NOW + 2 * HOUR),
        make_approval("six 1", expires_at=NOW + 3 * HOUR),
        make_approval("other 1", expires_at=NOW + HOUR),
    )
    lock = make_lock("numpy 2.1", "six 1")
    verdict = judge(lock, make_policy(unlisted=ASK), approvals=approvals)
    assert verdict.allowed
    assert verdict.revisit_at == NOW + 3 * HOUR


def test_an_approval_without_end_needs_no_revisit() -> None:
    approvals = (make_approval("numpy 2.1"), make_approval("numpy 2.1", expires_at=NOW + HOUR))
    assert judge("numpy 2.1", make_policy(unlisted=ASK), approvals=approvals).revisit_at is None


def test_pending_is_by_declared_package_and_shared_dependencies_stand_under_both() -> None:
    lock = make_lock("zeta 1 > shared 1", "alpha 1 > mid 1 > shared 1", "plain 1")
    base = make_policy(rules=(make_rule("zeta mid plain"), make_rule("*", ASK)))

    verdict = judge(lock, base, maturity=Maturity.SUPERVISED)

    assert verdict.reason is ComplianceReason.APPROVAL_REQUIRED
    assert [(entry.declared.name, [str(item) for item in entry.packages]) for entry in verdict.pending] == [
        ("alpha", ["alpha 1", "shared 1"]),
        ("zeta", ["shared 1"]),
    ]
    assert {entry.min_maturity for entry in verdict.pending} == {Maturity.SUPERVISED}


def test_pending_leaves_out_what_is_approved() -> None:
    lock = make_lock("alpha 1 > shared 1", "beta 1")
    approvals = (make_approval("alpha 1", "beta 1"),)
    verdict = judge(lock, make_policy(unlisted=ASK), approvals=approvals)
    assert [(entry.declared.name, [item.name for item in entry.packages]) for entry in verdict.pending] == [
        ("alpha", ["shared"])
    ]


def test_a_denied_skill_waits_for_nothing() -> None:
    lock = make_lock("alpha 1", "beta 1")
    verdict = judge(lock, make_policy(rules=(make_rule("beta", DENY),), unlisted=ASK))
    assert verdict.reason is ComplianceReason.DENIED
    assert verdict.pending == ()
    assert grounds_of(verdict) == {
        ("beta", "Denied", "rule-beta"),
        ("alpha", "ApprovalRequired", "unlisted"),
    }


def test_a_lifted_ground_is_named_in_what_decided() -> None:
    lock = make_lock("numpy 2.1")
    base = make_policy(rules=(make_rule("numpy", ASK, name="ask"),))
    verdict = judge(lock, base, approvals=(make_approval("numpy 2.1"),), scan=make_scan(lock))
    assert verdict.decided_by == ((base.ref, "ask"),)


def test_a_refusal_names_the_approval_and_the_path() -> None:
    approval = make_approval("numpy 2.1", approved=False, name="no-numpy")
    verdict = judge("pandas 2.2 > numpy 2.1", make_policy(), approvals=(approval,))
    (reason,) = verdict.reasons
    assert "numpy 2.1 (pandas > numpy)" in reason.message
    assert "no-numpy" in reason.message
    assert sha_of("numpy 2.1") in approval.artefacts


CLUSTER = make_policy("cluster", unlisted=ASK)
TEAM = make_policy("team", namespace="web", unlisted=ASK)


def test_an_approval_answers_only_the_policies_that_had_asked() -> None:
    """Whoever may approve for a namespace's policy cannot, by being early, answer what the cluster's asks."""
    early = make_approval("numpy 2.1", policies=frozenset({TEAM.ref}))
    assert judge("numpy 2.1", TEAM, approvals=(early,)).allowed
    verdict = judge("numpy 2.1", TEAM, CLUSTER, approvals=(early,))
    assert verdict.reason is ComplianceReason.APPROVAL_REQUIRED
    [entry] = verdict.pending
    assert entry.policies == (CLUSTER.ref,)
    both = (early, make_approval("numpy 2.1", policies=frozenset({CLUSTER.ref})))
    assert judge("numpy 2.1", TEAM, CLUSTER, approvals=both).allowed


def test_a_finding_that_one_policy_accepts_is_not_accepted_for_another() -> None:
    team = make_policy("team", namespace="web", findings=HIGH_ASKS)
    cluster = make_policy("cluster", findings=HIGH_ASKS)
    early = make_approval(
        "numpy 2.1", findings=[("numpy 2.1", "vulnerability", "GHSA-1")], policies=frozenset({team.ref})
    )
    given: dict[str, Any] = {"findings": (make_finding("numpy 2.1"),), "approvals": (early,)}
    assert judge("numpy 2.1", team, **given).allowed
    verdict = judge("numpy 2.1", team, cluster, **given)
    assert [(reason.policy, reason.action) for reason in verdict.reasons] == [(cluster.ref, ASK)]


def test_a_package_of_which_no_policy_speaks_stays_approved_when_another_silent_policy_comes() -> None:
    silent = [make_policy(name, unlisted=None) for name in ("base", "later")]
    assert judge("numpy 2.1", *silent, approvals=(make_approval("numpy 2.1"),)).allowed


def test_a_policy_of_the_same_name_elsewhere_is_another_policy() -> None:
    early = make_approval("numpy 2.1", policies=frozenset({PolicyRef("team", "other")}))
    assert not judge("numpy 2.1", TEAM, approvals=(early,)).allowed
    early = make_approval("numpy 2.1", policies=frozenset({PolicyRef("team", "")}))
    assert not judge("numpy 2.1", make_policy("team", unlisted=ASK), approvals=(early,)).allowed
