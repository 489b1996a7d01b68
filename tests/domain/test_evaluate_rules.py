"""Bans, ceilings, rules, inheritance and what nobody names: one sentence each."""

from __future__ import annotations

from typing import Any

import pytest
from make_domain import (
    grounds_of,
    judge,
    make_approval,
    make_ban,
    make_lock,
    make_policy,
    make_rule,
    make_scan,
    package_id,
)

from skillwarden.domain.lock import Lock
from skillwarden.domain.policy import Action, Enforcement, Maturity, Policy, PolicyRef, Scope
from skillwarden.domain.verdict import ComplianceReason

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY


def policy(name: str = "base", **changes: Any) -> Policy:
    """A policy of which a test says everything that matters: by itself it abstains."""
    changes.setdefault("unlisted", None)
    return make_policy(name, **changes)


@pytest.mark.parametrize(
    ("sentence", "chains", "policies", "reason", "rule"),
    [
        (
            "a ban denies",
            "numpy 2.1",
            [policy(bans=(make_ban("numpy"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban denies what a rule of the same policy allows",
            "numpy 2.1",
            [policy(bans=(make_ban("numpy"),), rules=(make_rule("numpy"),))],
            "Banned",
            "bans[0]",
        ),
        (
            "a cluster's ban denies what the namespace allows",
            "numpy 2.1",
            [
                policy("cluster", bans=(make_ban("numpy"),), unlisted=ALLOW),
                policy("team", namespace="a", rules=(make_rule("numpy"),)),
            ],
            "Banned",
            "bans[0]",
        ),
        (
            "a namespace's ban denies what the cluster allows",
            "numpy 2.1",
            [policy(unlisted=ALLOW), policy("team", namespace="a", bans=(make_ban("numpy"),))],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban holds three levels down",
            "app 1.0 > web 1.0 > telnetlib3 2.0",
            [policy(bans=(make_ban("telnetlib3"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban by glob",
            "telnetlib3 2.0",
            [policy(bans=(make_ban("x telnet*"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban on a range holds inside",
            "numpy 1.21.0",
            [policy(bans=(make_ban("numpy", versions="<2"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban on a range does not hold outside",
            "numpy 2.1",
            [policy(bans=(make_ban("numpy", versions="<2"),), unlisted=ALLOW)],
            "Allowed",
            "unlisted",
        ),
        (
            "a ban on a pre-release range holds",
            "numpy 2.1rc1",
            [policy(bans=(make_ban("numpy", versions=">=2"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban whose range cannot be read holds for every version",
            "numpy 2.1",
            [policy(bans=(make_ban("numpy", versions="1.x"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a ban on a range holds for a version that cannot be read",
            "numpy odd-version",
            [policy(bans=(make_ban("numpy", versions="<1"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "the second ban is named by its place",
            "numpy 2.1",
            [policy(bans=(make_ban("six"), make_ban("numpy")), unlisted=ALLOW)],
            "Banned",
            "bans[1]",
        ),
        (
            "the first rule that matches counts",
            "numpy 2.1",
            [policy(rules=(make_rule("numpy", ASK, name="first"), make_rule("numpy", DENY, name="second")))],
            "ApprovalRequired",
            "first",
        ),
        (
            "a rule whose range does not match is passed over",
            "numpy 2.1",
            [
                policy(
                    rules=(
                        make_rule("numpy", DENY, name="old", versions="<2"),
                        make_rule("numpy", name="new", versions=">=2"),
                    )
                )
            ],
            "Allowed",
            "new",
        ),
        (
            "a ban below a version holds its pre-releases",
            "numpy 2.0rc1",
            [policy(bans=(make_ban("numpy", versions="<2.0"),), unlisted=ALLOW)],
            "Banned",
            "bans[0]",
        ),
        (
            "a rule that denies below a version denies its pre-releases",
            "numpy 2.0rc1",
            [policy(rules=(make_rule("numpy", DENY, versions="<2.0", name="old"), make_rule("numpy")))],
            "Denied",
            "old",
        ),
        (
            "a rule that allows below a version does not allow its pre-releases",
            "numpy 2.0rc1",
            [policy(rules=(make_rule("numpy", versions="<2.0"),), unlisted=ASK)],
            "ApprovalRequired",
            "unlisted",
        ),
        (
            "a rule meets a pre-release",
            "numpy 2.1rc1",
            [policy(rules=(make_rule("numpy", versions=">=2", name="new"),))],
            "Allowed",
            "new",
        ),
        (
            "a version that cannot be read meets only a rule for every version",
            "numpy odd-version",
            [
                policy(
                    rules=(
                        make_rule("numpy", versions=">=0", name="ranged"),
                        make_rule("numpy", ASK, name="every"),
                    )
                )
            ],
            "ApprovalRequired",
            "every",
        ),
        (
            "a rule whose range cannot be read denies, whatever it says",
            "numpy 2.1",
            [policy(rules=(make_rule("numpy", ALLOW, versions="1.x", name="broken"),))],
            "Denied",
            "broken",
        ),
        (
            "a rule with an impossible range matches nothing",
            "numpy 1.5",
            [policy(rules=(make_rule("numpy", versions=">=2,<1"),), unlisted=DENY)],
            "Denied",
            "unlisted",
        ),
        (
            "a rule for declared packages does not meet what is pulled in",
            "pandas 2.2 > numpy 2.1",
            [policy(rules=(make_rule("*", scope=Scope.DIRECT),), unlisted=DENY)],
            "Denied",
            "unlisted",
        ),
        (
            "a rule for what is pulled in does not meet declared packages",
            "pandas 2.2 > numpy 2.1",
            [policy(rules=(make_rule("*", scope=Scope.TRANSITIVE),), unlisted=ASK)],
            "ApprovalRequired",
            "unlisted",
        ),
        (
            "a rule by glob",
            "types-six 1.0",
            [policy(rules=(make_rule("types-*", name="stubs"),))],
            "Allowed",
            "stubs",
        ),
        ("unlisted denies what no rule names", "numpy 2.1", [policy(unlisted=DENY)], "Denied", "unlisted"),
        (
            "unlisted asks for approval of what no rule names",
            "numpy 2.1",
            [policy(unlisted=ASK)],
            "ApprovalRequired",
            "unlisted",
        ),
        (
            "what no policy speaks of needs approval",
            "numpy 2.1",
            [policy("a"), policy("b")],
            "ApprovalRequired",
            "unlisted",
        ),
        (
            "a policy that abstains leaves the word to another",
            "numpy 2.1",
            [policy("a"), policy("b", rules=(make_rule("numpy", name="stack"),))],
            "Allowed",
            "stack",
        ),
        (
            "the stricter of two policies wins: deny over allow",
            "numpy 2.1",
            [
                policy("a", rules=(make_rule("numpy"),)),
                policy("b", rules=(make_rule("numpy", DENY, name="no"),)),
            ],
            "Denied",
            "no",
        ),
        (
            "the stricter of two policies wins: approval over allow",
            "numpy 2.1",
            [
                policy("a", rules=(make_rule("numpy", ASK, name="ask"),)),
                policy("b", rules=(make_rule("numpy"),)),
            ],
            "ApprovalRequired",
            "ask",
        ),
        (
            "a namespace's Allow does not loosen the cluster's unlisted",
            "numpy 2.1",
            [
                policy("cluster", unlisted=ASK),
                policy("team", namespace="a", rules=(make_rule("numpy"),)),
            ],
            "ApprovalRequired",
            "unlisted",
        ),
        (
            "the strictest package decides for the skill",
            "pandas 2.2 > numpy 2.1",
            [policy(rules=(make_rule("pandas"), make_rule("numpy", DENY, name="no")))],
            "Denied",
            "no",
        ),
    ],
)
def test_rule(sentence: str, chains: str, policies: list[Policy], reason: str, rule: str) -> None:
    verdict = judge(chains, *policies)

    assert verdict.reason.value == reason, sentence
    assert verdict.allowed is (reason == "Allowed")
    labels = {ground.rule for ground in verdict.reasons} or {label for _, label in verdict.decided_by}
    assert rule in labels


@pytest.mark.parametrize(
    ("sentence", "ceilings", "maturity", "rule_min", "reason", "rule"),
    [
        (
            "a Student gets no package",
            {"STUDENT": DENY},
            "STUDENT",
            "STUDENT",
            "MaturityTooLow",
            "maturity.Student",
        ),
        (
            "an Intern needs approval whatever a rule allows",
            {"STUDENT": DENY, "INTERN": ASK},
            "INTERN",
            "STUDENT",
            "ApprovalRequired",
            "maturity.Intern",
        ),
        ("a level without a ceiling is free", {"INTERN": ASK}, "SUPERVISED", "STUDENT", "Allowed", "all"),
        (
            "a ceiling holds for the levels below: naming no agent gains nothing",
            {"INTERN": ASK},
            "STUDENT",
            "STUDENT",
            "ApprovalRequired",
            "maturity.Intern",
        ),
        ("a rule asks for more than the agent has", {}, "INTERN", "SUPERVISED", "MaturityTooLow", "all"),
        ("a rule asks for just what the agent has", {}, "SUPERVISED", "SUPERVISED", "Allowed", "all"),
        ("an agent above the rule's level", {}, "AUTONOMOUS", "SUPERVISED", "Allowed", "all"),
        (
            "a ceiling that denies needs no rule besides",
            {"STUDENT": DENY},
            "STUDENT",
            "AUTONOMOUS",
            "MaturityTooLow",
            "maturity.Student",
        ),
    ],
)
def test_maturity(
    sentence: str, ceilings: dict[str, Action], maturity: str, rule_min: str, reason: str, rule: str
) -> None:
    base = policy(
        maturity={Maturity[level]: action for level, action in ceilings.items()},
        rules=(make_rule("*", name="all", min_maturity=Maturity[rule_min]),),
    )

    verdict = judge("numpy 2.1", base, maturity=Maturity[maturity])

    assert verdict.reason.value == reason, sentence
    if reason != "Allowed":
        assert grounds_of(verdict) == {("numpy", reason, rule)}


def test_a_rule_that_asks_for_maturity_and_approval_denies_an_agent_below_it() -> None:
    base = policy(rules=(make_rule("numpy", ASK, min_maturity=Maturity.SUPERVISED),))
    for approvals in ((), (make_approval("numpy 2.1"),)):
        verdict = judge("numpy 2.1", base, maturity=Maturity.INTERN, approvals=approvals)
        assert grounds_of(verdict) == {("numpy", "MaturityTooLow", "rule-numpy")}


def test_where_ceiling_and_rule_both_deny_both_are_said() -> None:
    base = policy(maturity={Maturity.STUDENT: DENY}, rules=(make_rule("numpy", DENY, name="no"),))
    verdict = judge("numpy 2.1", base, maturity=Maturity.STUDENT)
    assert grounds_of(verdict) == {
        ("numpy", "MaturityTooLow", "maturity.Student"),
        ("numpy", "Denied", "no"),
    }


@pytest.mark.parametrize(
    ("sentence", "chains", "rules", "denied"),
    [
        (
            "what only an including rule's package pulls in is allowed with it",
            ["pandas 2.2 > numpy 2.1 > six 1.16"],
            (make_rule("pandas", include_dependencies=True),),
            set(),
        ),
        (
            "without inclusion it is not",
            ["pandas 2.2 > numpy 2.1"],
            (make_rule("pandas"),),
            {"numpy"},
        ),
        (
            "what another declared package pulls in, too, does not inherit",
            ["pandas 2.2 > numpy 2.1", "other 1.0 > numpy 2.1"],
            (make_rule("pandas", include_dependencies=True), make_rule("other")),
            {"numpy"},
        ),
        (
            "what another one reaches only through the included package inherits",
            ["other 1.0 > pandas 2.2 > numpy 2.1"],
            (make_rule("pandas", include_dependencies=True), make_rule("other")),
            set(),
        ),
        (
            "a declared package does not inherit",
            ["pandas 2.2 > numpy 2.1", "numpy 2.1"],
            (make_rule("pandas", include_dependencies=True),),
            {"numpy"},
        ),
        (
            "a rule that names the package comes before inheritance",
            ["pandas 2.2 > numpy 2.1"],
            (make_rule("pandas", include_dependencies=True), make_rule("numpy", DENY)),
            {"numpy"},
        ),
        (
            "of two including rules the stricter counts",
            ["pandas 2.2 > numpy 2.1", "scipy 1.0 > numpy 2.1"],
            (
                make_rule("pandas", include_dependencies=True),
                make_rule("scipy", DENY, include_dependencies=True),
            ),
            {"scipy", "numpy"},
        ),
        (
            "what two including rules that allow reach is allowed",
            ["pandas 2.2 > numpy 2.1", "scipy 1.0 > numpy 2.1"],
            (make_rule("pandas scipy", include_dependencies=True),),
            set(),
        ),
        (
            "inheritance goes through a package that a plain rule names",
            ["pandas 2.2 > numpy 2.1 > six 1.16"],
            (make_rule("pandas", include_dependencies=True), make_rule("numpy")),
            set(),
        ),
        (
            "a cycle of dependencies inherits and ends",
            ["pandas 2.2 > numpy 2.1 > six 1.16 > numpy 2.1"],
            (make_rule("pandas", include_dependencies=True),),
            set(),
        ),
    ],
)
def test_inheritance(sentence: str, chains: list[str], rules: tuple[Any, ...], denied: set[str]) -> None:
    verdict = judge(make_lock(*chains), policy(rules=rules, unlisted=DENY))
    assert {reason.package.name for reason in verdict.reasons if reason.package} == denied, sentence


def test_a_package_that_nothing_declared_reaches_inherits_nothing() -> None:
    lock = make_lock("pandas 2.2 > numpy 2.1", "stray 1.0")
    stray = next(package for package in lock.packages if package.id.name == "stray")
    rest = tuple(package for package in lock.packages if package is not stray)
    lost = type(stray)(stray.id, stray.artefact, parents=(package_id("nobody 1.0"),), direct=False)
    base = policy(rules=(make_rule("pandas", include_dependencies=True),), unlisted=ASK)

    verdict = judge(Lock(lock.platform, (*rest, lost)), base)

    assert grounds_of(verdict) == {("stray", "ApprovalRequired", "unlisted")}
    assert [entry.declared.name for entry in verdict.pending] == ["stray"]


def test_the_highest_maturity_of_the_including_rules_is_inherited() -> None:
    base = policy(
        rules=(
            make_rule("pandas", include_dependencies=True),
            make_rule("scipy", include_dependencies=True, name="strict", min_maturity=Maturity.AUTONOMOUS),
        ),
    )
    lock = make_lock("pandas 2.2 > numpy 2.1", "scipy 1.0 > numpy 2.1")

    verdict = judge(lock, base, maturity=Maturity.SUPERVISED)

    assert grounds_of(verdict) == {
        ("scipy", "MaturityTooLow", "strict"),
        ("numpy", "MaturityTooLow", "strict"),
    }
    assert judge(lock, base, maturity=Maturity.AUTONOMOUS).allowed


def test_no_policy_means_denied_even_without_packages() -> None:
    verdict = judge(make_lock())
    assert (verdict.action, verdict.reason) == (DENY, ComplianceReason.NO_POLICY)
    assert verdict.reasons[0].fix


def test_policies_in_audit_alone_decide_nothing() -> None:
    watching = policy(unlisted=ALLOW, enforcement=Enforcement.AUDIT)
    assert judge("numpy 2.1", watching).reason is ComplianceReason.NO_POLICY


def test_a_policy_in_audit_is_judged_and_shown_and_does_not_decide() -> None:
    watching = policy("watch", bans=(make_ban("numpy"),), enforcement=Enforcement.AUDIT)

    verdict = judge("numpy 2.1", policy(unlisted=ALLOW), watching)

    assert verdict.allowed
    assert [(reason.code.value, reason.policy) for reason in verdict.audit_reasons] == [
        ("Banned", PolicyRef("watch"))
    ]
    assert PolicyRef("watch") not in {ref for ref, _ in verdict.decided_by}


def test_a_policy_in_audit_does_not_speak_for_a_package() -> None:
    watching = policy("watch", unlisted=ALLOW, enforcement=Enforcement.AUDIT)
    assert judge("numpy 2.1", policy(), watching).reason is ComplianceReason.APPROVAL_REQUIRED


def test_a_skill_without_packages_is_allowed_to_a_student_and_needs_no_scan() -> None:
    base = policy(maturity={Maturity.STUDENT: DENY}, unlisted=DENY)
    verdict = judge(make_lock(), base, maturity=Maturity.STUDENT, scan=None, advisories_synced_at=None)
    assert verdict.allowed


@pytest.mark.parametrize(
    ("bans", "ceiling", "reason"),
    [
        ((make_ban("six"),), {Maturity.INTERN: DENY}, "Banned"),
        ((), {Maturity.INTERN: DENY}, "MaturityTooLow"),
        ((), {}, "Denied"),
    ],
)
def test_banned_is_said_before_maturity_and_maturity_before_denied(
    bans: tuple[Any, ...], ceiling: dict[Maturity, Action], reason: str
) -> None:
    base = policy(bans=bans, maturity=ceiling, rules=(make_rule("abc", DENY),), unlisted=ALLOW)
    verdict = judge(make_lock("abc 1.0", "six 1.16"), base, maturity=Maturity.INTERN)
    assert verdict.reason.value == reason
    assert verdict.reasons[0].code.value == reason


def test_a_changed_policy_object_is_read_anew_for_the_same_lock() -> None:
    lock = make_lock("numpy 2.1")
    scan = make_scan(lock)
    assert judge(lock, policy(unlisted=ALLOW), scan=scan).allowed
    assert judge(lock, policy(unlisted=DENY), scan=scan).reason is ComplianceReason.DENIED
