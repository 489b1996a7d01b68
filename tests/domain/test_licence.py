"""SPDX expressions: denied is what leaves no way around a denied licence."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import grounds_of, judge, make_finding, make_finding_rules, make_policy

from skillwarden.domain.finding import FindingKind
from skillwarden.domain.licence import UNKNOWN, canonical, denied_licences
from skillwarden.domain.policy import Action
from skillwarden.domain.verdict import Verdict


@pytest.mark.parametrize(
    ("expression", "denied", "expected"),
    [
        ("AGPL-3.0-only", ("AGPL-3.0-only",), ("AGPL-3.0-only",)),
        ("agpl-3.0-only", ("AGPL-3.0-ONLY",), ("AGPL-3.0-only",)),
        ("AGPL-3.0-or-later", ("AGPL-3.0-only",), ()),
        ("AGPL-3.0-or-later", ("AGPL-*",), ("AGPL-3.0-or-later",)),
        ("MIT OR GPL-3.0-only", ("GPL-*",), ()),
        ("MIT AND GPL-3.0-only", ("GPL-*",), ("GPL-3.0-only",)),
        ("GPL-2.0-only OR GPL-3.0-only", ("GPL-*",), ("GPL-2.0-only", "GPL-3.0-only")),
        ("MIT OR ISC AND GPL-3.0-only", ("GPL-*",), ()),
        ("(MIT OR ISC) AND GPL-3.0-only", ("GPL-*",), ("GPL-3.0-only",)),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ("GPL-*",), ("GPL-2.0-only",)),
        ("GPL-2.0+", ("GPL-2.0",), ("GPL-2.0+",)),
        ("MIT", (), ()),
    ],
)
def test_what_is_denied(expression: str, denied: tuple[str, ...], expected: tuple[str, ...]) -> None:
    read = canonical(expression)
    assert read is not None
    assert denied_licences(read, denied) == expected


@pytest.mark.parametrize("text", ["", "BSD", "MIT AND", "(MIT", "MIT OR " * 200 + "MIT", "()" * 400])
def test_what_is_no_expression(text: str) -> None:
    assert canonical(text) is None


NAMES = ("MIT", "ISC", "Zlib")
EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.sets(st.sampled_from(NAMES)))
def test_it_agrees_with_the_truth_table(expression: str, denied: set[str]) -> None:
    """Denied is what no choice of allowed licences makes true."""
    python = expression.replace("AND", "and").replace("OR", "or")
    world = {name: name not in denied for name in NAMES}
    free = eval(python, {"__builtins__": {}}, world)
    read = canonical(expression)
    assert read is not None
    assert bool(denied_licences(read, tuple(denied))) is not free


def judged(licence: str, **rules: object) -> Verdict:
    finding = make_finding("a 1.0", licence, FindingKind.LICENCE)
    return judge("a 1.0", make_policy(findings=make_finding_rules(**rules)), findings=[finding])


def test_a_denied_licence_denies_and_says_which() -> None:
    verdict = judged("MIT AND AGPL-3.0-only", licence_deny=("AGPL-*",))
    assert grounds_of(verdict) == {("a", "Denied", "findings.licence.deny")}
    assert "no way around AGPL-3.0-only" in verdict.reasons[0].message
    assert judged("MIT OR AGPL-3.0-only", licence_deny=("AGPL-*",)).allowed


@pytest.mark.parametrize("action", [Action.DENY, Action.REQUIRE_APPROVAL])
def test_an_unknown_licence_takes_its_own_action(action: Action) -> None:
    verdict = judged(UNKNOWN, licence_unknown=action)
    assert (verdict.action, verdict.reasons[0].rule) == (action, "findings.licence.unknown")
    assert judged("MIT", licence_unknown=action).allowed
    assert judged(UNKNOWN, licence_deny=("*",)).allowed


def test_every_choice_of_actions_is_as_its_rule_says() -> None:
    kinds = {
        FindingKind.CONFUSION: ("confusion", "findings.confusion"),
        FindingKind.INSTALL_SCRIPT: ("install_script", "findings.installScript"),
        FindingKind.MALWARE: ("malware", "findings.malware"),
    }
    for (kind, (field, rule)), action in product(kinds.items(), Action):
        finding = make_finding("a 1.0", "some-id", kind, summary="it does this")
        verdict = judge(
            "a 1.0", make_policy(findings=make_finding_rules(**{field: action})), findings=[finding]
        )
        assert verdict.action is action
        if action is not Action.ALLOW:
            assert verdict.reasons[0].rule == rule
            assert "it does this" in verdict.reasons[0].message
