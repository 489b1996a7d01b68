"""What a finding in a skill's own files does to its verdict, and what lifts it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import BASE, NOW, grounds_of, judge, make_finding_rules, make_policy

from skillwarden.domain.finding import Severity
from skillwarden.domain.policy import Action, Maturity
from skillwarden.domain.source_finding import SourceFinding
from skillwarden.domain.verdict import Approval, ComplianceReason, Verdict

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
STRICTNESS = [ALLOW, ASK, DENY]
FILES = "sha256:" + "c" * 64
OTHER_FILES = "sha256:" + "d" * 64
HOUR = timedelta(hours=1)
DEFAULT = make_policy(findings=make_finding_rules())


def seen(severity: Severity, rule: str = "encoded-code", line: int = 1) -> SourceFinding:
    return SourceFinding(rule, severity, "main.py", line, "runs code that it decodes first")


def approval_of_files(*rules: str, digest: str = FILES, **changes: Any) -> Approval:
    given = (
        {"min_maturity": Maturity.STUDENT, "approved": True, "name": "approval-1"}
        | {"policies": BASE}
        | changes
    )
    return Approval(
        artefacts=frozenset({digest}),
        accepted_findings=frozenset((None, "source", rule) for rule in rules),
        **given,
    )


def judge_files(*findings: SourceFinding, policies: tuple[Any, ...] = (DEFAULT,), **changes: Any) -> Verdict:
    changes.setdefault("content_digest", FILES)
    return judge("numpy 2.1", *policies, source_findings=findings, **changes)


@pytest.mark.parametrize(
    ("severity", "reason"),
    [
        (Severity.CRITICAL, "Denied"),
        (Severity.HIGH, "ApprovalRequired"),
        (Severity.MEDIUM, "Allowed"),
        (Severity.LOW, "Allowed"),
    ],
)
def test_a_policy_that_says_nothing_judges_by_severity(severity: Severity, reason: str) -> None:
    assert judge_files(seen(severity)).reason.value == reason


def test_a_ground_names_the_place_the_rule_and_a_fix() -> None:
    verdict = judge_files(seen(Severity.CRITICAL, line=7))
    [ground] = verdict.reasons
    assert grounds_of(verdict) == {("", "Denied", "findings.source.Critical")}
    assert "main.py:7 runs code that it decodes first (encoded-code, Critical)" in ground.message
    assert "main.py:7" in ground.fix
    assert ground.source_finding == seen(Severity.CRITICAL, line=7)


def test_the_strictest_of_two_policies_decides_and_both_are_named() -> None:
    strict = make_policy("strict", findings=make_finding_rules(source={Severity.MEDIUM: DENY}))
    asks = make_policy("asks", findings=make_finding_rules(source={Severity.MEDIUM: ASK}))
    verdict = judge_files(seen(Severity.MEDIUM), policies=(asks, strict))
    assert verdict.reason is ComplianceReason.DENIED
    assert {str(ground.policy) for ground in verdict.reasons} == {str(strict.ref), str(asks.ref)}


def test_what_waits_is_the_files_with_all_that_would_be_accepted() -> None:
    findings = (seen(Severity.HIGH, "hidden", 9), seen(Severity.HIGH, "encoded-code"), seen(Severity.LOW))
    verdict = judge_files(*findings)
    [pending] = verdict.pending
    assert pending.declared is None
    assert pending.title == "the skill's own files"
    assert pending.content_digest == FILES
    assert pending.policies == (DEFAULT.ref,)
    assert [item.line for item in pending.source_findings] == [1, 9], "what is allowed needs no approval"


@pytest.mark.parametrize(
    ("sentence", "approval", "reason"),
    [
        ("of these files and this rule", approval_of_files("encoded-code"), "Allowed"),
        ("of other files", approval_of_files("encoded-code", digest=OTHER_FILES), "ApprovalRequired"),
        ("of another rule", approval_of_files("hidden"), "ApprovalRequired"),
        ("of no rule", approval_of_files(), "ApprovalRequired"),
        ("that ends now", approval_of_files("encoded-code", expires_at=NOW), "ApprovalRequired"),
        (
            "for agents of a higher maturity",
            approval_of_files("encoded-code", min_maturity=Maturity.AUTONOMOUS),
            "ApprovalRequired",
        ),
        ("that is a refusal", approval_of_files("encoded-code", approved=False), "Denied"),
        (
            "that is a refusal of other files",
            approval_of_files(digest=OTHER_FILES, approved=False),
            "ApprovalRequired",
        ),
    ],
)
def test_an_approval(sentence: str, approval: Approval, reason: str) -> None:
    assert judge_files(seen(Severity.HIGH), approvals=(approval,)).reason.value == reason, sentence


def test_an_approval_of_what_a_command_runs_is_not_of_what_another_does() -> None:
    """The same files: what the other command runs of them, nobody may have seen."""
    one, other = (replace(seen(Severity.HIGH), command=command) for command in ("sha256:1", "sha256:2"))
    milder = seen(Severity.HIGH, line=9)
    (asked,) = judge_files(one, milder).pending
    assert asked.content_digest != FILES
    approved = approval_of_files("encoded-code", digest=asked.content_digest)
    assert judge_files(one, milder, approvals=(approved,)).allowed
    assert judge_files(other, approvals=(approved,)).action is ASK
    assert judge_files(one, approvals=(approval_of_files("encoded-code"),)).action is ASK
    assert judge_files(one, approvals=(approval_of_files(approved=False),)).action is DENY, (
        "no command lifts that"
    )


def test_a_refusal_of_the_files_holds_where_nothing_is_found_any_more() -> None:
    refusal = approval_of_files(approved=False, name="no-such-files")
    verdict = judge_files(approvals=(refusal,))
    assert verdict.reason is ComplianceReason.DENIED
    assert "no-such-files" in verdict.reasons[0].message


def test_no_approval_lifts_what_a_policy_denies() -> None:
    verdict = judge_files(seen(Severity.CRITICAL), approvals=(approval_of_files("encoded-code"),))
    assert verdict.reason is ComplianceReason.DENIED


def test_the_verdict_is_looked_at_again_when_the_approval_ends() -> None:
    approval = approval_of_files("encoded-code", expires_at=NOW + HOUR)
    assert judge_files(seen(Severity.HIGH), approvals=(approval,)).revisit_at == NOW + HOUR


severities = st.sampled_from([item for item in Severity if item is not Severity.UNKNOWN])
sightings = st.builds(seen, severities, st.sampled_from(["a", "b"]), st.integers(1, 3))
tables = st.dictionaries(severities, st.sampled_from(STRICTNESS))


@given(table=tables, findings=st.lists(sightings, max_size=4, unique=True), more=sightings)
def test_another_finding_never_improves_a_verdict(
    table: dict[Severity, Action], findings: list[SourceFinding], more: SourceFinding
) -> None:
    policy = make_policy(findings=make_finding_rules(source=table))
    before = judge_files(*findings, policies=(policy,))
    after = judge_files(*findings, more, policies=(policy,))
    assert STRICTNESS.index(after.action) >= STRICTNESS.index(before.action)


def test_files_that_were_approved_for_one_policy_are_not_for_another() -> None:
    asks = make_finding_rules(source=DEFAULT.findings.source | {Severity.MEDIUM: ASK})
    other = make_policy("other", findings=asks)
    early = approval_of_files("encoded-code")
    assert judge_files(seen(Severity.HIGH), approvals=(early,)).allowed
    verdict = judge_files(seen(Severity.HIGH), policies=(DEFAULT, other), approvals=(early,))
    assert [reason.policy for reason in verdict.reasons] == [other.ref]
