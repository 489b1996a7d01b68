"""What must hold of every verdict, on random closures, policies, findings and approvals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from make_domain import (
    NOW,
    make_approval,
    make_ban,
    make_finding,
    make_package,
    make_policy,
    make_rule,
    make_scan,
)

from skillwarden.domain.evaluate import EvaluationRequest, evaluate
from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScanState, Severity
from skillwarden.domain.lock import Lock, Platform
from skillwarden.domain.policy import (
    Action,
    Enforcement,
    FindingRules,
    Maturity,
    OnError,
    Policy,
    Resources,
    SandboxRules,
    Scope,
)
from skillwarden.domain.skill import EgressPeer, Sandbox
from skillwarden.domain.verdict import ComplianceReason, Verdict

NAMES = ["a", "b", "c", "d"]
PACKAGES = [f"{name} {version}" for name in NAMES for version in ("1.0", "2.0")]
ACTIONS = st.sampled_from(Action)
MATURITIES = st.sampled_from(Maturity)


@st.composite
def closures(draw: Any) -> Lock:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    packages = []
    versions = {name: draw(st.sampled_from(["1.0", "2.0"])) for name in names}
    for name, version in versions.items():
        parents = draw(
            st.lists(st.sampled_from([other for other in names if other != name] or [""]), max_size=2)
        )
        parents = sorted({f"{parent} {versions[parent]}" for parent in parents if parent})
        direct = draw(st.booleans()) or not parents
        packages.append(make_package(f"{name} {version}", parents=parents, direct=direct))
    return Lock(Platform("3.12"), tuple(packages))


PATTERNS = st.sampled_from([*NAMES, "*", "a b", "c*"])
RANGES = st.sampled_from(["*", ">=2", "<2", "nonsense"])
RULES = st.builds(
    make_rule,
    PATTERNS,
    ACTIONS,
    versions=RANGES,
    scope=st.sampled_from(Scope),
    min_maturity=MATURITIES,
    include_dependencies=st.booleans(),
)
BANS = st.builds(make_ban, st.sampled_from(NAMES), versions=RANGES)
FINDING_RULES = st.builds(
    FindingRules,
    vulnerability=st.fixed_dictionaries(dict.fromkeys(Severity, ACTIONS)),
    typosquat=ACTIONS,
    confusion=ACTIONS,
    install_script=ACTIONS,
    licence_deny=st.sampled_from([(), ("licence-0",), ("licence-*",)]),
    licence_unknown=ACTIONS,
    malware=ACTIONS,
    min_release_age=st.sampled_from([None, timedelta(hours=72)]),
    release_age_action=ACTIONS,
    min_package_age=st.sampled_from([None, timedelta(hours=720)]),
    package_age_action=ACTIONS,
)
SANDBOX_RULES = st.builds(
    SandboxRules,
    require_isolation=st.booleans(),
    max_resources=st.sampled_from([Resources(), Resources(cpu=100)]),
)
POLICIES = st.builds(
    make_policy,
    st.uuids().map(str),
    bans=st.lists(BANS, max_size=1).map(tuple),
    rules=st.lists(RULES, max_size=4).map(tuple),
    unlisted=ACTIONS,
    maturity=st.dictionaries(MATURITIES, ACTIONS, max_size=2),
    findings=FINDING_RULES,
    sandbox=SANDBOX_RULES,
    on_error=st.sampled_from(OnError),
    max_advisory_age=st.sampled_from([None, timedelta(hours=48)]),
)
FINDINGS = st.builds(
    lambda package, number, kind, severity, age: make_finding(
        package,
        f"{kind.value}-{number}",
        kind,
        severity=severity,
        published_at=None if age is None else NOW - timedelta(hours=age),
    ),
    st.sampled_from(PACKAGES),
    st.integers(0, 2),
    st.sampled_from(FindingKind),
    st.sampled_from(Severity),
    st.sampled_from([None, 1, 1000]),
)
APPROVALS = st.builds(
    lambda packages, findings, minimum, approved, ends: make_approval(
        *packages, findings=findings, min_maturity=minimum, approved=approved, expires_at=ends
    ),
    st.lists(st.sampled_from(PACKAGES), max_size=3),
    st.lists(
        st.builds(
            lambda package, kind, number: (package, kind.value, f"{kind.value}-{number}"),
            st.sampled_from(PACKAGES),
            st.sampled_from(FindingKind),
            st.integers(0, 2),
        ),
        max_size=3,
    ),
    MATURITIES,
    st.sampled_from([True, True, True, False]),
    st.sampled_from([None, NOW + timedelta(hours=1), NOW - timedelta(hours=1)]),
)


def scan_of(lock: Lock, findings: Sequence[Finding]) -> Any:
    held = {package.id for package in lock.packages}
    unique = {(item.kind, item.package, item.id): item for item in findings if item.package in held}
    return make_scan(lock, *unique.values())


@st.composite
def requests(draw: Any) -> EvaluationRequest:
    lock = draw(closures())
    return EvaluationRequest(
        lock=lock,
        scan=scan_of(lock, draw(st.lists(FINDINGS, max_size=4))),
        policies=tuple(draw(st.lists(POLICIES, min_size=1, max_size=3))),
        maturity=draw(MATURITIES),
        approvals=tuple(draw(st.lists(APPROVALS, max_size=3))),
        sandbox=Sandbox(egress=draw(st.sampled_from([(), (EgressPeer("10.0.0.0/8", 443),)]))),
        now=NOW,
        advisories_synced_at=draw(st.sampled_from([NOW, NOW - timedelta(days=3), None])),
        network_isolated=draw(st.sampled_from([True, None])),
    )


def badness(verdict: Verdict) -> int:
    """How far a verdict is from letting a skill run, whatever the reason's name."""
    if verdict.allowed:
        return 0
    match verdict.reason:
        case ComplianceReason.APPROVAL_REQUIRED:
            return 1
        case ComplianceReason.NO_VERDICT:
            return 2 if verdict.may_hold else 3
        case _:
            return 4


def assert_no_better(before: EvaluationRequest, after: EvaluationRequest) -> None:
    assert badness(evaluate(after)) >= badness(evaluate(before))


def with_policy(request: EvaluationRequest, index: int, **changes: Any) -> EvaluationRequest:
    policies = list(request.policies)
    place = index % len(policies)
    policies[place] = replace(policies[place], **changes)
    return replace(request, policies=tuple(policies))


@given(requests())
def test_the_strictest_policy_wins(request: EvaluationRequest) -> None:
    together = evaluate(request)
    for policy in request.policies:
        alone = evaluate(replace(request, policies=(policy,)))
        assert badness(together) >= badness(alone)


@given(requests(), POLICIES)
def test_another_policy_never_improves(request: EvaluationRequest, policy: Policy) -> None:
    assert_no_better(request, replace(request, policies=(*request.policies, policy)))


@given(requests(), FINDINGS)
def test_another_finding_never_improves(request: EvaluationRequest, finding: Finding) -> None:
    known = [item for report in request.scan.reports for item in report.findings]  # type: ignore[union-attr]
    fresh = replace(finding, id=f"{finding.kind.value}-new")
    assert_no_better(request, replace(request, scan=scan_of(request.lock, [*known, fresh])))


@given(requests(), BANS, st.integers(0, 2))
def test_another_ban_never_improves(request: EvaluationRequest, ban: Any, index: int) -> None:
    bans = request.policies[index % len(request.policies)].bans
    assert_no_better(request, with_policy(request, index, bans=(*bans, ban)))


@given(requests(), st.integers(0, 2), st.integers(0, 3), ACTIONS)
def test_a_stricter_rule_never_improves(
    request: EvaluationRequest, index: int, rule: int, action: Action
) -> None:
    rules = list(request.policies[index % len(request.policies)].rules)
    if not rules:
        return
    place = rule % len(rules)
    if action.strictness >= rules[place].action.strictness:
        rules[place] = replace(rules[place], action=action)
    assert_no_better(request, with_policy(request, index, rules=tuple(rules)))


@given(requests(), st.integers(0, 2), ACTIONS)
def test_a_stricter_unlisted_never_improves(request: EvaluationRequest, index: int, action: Action) -> None:
    unlisted = request.policies[index % len(request.policies)].unlisted
    if unlisted is None or action.strictness >= unlisted.strictness:
        assert_no_better(request, with_policy(request, index, unlisted=action))


@given(requests(), st.integers(0, 2), MATURITIES, ACTIONS)
def test_a_stricter_ceiling_never_improves(
    request: EvaluationRequest, index: int, level: Maturity, action: Action
) -> None:
    ceilings = request.policies[index % len(request.policies)].maturity
    if action.strictness >= ceilings.get(level, Action.ALLOW).strictness:
        assert_no_better(request, with_policy(request, index, maturity={**ceilings, level: action}))


@given(requests(), st.integers(0, 2), st.sampled_from(Severity))
def test_a_stricter_finding_rule_never_improves(
    request: EvaluationRequest, index: int, severity: Severity
) -> None:
    rules = request.policies[index % len(request.policies)].findings
    stricter = replace(rules, vulnerability={**rules.vulnerability, severity: Action.DENY})
    assert_no_better(request, with_policy(request, index, findings=stricter))


@given(requests(), MATURITIES)
def test_a_lower_maturity_never_improves(request: EvaluationRequest, maturity: Maturity) -> None:
    if maturity <= request.maturity:
        assert_no_better(request, replace(request, maturity=maturity))


@given(requests(), APPROVALS)
def test_an_approval_never_lifts_a_denial_or_a_gap(request: EvaluationRequest, approval: Any) -> None:
    before = evaluate(request)
    after = evaluate(replace(request, approvals=(*request.approvals, approval)))
    if before.action is Action.DENY and before.reason is not ComplianceReason.NO_VERDICT:
        assert after.action is Action.DENY
    if not approval.approved:
        assert badness(after) >= badness(before)
    if before.reason is ComplianceReason.NO_VERDICT:
        assert not after.allowed
    denials = {(item.package, item.code, item.rule) for item in before.reasons if item.action is Action.DENY}
    assert denials <= {(item.package, item.code, item.rule) for item in after.reasons}


@given(requests(), st.integers(0, 7), st.sampled_from(["drop", "error", "other", "none"]))
def test_a_scan_with_a_gap_never_improves_and_never_allows_where_it_is_required(
    request: EvaluationRequest, index: int, how: str
) -> None:
    assert request.scan is not None
    reports = list(request.scan.reports)
    place = index % len(reports)
    match how:
        case "drop":
            del reports[place]
        case "error":
            reports[place] = replace(reports[place], state=ScanState.ERROR, error="boom")
        case "other":
            kept = request.lock.packages[index % len(request.lock.packages)].id
            reports[place] = replace(reports[place], audited=reports[place].audited - {kept})
        case "none":
            reports = []
    scan = replace(request.scan, reports=tuple(reports))
    after = evaluate(replace(request, scan=scan))
    before = evaluate(request)
    if how == "none":
        assert not after.allowed
        assert not evaluate(replace(request, scan=None)).allowed
    if request.scan.reports[place].scanner is ScannerName.OSV:
        assert not after.allowed
    assert after.allowed <= before.allowed or how in {"drop", "none"}


@given(requests(), st.randoms(use_true_random=False))
def test_no_order_matters_but_that_of_rules(request: EvaluationRequest, random: Any) -> None:
    def shuffled(items: Sequence[Any]) -> tuple[Any, ...]:
        copy = list(items)
        random.shuffle(copy)
        return tuple(copy)

    assert request.scan is not None
    reports = tuple(
        replace(report, findings=shuffled(report.findings)) for report in shuffled(request.scan.reports)
    )
    other = replace(
        request,
        lock=Lock(request.lock.platform, shuffled(request.lock.packages)),
        policies=shuffled(request.policies),
        approvals=shuffled(request.approvals),
        scan=replace(request.scan, reports=reports),
    )
    assert evaluate(other) == evaluate(request)


@given(requests())
def test_judging_again_and_with_copies_says_the_same(request: EvaluationRequest) -> None:
    copied = replace(request, policies=tuple(replace(policy) for policy in request.policies))
    first = evaluate(request)
    assert evaluate(request) == first
    assert evaluate(copied) == first


@given(requests())
def test_every_verdict_is_consistent(request: EvaluationRequest) -> None:
    verdict = evaluate(request)
    if verdict.allowed:
        assert verdict.reasons == ()
    else:
        assert verdict.reasons[0].code is verdict.reason
        assert verdict.action is verdict.reasons[0].action
    assert bool(verdict.pending) is (verdict.reason is ComplianceReason.APPROVAL_REQUIRED)
    waiting = {reason.package for reason in verdict.reasons if reason.action is Action.REQUIRE_APPROVAL}
    if verdict.pending:
        assert {item for entry in verdict.pending for item in entry.packages} == waiting
    assert verdict.revisit_at is None or verdict.revisit_at > request.now
    for reason in verdict.reasons:
        assert 0 < len(reason.message) <= 400
        assert 0 < len(reason.fix) <= 400
        if reason.package is not None:
            assert str(reason.package) in reason.message
            assert reason.path[-1] == reason.package.name


@given(requests())
def test_nothing_changes_before_the_time_to_revisit(request: EvaluationRequest) -> None:
    verdict = evaluate(request)
    until = verdict.revisit_at or request.now + timedelta(days=30)
    later = evaluate(replace(request, now=until - timedelta(seconds=1)))
    assert (later.action, later.reason, later.reasons) == (verdict.action, verdict.reason, verdict.reasons)


@given(requests(), POLICIES)
def test_a_policy_in_audit_changes_nothing_but_what_is_shown(
    request: EvaluationRequest, policy: Policy
) -> None:
    watching = replace(policy, enforcement=Enforcement.AUDIT)
    verdict = evaluate(replace(request, policies=(*request.policies, watching)))
    assert replace(verdict, audit_reasons=()) == evaluate(request)
