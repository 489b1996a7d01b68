"""What `kubectl apply` is told: a ban is refused with its reason, all else is a warning."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_admission import make_admission

from skillwarden.domain.finding import Finding, FindingKind
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Maturity, PolicyRef
from skillwarden.domain.verdict import PendingApproval
from skillwarden.services.admission import MAX_WARNING, MAX_WARNINGS, Answer
from skillwarden.services.approvals import request_body
from skillwarden.services.records import agent_record, approval_record, policy_record
from skillwarden.services.store import Store

Body = dict[str, Any]
API = "skillwarden.io/v1alpha1"


def skill(*packages: str, agent: str | None = None, **spec: Any) -> Body:
    given: Body = {
        "source": {"files": [{"path": "main.py", "content": "pass"}]},
        "packages": {"python": list(packages)},
        "entrypoint": {"command": ["python", "main.py"]},
        **spec,
    }
    if agent:
        given["agentRef"] = {"name": agent}
    meta = {"name": "demo", "namespace": "team", "uid": "u"}
    return {"apiVersion": API, "kind": "Skill", "metadata": meta, "spec": given}


def policy(name: str = "rules", *, kind: str = "PackagePolicy", **spec: Any) -> Body:
    meta = {"name": name} if kind == "ClusterPackagePolicy" else {"name": name, "namespace": "team"}
    return {"apiVersion": API, "kind": kind, "metadata": meta, "spec": {"unlisted": "Allow", **spec}}


def ban(name: str, versions: str | None = None) -> Body:
    some = {"versions": versions} if versions else {}
    return {"ecosystem": "PyPI", "names": [name], **some, "message": "It steals tokens."}


class World:
    """A store, and an API server that has one more agent than the store."""

    def __init__(self, *policies: Body, guarded: bool | None = True) -> None:
        self.store = Store(primed=True)
        self.asked: list[str] = []
        for body in policies:
            record = policy_record(body["kind"], body)
            local = body["kind"] == "PackagePolicy"
            table = self.store.policies if local else self.store.cluster_policies
            table.put((record.ref.namespace or "", record.ref.name), record)
        self.agent("known", "Autonomous")
        self.admission = make_admission(self.store, get=self._get, guarded=guarded)

    def agent(self, name: str, maturity: str) -> None:
        self.store.agents.put(("team", name), agent_record(agent(name, maturity)))

    async def _get(self, kind: Any, *, name: str, namespace: str) -> Body | None:
        self.asked.append(name)
        return agent(name, "Autonomous") if name == "new" else None

    def review(self, body: Body, old: Body | None = None) -> Answer:
        return asyncio.run(self.admission.review(body["kind"], body, old))


def agent(name: str, maturity: str) -> Body:
    meta = {"name": name, "namespace": "team"}
    return {"apiVersion": API, "kind": "Agent", "metadata": meta, "spec": {"maturity": maturity}}


BANNED = policy(bans=[ban("evilpkg")])


def test_a_banned_package_is_refused_with_its_reason_and_the_fix() -> None:
    answer = World(BANNED).review(skill("requests", "evilpkg>=1"))
    assert answer.word == "refused"
    assert "evilpkg>=1 (declared) is banned" in answer.refusal
    assert "It steals tokens" in answer.refusal
    assert "PackagePolicy team/rules" in answer.refusal
    assert "Remove evilpkg" in answer.refusal
    assert "requests" not in answer.refusal


def test_a_ban_of_some_versions_refuses_these_pins_only() -> None:
    world = World(policy(bans=[ban("evilpkg", "<2")]))
    assert world.review(skill("evilpkg==1.5")).word == "refused"
    assert world.review(skill("evilpkg==2.0")) == Answer()
    # Which version a range comes to is the resolver's to say, and the operator's to judge.
    assert world.review(skill("evilpkg>=1")) == Answer()


def test_a_ban_that_only_audits_refuses_nothing() -> None:
    world = World(policy(bans=[ban("evilpkg")], enforcement="Audit"), policy("other"))
    assert world.review(skill("evilpkg")) == Answer()


def test_what_nothing_stands_against_is_taken_in_silence() -> None:
    assert World(policy()).review(skill("requests", agent="known")) == Answer()


def test_an_edit_of_a_skill_that_a_ban_has_overtaken_is_taken_with_a_warning() -> None:
    """Whoever scales it down or takes another package out must be able to."""
    world = World(BANNED)
    answer = world.review(skill("evilpkg", description="other"), skill("evilpkg", "requests"))
    assert not answer.refusal
    assert any("evilpkg" in text and "Banned" in text for text in answer.warnings)
    assert world.review(skill("evilpkg"), skill("requests")).word == "refused"


def test_metadata_and_deletion_are_never_in_the_way() -> None:
    old = skill("evilpkg")
    new = {**old, "metadata": {**old["metadata"], "finalizers": []}}
    assert World(BANNED).review(new, old) == Answer()


@pytest.mark.parametrize(
    ("case", "body", "words"),
    [
        ("no policy at all", skill("requests"), "NoPolicy"),
        ("an invalid package", skill("https://example.org/x.whl"), "InvalidPackage"),
        ("a runtime that is not there", skill(runtime={"version": "3.9"}), "UnsupportedRuntime"),
        (
            "a Node skill that does not say so",
            skill(packages={"node": {"dependencies": ["express"]}}),
            "If the skill runs on Node alone, set spec.runtime.language: Node",
        ),
        (
            "packages of both without an image of both",
            skill(packages={"python": ["requests"], "node": {"dependencies": ["express"]}}),
            "Declare packages of Python only",
        ),
        ("an agent that is not there", skill(agent="nobody"), "There is no Agent nobody"),
    ],
)
def test_all_else_is_a_warning(case: str, body: Body, words: str) -> None:
    policies = [] if case == "no policy at all" else [policy()]
    answer = World(*policies).review(body)
    assert not answer.refusal
    assert any(words in text for text in answer.warnings), answer.warnings


def test_a_student_is_told_of_the_ceiling_and_of_lookalikes() -> None:
    answer = World(policy(maturity={"Student": "Deny"})).review(skill("reqeusts"))
    assert any("MaturityTooLow" in text for text in answer.warnings)
    assert any("resembles the popular package requests" in text for text in answer.warnings)


@pytest.mark.parametrize(
    ("sentence", "decision", "guarded", "told"),
    [
        ("nobody decided", None, True, "ApprovalRequired"),
        ("it may be looked up", "Approved", True, ""),
        ("who let it be looked up is not proven", "Approved", False, "ApprovalRequired"),
        ("it was refused", "Denied", False, "Denied"),
    ],
)
def test_a_lookalike_is_no_warning_once_it_may_be_looked_up(
    sentence: str, decision: str | None, guarded: bool, told: str
) -> None:
    world = World(policy(), guarded=guarded)
    package = PackageId.of(Ecosystem.PYPI, "reqeusts", "")
    finding = Finding(FindingKind.TYPOSQUAT, package, "requests")
    asking = (PolicyRef("rules", "team"),)
    pending = PendingApproval(package, (package,), Maturity.STUDENT, findings=(finding,), policies=asking)
    body = request_body("team", "it", pending)
    if decision:
        body["status"] = {"decision": {"verdict": decision, "approver": "rita", "reason": "looked"}}
    world.store.approvals.put(("team", "it"), approval_record(body))
    answer = world.review(skill("reqeusts", agent="known"))
    about = [text for text in answer.warnings if "reqeusts" in text]
    assert bool(about) == bool(told)
    assert not told or f"({told})" in about[0]


def test_an_agent_that_was_applied_a_moment_ago_counts() -> None:
    world = World(policy(maturity={"Student": "Deny"}))
    assert world.review(skill("requests", agent="new")) == Answer()
    assert world.asked == ["new"]


def test_an_unguarded_agent_does_not_count() -> None:
    world = World(policy(maturity={"Student": "Deny"}), guarded=False)
    answer = world.review(skill("requests", agent="known"))
    assert any("is not guarded here" in text for text in answer.warnings)
    assert any("MaturityTooLow" in text for text in answer.warnings)


def test_a_policy_that_cannot_be_read_is_told_at_once() -> None:
    body = policy(bans=[ban("evilpkg", "not a range")])
    answer = World().review(body)
    assert not answer.refusal
    assert "nothing is allowed until it can" in answer.warnings[0]
    skill_answer = World(body).review(skill("requests"))
    assert any("cannot be read" in text for text in skill_answer.warnings)


def test_warnings_are_few_short_lines() -> None:
    names = [f"evil{number}pkg" for number in range(40)]
    answer = World(policy(maturity={"Student": "Deny"})).review(skill(*names))
    assert len(answer.warnings) == MAX_WARNINGS + 1
    assert answer.warnings[-1].startswith(f"And {40 - MAX_WARNINGS} more")
    assert all(len(text) <= MAX_WARNING and text.isprintable() for text in answer.warnings)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(spec=st.dictionaries(st.sampled_from(["source", "packages", "entrypoint", "agentRef"]), json_values))
def test_no_spec_breaks_a_review(spec: Body) -> None:
    body = skill()
    answer = World(BANNED).review({**body, "spec": spec})
    assert not answer.refusal
    assert all(text.isprintable() for text in answer.warnings)
