"""What policies ask of the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from make_domain import judge, make_lock, make_policy

from skillwarden.domain.policy import (
    Action,
    EgressRule,
    Enforcement,
    Maturity,
    Policy,
    Resources,
    SandboxRules,
)
from skillwarden.domain.skill import EgressPeer, Sandbox
from skillwarden.domain.verdict import ComplianceReason, Verdict

EMPTY = make_lock()
OUT = (EgressPeer("10.0.0.0/8", 443),)


def asking(name: str = "base", **rules: Any) -> Policy:
    return make_policy(name, sandbox=SandboxRules(**rules))


def judge_sandbox(*policies: Policy, sandbox: Sandbox | None = None, **changes: Any) -> Verdict:
    return judge(EMPTY, *policies, sandbox=sandbox or Sandbox(), **changes)


def rules_of(verdict: Verdict) -> list[str]:
    return [reason.rule for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("sentence", "egress", "rules", "allowed"),
    [
        ("declared where it is denied", OUT, [EgressRule.DENY], False),
        ("declared where it is allowed", OUT, [EgressRule.ALLOW], True),
        ("denied by one of two", OUT, [EgressRule.ALLOW, EgressRule.DENY], False),
        ("none declared", (), [EgressRule.DENY], True),
    ],
)
def test_egress(sentence: str, egress: Any, rules: list[EgressRule], allowed: bool) -> None:
    policies = [asking(f"p{index}", egress=rule) for index, rule in enumerate(rules)]
    verdict = judge_sandbox(*policies, sandbox=Sandbox(egress=egress))
    assert verdict.allowed is allowed, sentence
    if not allowed:
        assert verdict.reason is ComplianceReason.DENIED
        assert rules_of(verdict) == ["sandbox.egress"]
        assert "10.0.0.0/8 port 443/TCP" in verdict.reasons[0].message


ROOMY = Resources(cpu=1000, memory=2**30, ephemeral_storage=2**30)


@pytest.mark.parametrize(
    ("sentence", "asked", "bound", "expected"),
    [
        ("all at the bound", ROOMY, ROOMY, []),
        ("no bound", ROOMY, Resources(), []),
        ("CPU above", Resources(1001, 1, 1), ROOMY, ["sandbox.maxResources.cpu"]),
        ("memory above", Resources(1, 2**30 + 1, 1), ROOMY, ["sandbox.maxResources.memory"]),
        ("storage above", Resources(1, 1, 2**31), ROOMY, ["sandbox.maxResources.ephemeralStorage"]),
        (
            "each is named",
            Resources(1001, 2**31, 2**31),
            ROOMY,
            [
                "sandbox.maxResources.cpu",
                "sandbox.maxResources.ephemeralStorage",
                "sandbox.maxResources.memory",
            ],
        ),
        ("a bound of zero is a bound", Resources(1, 1, 1), Resources(cpu=0), ["sandbox.maxResources.cpu"]),
        (
            "unbounded where a bound is asked",
            Resources(cpu=1),
            Resources(memory=1),
            ["sandbox.maxResources.memory"],
        ),
    ],
)
def test_resources(sentence: str, asked: Resources, bound: Resources, expected: list[str]) -> None:
    verdict = judge_sandbox(asking(max_resources=bound), sandbox=Sandbox(resources=asked))
    assert rules_of(verdict) == expected, sentence
    assert verdict.allowed is (not expected)


def test_a_resource_above_its_bound_is_told_with_the_bound() -> None:
    verdict = judge_sandbox(
        asking(max_resources=ROOMY), sandbox=Sandbox(resources=Resources(1500, 2**20, 2**20))
    )
    assert "1500m of cpu" in verdict.reasons[0].message
    assert "1000m" in verdict.reasons[0].fix


GVISOR = {Maturity.AUTONOMOUS: "gvisor"}


@pytest.mark.parametrize(
    ("sentence", "required", "chosen", "allowed", "runtime_class"),
    [
        ("required, none named: the required one", [GVISOR], None, True, "gvisor"),
        ("required and named", [GVISOR], "gvisor", True, "gvisor"),
        ("another named", [GVISOR], "runc", False, "runc"),
        ("none required, one named", [{}], "kata", True, "kata"),
        ("none required, none named", [{}], None, True, None),
        ("required for another maturity", [{Maturity.INTERN: "kata"}], None, True, None),
        ("two policies agree", [GVISOR, GVISOR], None, True, "gvisor"),
        ("two policies differ, none named", [GVISOR, {Maturity.AUTONOMOUS: "kata"}], None, False, None),
        (
            "two policies differ, one of theirs named",
            [GVISOR, {Maturity.AUTONOMOUS: "kata"}],
            "kata",
            False,
            "kata",
        ),
        ("one of two requires", [GVISOR, {}], None, True, "gvisor"),
    ],
)
def test_runtime_class(
    sentence: str,
    required: list[dict[Maturity, str]],
    chosen: str | None,
    allowed: bool,
    runtime_class: str | None,
) -> None:
    policies = [asking(f"p{index}", require_runtime_class=wanted) for index, wanted in enumerate(required)]
    verdict = judge_sandbox(
        *policies, sandbox=Sandbox(runtime_class_name=chosen), maturity=Maturity.AUTONOMOUS
    )
    assert verdict.allowed is allowed, sentence
    assert verdict.runtime_class == runtime_class
    if not allowed:
        assert set(rules_of(verdict)) == {"sandbox.requireRuntimeClass.Autonomous"}


def test_a_policy_in_audit_requires_no_runtime_class_and_says_what_it_would() -> None:
    watching = make_policy(
        "watch", sandbox=SandboxRules(require_runtime_class=GVISOR), enforcement=Enforcement.AUDIT
    )
    verdict = judge_sandbox(
        make_policy(), watching, sandbox=Sandbox(runtime_class_name="runc"), maturity=Maturity.AUTONOMOUS
    )
    assert verdict.allowed
    assert verdict.runtime_class == "runc"
    assert [reason.rule for reason in verdict.audit_reasons] == ["sandbox.requireRuntimeClass.Autonomous"]


@pytest.mark.parametrize(
    ("required", "isolated", "allowed"),
    [
        (True, True, True),
        (True, False, False),
        (True, None, False),
        (False, None, True),
        (False, False, True),
    ],
)
def test_isolation_must_be_shown_where_it_is_required(
    required: bool, isolated: bool | None, allowed: bool
) -> None:
    verdict = judge_sandbox(asking(require_isolation=required), network_isolated=isolated)
    assert verdict.allowed is allowed
    if not allowed:
        assert (verdict.action, verdict.reason) == (Action.DENY, ComplianceReason.NO_VERDICT)
        assert not verdict.may_hold
        assert verdict.reasons[0].fix
