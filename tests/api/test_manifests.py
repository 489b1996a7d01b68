"""What ships under manifests/: it satisfies the schemas, and says what the documentation says it does."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from packaging.requirements import InvalidRequirement, Requirement

from skillwarden.api.v1alpha1 import GUARD_PROBE_AGENT, MODELS, Skill, SkillRun, parse
from skillwarden.api.v1alpha1.package_approval import APPROVAL_PROBE_PACKAGE, MAX_POLICIES
from skillwarden.domain.content import pack
from skillwarden.domain.finding import FindingKind, Severity
from skillwarden.domain.policy import Action, EgressRule, Maturity, OnError
from skillwarden.domain.skill import InlineSource, Mode

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
Body = dict[str, Any]


def read(folder: Path) -> list[Body]:
    return [body for path in sorted(folder.rglob("*.yaml")) for body in yaml.safe_load_all(path.read_text())]


SAMPLES = read(MANIFESTS / "samples" / "skills")
OURS = [body for body in [*SAMPLES, *read(MANIFESTS / "baseline")] if body["kind"] in MODELS]
EXPECTED: dict[str, Body] = yaml.safe_load((MANIFESTS / "samples" / "expected.yaml").read_text())


def title(body: Body) -> str:
    return f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"


@pytest.mark.parametrize("body", OURS, ids=lambda body: f"{body['kind']} {title(body)}")
def test_each_object_satisfies_its_schema_and_is_read(body: Body, schemas: dict[str, Body]) -> None:
    Draft7Validator(schemas[body["kind"]]).validate(body)
    parse(body["kind"], body).to_domain()


def test_every_skill_has_an_expectation_and_the_other_way_round() -> None:
    assert set(EXPECTED) == {title(body) for body in SAMPLES if body["kind"] == "Skill"}


def test_every_run_is_expected_to_end_and_belongs_to_a_task() -> None:
    runs = {title(body): body for body in SAMPLES if body["kind"] == "SkillRun"}
    tasks = {
        title(body) for body in SAMPLES if body["kind"] == "Skill" and body["spec"].get("mode") != "Service"
    }
    named = {
        f"{skill.split('/')[0]}/{case['run']['name']}" for skill, case in EXPECTED.items() if "run" in case
    }
    assert set(runs) == named
    for name, body in runs.items():
        assert f"{name.split('/')[0]}/{body['spec']['skillRef']['name']}" in tasks


def test_samples_cover_every_verdict_and_both_modes() -> None:
    assert {case["verdict"] for case in EXPECTED.values()} == {
        "Allowed", "ApprovalRequired", "Denied", "Unknown"
    }  # fmt: skip
    modes = {parse("Skill", body).spec.mode for body in SAMPLES if body["kind"] == "Skill"}
    assert modes == set(Mode)


def test_samples_carry_nothing_of_the_operators_and_ask_for_no_version() -> None:
    for body in SAMPLES:
        assert not {"labels", "annotations"} & set(body["metadata"])
        assert "version" not in body.get("spec", {}).get("runtime", {})


def test_every_sample_lives_in_a_namespace_and_names_an_agent_that_is_there() -> None:
    namespaces = {body["metadata"]["name"] for body in SAMPLES if body["kind"] == "Namespace"}
    agents = {title(body) for body in SAMPLES if body["kind"] == "Agent"}
    for body in SAMPLES:
        model = parse(body["kind"], body) if body["kind"] in MODELS else None
        if model is None:
            continue
        assert body["metadata"]["namespace"] in namespaces
        assert body["metadata"]["namespace"].startswith("team-")
        if isinstance(model, Skill | SkillRun) and model.spec.agent_ref:
            assert f"{body['metadata']['namespace']}/{model.spec.agent_ref.name}" in agents


def test_sources_are_python_that_compiles_and_small_enough() -> None:
    for body in SAMPLES:
        if body["kind"] != "Skill":
            continue
        source = parse("Skill", body).to_domain().source
        assert isinstance(source, InlineSource)
        pack(source.files)
        for file in source.files:
            if file.path.endswith(".py"):
                ast.parse(file.content, feature_version=(3, 11))


def test_requirements_parse_but_for_the_one_that_must_not() -> None:
    for body in SAMPLES:
        for text in body.get("spec", {}).get("packages", {}).get("python", []):
            assert (Requirement(text).url is not None) == (title(body) == "team-web/url-requirement")


def test_the_hostile_sample_tries_everything_that_is_promised() -> None:
    (hostile,) = [
        body for body in SAMPLES if title(body) == "team-onboarding/hostile" and body["kind"] == "Skill"
    ]
    text = hostile["spec"]["source"]["files"][0]["content"]
    for attempt in (
        "/etc/shadow",
        "core_pattern",
        "/var/tmp",
        "127.0.0.1",
        "attempt_processes(500)",
        "attempt_memory(2048)",
    ):
        assert attempt in text
    assert "packages" not in hostile["spec"]


def test_the_baseline_is_the_reference_matrix() -> None:
    (body,) = read(MANIFESTS / "baseline")
    model = parse("ClusterPackagePolicy", body)
    policy = model.to_domain()
    assert body["spec"]["namespaceSelector"] == {}
    assert policy.unlisted is None
    assert policy.maturity == {Maturity.STUDENT: Action.DENY, Maturity.INTERN: Action.REQUIRE_APPROVAL}
    assert policy.findings.vulnerability == {
        Severity.CRITICAL: Action.DENY,
        Severity.HIGH: Action.REQUIRE_APPROVAL,
        Severity.MEDIUM: Action.ALLOW,
        Severity.LOW: Action.ALLOW,
        Severity.UNKNOWN: Action.REQUIRE_APPROVAL,
    }
    # Which licences are denied is each company's own to say; GuardDog is not in every image. The age of
    # projects takes an index that tells upload times, and asks it once for every package.
    left_out = {FindingKind.LICENCE, FindingKind.MALWARE, FindingKind.PACKAGE_AGE}
    assert {kind for kind in FindingKind if not policy.findings.cares_for(kind)} == left_out
    assert policy.on_error is OnError.DENY
    assert policy.max_advisory_age is not None
    assert policy.max_advisory_age.total_seconds() == 48 * 3600
    assert policy.sandbox.egress is EgressRule.DENY
    assert all(ban.message for ban in policy.bans)


def test_a_namespace_allows_what_the_baseline_bans() -> None:
    (baseline,) = read(MANIFESTS / "baseline")
    banned = {name for ban in parse("ClusterPackagePolicy", baseline).to_domain().bans for name in ban.names}
    local = [parse("PackagePolicy", body).to_domain() for body in SAMPLES if body["kind"] == "PackagePolicy"]
    allowed = {
        name
        for policy in local
        for rule in policy.rules
        if rule.action is Action.ALLOW
        for name in rule.names
    }
    (sample,) = [body for body in SAMPLES if title(body) == "team-web/banned"]
    assert set(sample["spec"]["packages"]["python"]) <= banned & allowed


def test_advisories_are_osv_records_that_name_a_fix() -> None:
    paths = sorted((MANIFESTS / "samples" / "advisories" / "PyPI").iterdir())
    assert len(paths) >= 3
    for path in paths:
        record = json.loads(path.read_text())
        assert path.name == f"{record['id']}.json"
        assert any(alias.startswith("CVE-") for alias in record["aliases"])
        assert record["severity"][0]["score"].startswith("CVSS:3.1/")
        for affected in record["affected"]:
            assert affected["package"]["ecosystem"] == "PyPI"
            assert any("fixed" in event for scope in affected["ranges"] for event in scope["events"])


@pytest.mark.parametrize("folder", ["admission", "rbac"])
def test_the_operator_has_one_name_everywhere(folder: str) -> None:
    text = "".join(path.read_text() for path in (MANIFESTS / folder).glob("*.yaml"))
    assert "skillwarden-operator" in text
    account = "system:serviceaccount:skillwarden-system:skillwarden-operator"
    for body in read(MANIFESTS / folder):
        for variable in body.get("spec", {}).get("variables", []):
            if variable["name"] == "operator":
                assert variable["expression"] == f"'{account}'"


def test_every_admission_policy_fails_closed_and_is_bound_to_deny() -> None:
    bodies = read(MANIFESTS / "admission")
    policies = {
        body["metadata"]["name"]: body for body in bodies if body["kind"] == "ValidatingAdmissionPolicy"
    }
    bound = {body["spec"]["policyName"]: body["spec"] for body in bodies if body["kind"].endswith("Binding")}
    assert set(policies) == set(bound)
    for name, body in policies.items():
        assert body["spec"]["failurePolicy"] == "Fail"
        assert bound[name]["validationActions"] == ["Deny"]


def test_the_guard_refuses_the_agent_that_the_operator_probes_with() -> None:
    text = (MANIFESTS / "admission" / "agent-use.yaml").read_text()
    assert f"variables.agent != '{GUARD_PROBE_AGENT}'" in text


def test_the_guard_refuses_the_package_that_the_operator_probes_with() -> None:
    text = (MANIFESTS / "admission" / "package-approvals.yaml").read_text()
    assert f"object.spec.package.name != '{APPROVAL_PROBE_PACKAGE}'" in text


def test_an_approver_is_asked_about_every_policy_that_a_request_may_name() -> None:
    """An expression may ask the API server twice what somebody may do, and a policy 28 times."""
    (policy,) = [
        body
        for body in read(MANIFESTS / "admission")
        if title(body).endswith("package-approvals") and body["kind"] == "ValidatingAdmissionPolicy"
    ]
    asked = []
    for validation in policy["spec"]["validations"]:
        expression = validation["expression"]
        indices = (
            json.loads(found[0]) if (found := re.findall(r"\[\d+(?:, \d+)*\](?=\.all)", expression)) else [0]
        )
        assert expression.count(".check(") * len(indices) <= 2
        if "check('approve')" in expression:
            asked += indices
    assert asked == list(range(MAX_POLICIES))
    assert (
        len(asked) + sum("resource('skills')" in each["expression"] for each in policy["spec"]["validations"])
        <= 28
    )


def test_nobody_gets_use_exec_or_approve_from_a_shipped_role() -> None:
    for body in read(MANIFESTS / "rbac"):
        for rule in body.get("rules", []):
            assert not {"use", "exec", "approve", "*", "impersonate", "escalate", "bind"} & set(rule["verbs"])
            assert "*" not in rule["resources"]
        assert "aggregationRule" not in body
        assert "labels" not in body["metadata"]


def test_a_requirement_with_a_url_is_what_the_url_sample_shows() -> None:
    (sample,) = [body for body in SAMPLES if title(body) == "team-web/url-requirement"]
    (text,) = sample["spec"]["packages"]["python"]
    try:
        assert Requirement(text).url
    except InvalidRequirement:
        pytest.fail("the sample shows a URL, not a syntax error")
