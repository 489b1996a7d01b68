"""What is judged before any index is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from make_domain import (
    NOW,
    declare,
    judge,
    judge_by_names,
    make_approval,
    make_ban,
    make_finding,
    make_finding_rules,
    make_policy,
    make_rule,
)

from skillwarden.domain.finding import FindingKind
from skillwarden.domain.judge_names import NamesRequest, look_up_ends
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Action, Enforcement, Maturity, Policy, PolicyRef
from skillwarden.domain.verdict import Approval, ComplianceReason, Verdict

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("sentence", "requirement", "ban", "reason"),
    [
        ("a ban on every version", "telnetlib3>=2", make_ban("telnetlib3"), "Banned"),
        ("a ban on every version, by glob", "telnetlib3", make_ban("telnet*"), "Banned"),
        ("a ban that the pin lies in", "numpy==1.21.0", make_ban("numpy", versions="<2"), "Banned"),
        (
            "a ban that the pin lies in, with extras",
            "numpy[x]==1.21.0",
            make_ban("numpy", versions="<2"),
            "Banned",
        ),
        ("a ban that the pin does not lie in", "numpy==2.1", make_ban("numpy", versions="<2"), None),
        ("a ban on some versions of an open range", "numpy>=1", make_ban("numpy", versions="<2"), None),
        ("a ban on some versions and a wildcard", "numpy==1.*", make_ban("numpy", versions="<2"), None),
        ("a ban on a name, written otherwise", "TelnetLib3", make_ban("telnetlib3"), "Banned"),
        ("a ban on another name", "numpy", make_ban("telnetlib3"), None),
    ],
)
def test_ban(sentence: str, requirement: str, ban: Any, reason: str | None) -> None:
    verdict = judge_by_names(requirement, policies=[make_policy(bans=(ban,), rules=(make_rule("*"),))])
    assert (verdict.reason.value if verdict else None) == reason, sentence
    if verdict:
        assert verdict.action is DENY
        assert verdict.reasons[0].rule == "bans[0]"


@pytest.mark.parametrize(
    ("sentence", "requirements", "ceiling", "maturity", "reason"),
    [
        ("a Student with a package", ["numpy"], {Maturity.STUDENT: DENY}, "STUDENT", "MaturityTooLow"),
        ("a Student without one", [], {Maturity.STUDENT: DENY}, "STUDENT", None),
        ("an Intern above a Student's ceiling", ["numpy"], {Maturity.STUDENT: DENY}, "INTERN", None),
        (
            "a Student below an Intern's ceiling",
            ["numpy"],
            {Maturity.INTERN: DENY},
            "STUDENT",
            "MaturityTooLow",
        ),
        ("a ceiling that asks needs artefacts first", ["numpy"], {Maturity.INTERN: ASK}, "INTERN", None),
    ],
)
def test_ceiling(
    sentence: str, requirements: list[str], ceiling: Any, maturity: str, reason: str | None
) -> None:
    verdict = judge_by_names(
        *requirements, policies=[make_policy(maturity=ceiling)], maturity=Maturity[maturity]
    )
    assert (verdict.reason.value if verdict else None) == reason, sentence


def squats(action: Action, name: str = "base", **changes: Any) -> Policy:
    return make_policy(name, findings=make_finding_rules(typosquat=action), **changes)


def resembles(name: str, popular: str) -> Any:
    return make_finding(name, popular, FindingKind.TYPOSQUAT)


@pytest.mark.parametrize(
    ("sentence", "policies", "reason"),
    [
        ("denied", [squats(DENY)], "Denied"),
        ("subject to approval stops, too", [squats(ASK)], "ApprovalRequired"),
        ("allowed", [squats(ALLOW)], None),
        ("denied by one of two", [squats(ALLOW, "a"), squats(DENY, "b")], "Denied"),
        ("a rule allows the very name", [squats(DENY, rules=(make_rule("reqeusts"),))], None),
        ("a rule lets the very name be approved", [squats(ASK, rules=(make_rule("reqeusts", ASK),))], None),
        (
            "another policy's rule allows the very name",
            [squats(DENY), make_policy("b", rules=(make_rule("reqeusts"),))],
            None,
        ),
        (
            "a rule denies the very name",
            [squats(ASK, rules=(make_rule("reqeusts", DENY),))],
            "ApprovalRequired",
        ),
        ("a rule allows it by glob only", [squats(DENY, rules=(make_rule("req* *"),))], "Denied"),
        (
            "a rule of a policy in audit allows the very name",
            [squats(DENY), make_policy("b", rules=(make_rule("reqeusts"),), enforcement=Enforcement.AUDIT)],
            "Denied",
        ),
    ],
)
def test_a_name_that_resembles_a_popular_one_is(
    sentence: str, policies: list[Policy], reason: str | None
) -> None:
    verdict = judge_by_names("reqeusts", policies=policies, name_findings=[resembles("reqeusts", "requests")])
    assert (verdict.reason.value if verdict else None) == reason, sentence


def test_a_typosquat_that_asks_has_its_pending_entry_without_a_version() -> None:
    verdict = judge_by_names(
        "reqeusts>=2", "numpy", policies=[squats(ASK)], name_findings=[resembles("reqeusts", "requests")]
    )
    assert verdict is not None
    (entry,) = verdict.pending
    assert entry.declared.name == "reqeusts"
    assert [(item.name, item.version) for item in entry.packages] == [("reqeusts", "")]
    assert entry.min_maturity is Maturity.SUPERVISED
    assert "requests" in verdict.reasons[0].fix


def test_a_finding_about_a_name_that_is_not_declared_stops_nothing() -> None:
    assert (
        judge_by_names("numpy", policies=[squats(DENY)], name_findings=[resembles("numpi", "numpy")]) is None
    )


def test_a_ban_beats_a_rule_that_names_the_typosquat() -> None:
    base = squats(DENY, rules=(make_rule("reqeusts"),), bans=(make_ban("reqeusts"),))
    verdict = judge_by_names("reqeusts", policies=[base], name_findings=[resembles("reqeusts", "requests")])
    assert verdict is not None
    assert verdict.reason is ComplianceReason.BANNED


@pytest.mark.parametrize("requirements", [[], ["numpy"]])
def test_no_policy_stops_before_any_index(requirements: list[str]) -> None:
    watching = make_policy(enforcement=Enforcement.AUDIT)
    for policies in ([], [watching]):
        verdict = judge_by_names(*requirements, policies=policies)
        assert verdict is not None
        assert verdict.reason is ComplianceReason.NO_POLICY


def test_nothing_in_the_way_is_no_verdict_yet() -> None:
    assert judge_by_names("numpy", policies=[make_policy(unlisted=DENY)]) is None


def test_policies_in_audit_are_shown_and_do_not_stop() -> None:
    watching = make_policy("watch", bans=(make_ban("numpy"),), enforcement=Enforcement.AUDIT)
    assert judge_by_names("numpy", policies=[make_policy(), watching]) is None
    verdict = judge_by_names("numpy", "six", policies=[make_policy(bans=(make_ban("six"),)), watching])
    assert verdict is not None
    assert [reason.package.name for reason in verdict.reasons if reason.package] == ["six"]
    assert [reason.package.name for reason in verdict.audit_reasons if reason.package] == ["numpy"]


def test_each_reason_names_the_requirement_the_policy_and_a_fix() -> None:
    base = make_policy(bans=(make_ban("numpy", message="use the array module"),))
    verdict = judge_by_names("numpy==1.21.0", policies=[base])
    assert verdict is not None
    (reason,) = verdict.reasons
    assert "numpy==1.21.0" in reason.message
    assert "ClusterPackagePolicy base" in reason.message
    assert "use the array module" in reason.fix
    assert reason.package == PackageId.of(reason.package.ecosystem, "numpy", "1.21.0")
    assert verdict.decided_by == ((base.ref, "bans[0]"),)


def looked_up(**changes: Any) -> Approval:
    """An approval that the name may be looked up, as the pending entry asks for it."""
    given: dict[str, Any] = {
        "declared": PackageId.of(Ecosystem.PYPI, "reqeusts", ""),
        "findings": [("reqeusts", "typosquat", "requests")],
    }
    return make_approval(**(given | changes))


def judge_squat(*approvals: Approval, **changes: Any) -> Verdict | None:
    changes.setdefault("policies", [squats(ASK)])
    return judge_by_names(
        "reqeusts", name_findings=[resembles("reqeusts", "requests")], approvals=approvals, **changes
    )


@pytest.mark.parametrize(
    ("sentence", "approval", "reason"),
    [
        ("of looking it up", looked_up(), None),
        ("that ends later", looked_up(expires_at=NOW + HOUR), None),
        ("that ends now", looked_up(expires_at=NOW), "ApprovalRequired"),
        ("for a higher maturity", looked_up(min_maturity=Maturity.AUTONOMOUS), "ApprovalRequired"),
        ("of another finding", looked_up(findings=[("reqeusts", "typosquat", "httpx")]), "ApprovalRequired"),
        (
            "of another name",
            looked_up(declared=PackageId.of(Ecosystem.PYPI, "reqests", "")),
            "ApprovalRequired",
        ),
        (
            "of npm's package of this name",
            looked_up(declared=PackageId.of(Ecosystem.NPM, "reqeusts", "")),
            "ApprovalRequired",
        ),
        ("that answers another policy", looked_up(policies=frozenset({PolicyRef("b")})), "ApprovalRequired"),
        (
            "of some artefact of it",
            replace(looked_up(), artefacts=frozenset({"sha256:" + "a" * 64})),
            "ApprovalRequired",
        ),
        ("that is a refusal", looked_up(approved=False), "Denied"),
        ("that is a refusal: whoever it answers", looked_up(approved=False, policies=frozenset()), "Denied"),
        ("that is a refusal, for good", looked_up(approved=False, expires_at=NOW), "Denied"),
    ],
)
def test_a_name_that_may_not_be_looked_up_has_an_approval(
    sentence: str, approval: Approval, reason: str | None
) -> None:
    verdict = judge_squat(approval)
    assert (verdict.reason.value if verdict else None) == reason, sentence


def test_what_a_policy_denies_by_name_no_approval_lets_be_looked_up() -> None:
    verdict = judge_squat(looked_up(), policies=[squats(DENY)])
    assert verdict is not None
    assert verdict.reason is ComplianceReason.DENIED


def test_the_pending_entry_is_what_an_approval_answers() -> None:
    verdict = judge_squat()
    assert verdict is not None
    [entry] = verdict.pending
    assert entry.artefacts == ()
    answer = make_approval(
        declared=entry.declared,
        findings=[(str(f.package), f.kind.value, f.id) for f in entry.findings],
        policies=frozenset(entry.policies),
        min_maturity=entry.min_maturity,
    )
    assert judge_squat(answer) is None


def test_an_approval_of_looking_a_name_up_is_none_of_what_comes_of_it() -> None:
    finding = make_finding("reqeusts 2.0", "requests", FindingKind.TYPOSQUAT)
    verdict = judge("reqeusts 2.0", squats(ASK), findings=(finding,), approvals=(looked_up(),))
    assert verdict.reason is ComplianceReason.APPROVAL_REQUIRED


def test_the_first_end_of_an_approval_of_a_look_up_is_known() -> None:
    def ends(*approvals: Approval) -> datetime | None:
        return look_up_ends(
            NamesRequest(
                declared=declare("reqeusts"),
                policies=[squats(ASK)],
                maturity=Maturity.SUPERVISED,
                name_findings=[resembles("reqeusts", "requests")],
                approvals=approvals,
                now=NOW,
            )
        )

    assert ends() is None
    assert ends(looked_up()) is None
    assert ends(looked_up(expires_at=NOW + HOUR)) == NOW + HOUR
    assert ends(looked_up(expires_at=NOW + HOUR), looked_up(expires_at=NOW + 2 * HOUR)) == NOW + 2 * HOUR
    assert ends(looked_up(expires_at=NOW + HOUR), looked_up()) is None
