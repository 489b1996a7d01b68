"""How far a skill has come: each stage's outcome, the job that is next, and what may go on meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from make_domain import (
    NOW,
    PLATFORM,
    declare,
    make_approval,
    make_ban,
    make_finding,
    make_lock,
    make_policy,
    make_report,
    make_rule,
    make_scan,
)

from skillwarden.domain.assess import (
    AgentView,
    Evidence,
    Failure,
    Job,
    agent_remark,
    assess,
    verdict_word,
    why_fallen,
)
from skillwarden.domain.conditions import Status
from skillwarden.domain.errors import Refusal, RefusalCode
from skillwarden.domain.finding import FindingKind, ScannerName, ScanState, Severity
from skillwarden.domain.lock import Lock
from skillwarden.domain.policy import Action, Maturity, OnError
from skillwarden.domain.skill import Sandbox
from skillwarden.domain.source_finding import SourceFinding

LOCK = make_lock("numpy 2.1.0")
EMPTY = make_lock()
AGENT = AgentView("analyst", Maturity.SUPERVISED)
DENY = make_policy(rules=(make_rule("numpy", Action.DENY),))
APPROVE = make_policy(rules=(make_rule("numpy", Action.REQUIRE_APPROVAL),))
STRICT = make_policy(maturity={Maturity.STUDENT: Action.DENY})
NOBODY = make_policy(maturity=dict.fromkeys(Maturity, Action.DENY))
APPROVAL = make_approval("numpy 2.1.0", declared=LOCK.packages[0].id)
CRASHED = make_report(
    ScannerName.OSV, LOCK, state=ScanState.ERROR, audited=frozenset(), error="it broke", retryable=True
)
PARTIAL = make_report(ScannerName.OSV, LOCK, audited=frozenset())


def make_evidence(**changes: Any) -> Evidence:
    """A skill with one package, locked and scanned clean, whose policy allows it."""
    given: dict[str, Any] = {
        "declared": declare("numpy"),
        "content_digest": "sha256:" + "a" * 64,
        "source_findings": (),
        "platform": PLATFORM,
        "agent": AGENT,
        "policies": (make_policy(),),
        "resolution": LOCK,
        "scan": make_scan(LOCK),
        "advisories_synced_at": NOW - timedelta(hours=1),
        "network_isolated": True,
        "sandbox": Sandbox(),
        "now": NOW,
    }
    return Evidence(**given | changes)


def failure(reason: str = "Because", *, retryable: bool = False) -> Failure:
    return Failure(reason, "it cannot be used.", "Use another.", retryable)


def refusal(text: str) -> Refusal:
    return Refusal(
        code=RefusalCode.URL,
        field="packages.python[0]",
        text="x",
        message=f"packages.python[0] {text}",
        fix="Mend it.",
    )


@pytest.mark.parametrize(
    ("sentence", "changes", "reasons", "outcome"),
    [
        ("all is well", {}, "Valid Locked Complete Allowed", "allowed"),
        (
            "it has no packages",
            {"declared": (), "resolution": EMPTY, "scan": None},
            "Valid Locked Complete Allowed",
            "allowed",
        ),
        (
            "the spec cannot be read",
            {"spec_failure": failure()},
            "InvalidSpec NotReached NotReached NoVerdict",
            "final",
        ),
        (
            "a package was refused",
            {"refusals": (refusal("is a URL"),)},
            "InvalidPackage NotReached NotReached NoVerdict",
            "final",
        ),
        (
            "the source is no good",
            {"source_failure": failure()},
            "InvalidSource NotReached NotReached NoVerdict",
            "final",
        ),
        (
            "the source does not answer",
            {"source_failure": failure(retryable=True)},
            "InvalidSource NotReached NotReached NoVerdict",
            "retried and held",
        ),
        (
            "there is no such runtime",
            {"runtime_failure": failure()},
            "UnsupportedRuntime NotReached NotReached NoVerdict",
            "final",
        ),
        (
            "a policy cannot be read",
            {"policy_failures": ("p: nonsense",)},
            "Valid NotReached NotReached NoVerdict",
            "final",
        ),
        (
            "no policy applies",
            {"policies": ()},
            "Valid Refused NotReached NoPolicy",
            "judged",
        ),
        (
            "a declared name is banned",
            {"policies": (make_policy(bans=(make_ban("numpy"),)),), "resolution": None},
            "Valid Refused NotReached Banned",
            "judged",
        ),
        (
            "a Student has a package",
            {"policies": (STRICT,), "agent": AgentView(), "resolution": None},
            "Valid Refused NotReached MaturityTooLow",
            "judged",
        ),
        (
            "it was not resolved yet",
            {"resolution": None},
            "Valid Resolving NotReached NoVerdict",
            "resolve next, held",
        ),
        (
            "it cannot be resolved",
            {"resolution": failure("Unresolvable")},
            "Valid Unresolvable NotReached NoVerdict",
            "final",
        ),
        (
            "the index does not answer",
            {"resolution": failure("ResolverUnavailable", retryable=True)},
            "Valid ResolverUnavailable NotReached NoVerdict",
            "retried and held",
        ),
        (
            "it was not scanned yet",
            {"scan": None},
            "Valid Locked Scanning NoVerdict",
            "scan next, held",
        ),
        (
            "a scanner broke",
            {"scan": make_scan(LOCK, reports=[CRASHED])},
            "Valid Locked ScannerError NoVerdict",
            "retried",
        ),
        (
            "a scanner broke and the policy holds",
            {
                "scan": make_scan(LOCK, reports=[CRASHED]),
                "policies": (make_policy(on_error=OnError.HOLD),),
            },
            "Valid Locked ScannerError NoVerdict",
            "retried and held",
        ),
        (
            "a scanner skipped a package",
            {"scan": make_scan(LOCK, reports=[PARTIAL])},
            "Valid Locked IncompleteCoverage NoVerdict",
            "final",
        ),
        (
            "the advisories are stale",
            {"policies": (make_policy(max_advisory_age=timedelta(minutes=5)),)},
            "Valid Locked AdvisoriesStale NoVerdict",
            "held",
        ),
        (
            "a rule denies it",
            {"policies": (DENY,)},
            "Valid Locked Complete Denied",
            "judged",
        ),
        (
            "a rule asks for approval",
            {"policies": (APPROVE,)},
            "Valid Locked Complete ApprovalRequired",
            "judged",
        ),
        (
            "its agent is gone",
            {"agent": AgentView("gone")},
            "AgentNotFound Locked Complete Allowed",
            "allowed",
        ),
        (
            "its agent is not guarded",
            {"agent": replace(AGENT, guarded=False)},
            "AgentUnguarded Locked Complete Allowed",
            "allowed",
        ),
        (
            "nobody knows whether its agent is guarded, and a Student may the same",
            {"agent": replace(AGENT, guarded=None)},
            "AgentUnguarded Locked Complete Allowed",
            "allowed",
        ),
        (
            "nobody knows whether its agent is guarded, which decides",
            {"agent": replace(AGENT, guarded=None), "policies": (STRICT,)},
            "AgentUnguarded NotReached NotReached NoVerdict",
            "held and retried",
        ),
        (
            "nobody knows whether its agent is guarded, which helps it nothing",
            {"agent": replace(AGENT, guarded=None), "policies": (NOBODY,)},
            "AgentUnguarded Refused NotReached MaturityTooLow",
            "judged",
        ),
        (
            "its agent is not guarded, which decides",
            {"agent": replace(AGENT, guarded=False), "policies": (STRICT,)},
            "AgentUnguarded Refused NotReached MaturityTooLow",
            "judged",
        ),
        (
            "nobody knows who gave its approval",
            {"policies": (APPROVE,), "approvals_in_doubt": (APPROVAL,)},
            "Valid Locked Complete NoVerdict",
            "held and retried",
        ),
        (
            "nobody knows who gave an approval that is not its own",
            {"policies": (APPROVE,), "approvals_in_doubt": ()},
            "Valid Locked Complete ApprovalRequired",
            "judged",
        ),
    ],
)
def test_it_stands_here_when(sentence: str, changes: dict[str, Any], reasons: str, outcome: str) -> None:
    # The findings that the policy simply allows need no scanner; these do.
    policies = changes.get("policies", (make_policy(),))
    result = assess(make_evidence(**{**changes, "policies": tuple(map(with_scanners, policies))}))
    assert " ".join(str(draft.reason) for draft in result.drafts) == reasons
    assert result.allowed == (outcome == "allowed")
    assert result.hold == ("held" in outcome)
    assert result.retry == ("retried" in outcome)
    job = {"resolve next, held": Job.RESOLVE, "scan next, held": Job.SCAN}.get(outcome)
    assert result.job is job
    for draft in result.drafts:
        assert draft.message


def with_scanners(policy: Any) -> Any:
    """Have a policy rule on vulnerabilities, so that their scanner is required."""
    findings = replace(policy.findings, vulnerability=dict.fromkeys(Severity, Action.DENY))
    return replace(policy, findings=findings)


def test_nothing_is_allowed_that_was_not_accepted() -> None:
    result = assess(make_evidence())
    assert result.allowed
    denied = replace(result, accepted=replace(result.accepted, status=Status.FALSE))
    assert not denied.allowed


def test_a_finding_by_name_alone_stops_before_the_index_is_asked() -> None:
    squat = make_finding("numpi", "numpy", FindingKind.TYPOSQUAT)
    policy = make_policy(findings=replace(make_policy().findings, typosquat=Action.DENY))
    result = assess(
        make_evidence(
            declared=declare("numpi"), name_findings=(squat,), policies=(policy,), resolution=None, scan=None
        )
    )
    assert result.resolved.reason == "Refused"
    assert result.job is None
    assert "numpi" in result.resolved.message


def test_refusals_are_shown_three_at_a_time() -> None:
    refusals = tuple(refusal(f"is bad in way {n}") for n in range(5))
    message = assess(make_evidence(refusals=refusals)).accepted.message
    assert message.count("is bad in way") == 3
    assert message.count("packages.python[0]") == 3
    assert message.endswith("And 2 more.")


@pytest.mark.parametrize(
    ("sentence", "agent", "maturity", "reason"),
    [
        ("no agent is named", AgentView(), Maturity.STUDENT, "Valid"),
        ("the agent is there", AGENT, Maturity.SUPERVISED, "Valid"),
        ("the agent is not there", AgentView("gone"), Maturity.STUDENT, "AgentNotFound"),
        ("nothing guards it", replace(AGENT, guarded=False), Maturity.STUDENT, "AgentUnguarded"),
        (
            "nobody knows whether it is guarded",
            replace(AGENT, guarded=None),
            Maturity.STUDENT,
            "AgentUnguarded",
        ),
    ],
)
def test_an_agent_counts_only_when_it_exists_and_is_guarded(
    sentence: str, agent: AgentView, maturity: Maturity, reason: str
) -> None:
    assert agent.effective is maturity
    assert agent_remark(agent)[0] == reason


@pytest.mark.parametrize(
    ("sentence", "changes", "word"),
    [
        ("allowed", {}, "Allowed"),
        ("denied", {"policies": (DENY,)}, "Denied"),
        ("awaiting approval", {"policies": (APPROVE,)}, "ApprovalRequired"),
        ("not judged yet", {"resolution": None}, "Unknown"),
        ("judged as far as it goes", {"policies": (make_policy(max_advisory_age=timedelta(0)),)}, "Unknown"),
    ],
)
def test_the_verdict_in_one_word_when(sentence: str, changes: dict[str, Any], word: str) -> None:
    assert verdict_word(assess(make_evidence(**changes))) == word


def test_what_nobody_looked_at_is_not_harmless() -> None:
    found = assess(make_evidence(source_findings=None))
    assert found.verdict is None
    assert found.compliant.reason == "NoVerdict"
    assert "looked at the skill's own files" in found.compliant.message
    assert found.retry


def test_a_grave_finding_in_the_files_denies_whatever_the_packages_are() -> None:
    finding = SourceFinding("reverse-shell", Severity.CRITICAL, "main.py", 3, "opens a shell to elsewhere")
    for changes in ({}, {"declared": (), "resolution": Lock(PLATFORM, ()), "scan": None}):
        found = assess(make_evidence(source_findings=(finding,), **changes))
        assert found.compliant.reason == "Denied", changes
        assert "main.py:3 opens a shell to elsewhere (reverse-shell, Critical)" in found.compliant.message


@pytest.mark.parametrize(
    ("sentence", "changes", "scan", "fallen"),
    [
        ("nothing speaks against it", {}, make_scan(LOCK), ""),
        ("it was not scanned with these advisories yet", {}, None, ""),
        ("a package of it was banned", {"policies": (DENY,)}, make_scan(LOCK), "Denied"),
        ("a package of it was banned, and it was not scanned", {"policies": (DENY,)}, None, "Denied"),
        ("somebody must approve it now", {"policies": (APPROVE,)}, make_scan(LOCK), "ApprovalRequired"),
        ("its agent was demoted", {"agent": AgentView(), "policies": (STRICT,)}, None, "MaturityTooLow"),
    ],
)
@pytest.mark.parametrize(
    "unknown",
    [
        {"resolution": failure(retryable=True)},
        {"resolution": None},
        {"source_failure": failure(retryable=True), "source_findings": None},
        {"source_findings": None},
    ],
    ids=["the index is down", "it is resolved anew", "its source is gone", "its source was not seen"],
)
def test_what_runs_on_an_earlier_lock_is_judged_by_it_though(
    unknown: dict[str, Any], sentence: str, changes: dict[str, Any], scan: Any, fallen: str
) -> None:
    evidence = make_evidence(**{**changes, **unknown})
    assert assess(evidence).hold or assess(evidence).verdict is not None
    why = why_fallen(evidence, LOCK, scan)
    assert why.partition(":")[0] == fallen
