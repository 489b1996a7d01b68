"""Who approved is what a real API server says: each rule of package-approvals.yaml."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from skillwarden.api.v1alpha1.package_approval import MAX_POLICIES

Body = dict[str, Any]
SKILLWARDEN = "skillwarden.io"
#: Users who are named for the one right on skills that they have.
WRITING = ("create", "update", "patch")
PACKAGE = {"ecosystem": "PyPI", "name": "six", "version": "1.17.0"}


@pytest.fixture(scope="module", autouse=True)
def people(admin: Any) -> None:
    """Rita may approve for every policy, nora for the namespace's; carol writes skills, too."""
    version = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    decide = [
        {"apiGroups": [SKILLWARDEN], "resources": ["packageapprovals"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": [SKILLWARDEN],
            "resources": ["packageapprovals/status"],
            "verbs": ["get", "update", "patch"],
        },
    ]
    local = [
        {
            "apiGroups": [SKILLWARDEN],
            "resources": ["packagepolicies"],
            "resourceNames": ["rules", *(f"rules-{number}" for number in range(MAX_POLICIES))],
            "verbs": ["approve"],
        }
    ]
    write = [
        {"apiGroups": [SKILLWARDEN], "resources": ["skills"], "verbs": ["get", "create", "update", "patch"]},
        {"apiGroups": [SKILLWARDEN], "resources": ["packageapprovals"], "verbs": ["*"]},
    ]
    bodies: list[Body] = []
    for role, users, rules in (
        ("decide", ("rita", "nora", "carol", *WRITING), decide),
        ("local-approver", ("rita", "nora", "carol", *WRITING), local),
        ("writer", ("carol",), write),
        ("all-controllers", ("system:kube-controller-manager",), write),
        *(
            (f"may-{verb}", (verb,), [{"apiGroups": [SKILLWARDEN], "resources": ["skills"], "verbs": [verb]}])
            for verb in WRITING
        ),
    ):
        subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user} for user in users]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        bodies += [
            {**version, "kind": "Role", "metadata": {"name": role}, "rules": rules},
            {
                **version,
                "kind": "RoleBinding",
                "metadata": {"name": role},
                "roleRef": reference,
                "subjects": subjects,
            },
        ]
    name = f"{admin.namespace}-baseline-approver"
    rule = {
        "apiGroups": [SKILLWARDEN],
        "resources": ["clusterpackagepolicies"],
        "resourceNames": ["baseline"],
        "verbs": ["approve"],
    }
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user} for user in ("rita", "carol")
    ]
    cluster: list[Body] = [
        {**version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]},
        {
            **version,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": reference,
            "subjects": subjects,
        },
    ]
    admin.must("apply", "-f", "-", body=[*bodies, *cluster])


def make_request(name: str, *, policies: list[Body] | None = None, package: Body | None = None) -> Body:
    package = package or PACKAGE
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "PackageApproval",
        "metadata": {"name": name},
        "spec": {
            "package": package,
            "artefacts": [{**package, "digest": "sha256:" + "a" * 64}],
            "policies": policies
            or [
                {"kind": "ClusterPackagePolicy", "name": "baseline"},
                {"kind": "PackagePolicy", "name": "rules"},
            ],
            "minMaturity": "Intern",
        },
    }


@pytest.fixture
def request_(operator: Any) -> str:
    name = f"r-{uuid.uuid4().hex[:8]}"
    operator.must("create", "-f", "-", body=make_request(name))
    return name


def decide(kubectl: Any, name: str, approver: str, verdict: str = "Approved", **fields: Any) -> Any:
    decision = {"verdict": verdict, "approver": approver, "reason": "looked at it", **fields}
    patch = json.dumps({"status": {"decision": decision}})
    return kubectl("patch", "packageapproval", name, "--subresource=status", "--type=merge", "-p", patch)


def test_who_may_approve_for_every_policy_decides_under_their_own_name(admin: Any, request_: str) -> None:
    assert decide(admin.act_as("rita"), request_, "rita").ok
    shown = admin.must("get", "packageapproval", request_, "-o", "jsonpath={.status.decision.approver}")
    assert shown == "rita"


def test_nobody_signs_with_anothers_name(admin: Any, request_: str) -> None:
    answer = decide(admin.act_as("rita"), request_, "nora")
    assert not answer.ok
    assert "your own name, rita" in answer.err


def test_a_namespaces_approver_cannot_decide_what_the_cluster_asks(admin: Any, request_: str) -> None:
    answer = decide(admin.act_as("nora"), request_, "nora")
    assert not answer.ok
    assert 'the verb "approve" on every policy that asks: ClusterPackagePolicy baseline' in answer.err


def test_a_namespaces_approver_decides_what_the_namespace_asks(admin: Any, operator: Any) -> None:
    name = f"r-{uuid.uuid4().hex[:8]}"
    operator.must(
        "create", "-f", "-", body=make_request(name, policies=[{"kind": "PackagePolicy", "name": "rules"}])
    )
    assert decide(admin.act_as("nora"), name, "nora").ok


def test_who_may_change_skills_decides_nothing(admin: Any, request_: str) -> None:
    answer = decide(admin.act_as("carol"), request_, "carol")
    assert not answer.ok
    assert "nobody approves their own" in answer.err


@pytest.mark.parametrize("right", WRITING)
def test_who_may_make_or_change_skills_in_any_way_decides_nothing(
    right: str, admin: Any, operator: Any
) -> None:
    name = f"r-{uuid.uuid4().hex[:8]}"
    rules = [{"kind": "PackagePolicy", "name": "rules"}]
    operator.must("create", "-f", "-", body=make_request(name, policies=rules))
    answer = decide(admin.act_as(right), name, right)
    assert not answer.ok
    assert "nobody approves their own" in answer.err


@pytest.mark.parametrize("verdict", ["Approved", "Denied"])
def test_as_many_policies_as_a_request_may_name_can_be_answered(
    verdict: str, admin: Any, operator: Any
) -> None:
    """The API server stops an expression that asks too often what somebody may do."""
    name = f"r-{uuid.uuid4().hex[:8]}"
    rules = [{"kind": "PackagePolicy", "name": f"rules-{number}"} for number in range(MAX_POLICIES)]
    operator.must("create", "-f", "-", body=make_request(name, policies=rules))
    assert decide(admin.act_as("nora"), name, "nora", verdict).ok


@pytest.mark.parametrize("place", [0, 1, 2, MAX_POLICIES - 1])
def test_one_policy_that_an_approver_may_not_answer_is_enough(place: int, admin: Any, operator: Any) -> None:
    name = f"r-{uuid.uuid4().hex[:8]}"
    rules = [{"kind": "PackagePolicy", "name": f"rules-{number}"} for number in range(MAX_POLICIES)]
    rules[place] = {"kind": "ClusterPackagePolicy", "name": "baseline"}
    operator.must("create", "-f", "-", body=make_request(name, policies=rules))
    answer = decide(admin.act_as("nora"), name, "nora")
    assert not answer.ok
    assert 'the verb "approve" on every policy that asks: ' in answer.err
    assert decide(admin.act_as("rita"), name, "rita").ok


def test_a_decision_cannot_be_given_an_owner_that_takes_it_along(admin: Any, request_: str) -> None:
    assert decide(admin.act_as("rita"), request_, "rita", "Denied").ok
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "0"}
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    for kubectl in (admin, admin.act_as("carol")):
        answer = kubectl("patch", "packageapproval", request_, "--type=merge", "-p", patch)
        assert not answer.ok
        assert "has no owner" in answer.err
    collector = admin.act_as("system:serviceaccount:kube-system:generic-garbage-collector")
    assert not collector("delete", "packageapproval", request_, "--wait=false").ok


def test_the_operator_cannot_decide(operator: Any, request_: str) -> None:
    decision = {"verdict": "Approved", "approver": "rita", "reason": "x"}
    body = {**make_request(request_), "status": {"decision": decision}}
    body.pop("spec")
    answer = operator("apply", "--server-side", "--subresource=status", "-f", "-", body=body)
    assert not answer.ok
    assert "the operator cannot decide" in answer.err


@pytest.mark.parametrize("verdict", ["Approved", "Denied"])
@pytest.mark.parametrize("change", ["another verdict", "another reason", "taken back"])
def test_a_decision_is_never_changed(verdict: str, change: str, admin: Any, request_: str) -> None:
    assert decide(admin.act_as("rita"), request_, "rita", verdict).ok
    other = {"Approved": "Denied", "Denied": "Approved"}[verdict]
    patch = {
        "another verdict": {"decision": {"verdict": other}},
        "another reason": {"decision": {"reason": "changed my mind"}},
        "taken back": {"decision": None},
    }[change]
    for who in ("rita", None):
        kubectl = admin.act_as(who) if who else admin
        text = json.dumps({"status": patch})
        answer = kubectl(
            "patch", "packageapproval", request_, "--subresource=status", "--type=merge", "-p", text
        )
        assert not answer.ok
        assert "written once" in answer.err


def test_the_operators_part_of_the_status_goes_on_after_a_decision(
    admin: Any, operator: Any, request_: str
) -> None:
    assert decide(admin.act_as("rita"), request_, "rita").ok
    body = {**make_request(request_), "status": {"requestedBy": {"count": 1, "skills": ["demo"]}}}
    body.pop("spec")
    operator.must("apply", "--server-side", "--subresource=status", "-f", "-", body=body)
    shown = json.loads(admin.must("get", "packageapproval", request_, "-o", "json"))["status"]
    assert shown["decision"]["approver"] == "rita"
    assert shown["requestedBy"]["count"] == 1


@pytest.mark.parametrize("status", [{"requestedBy": {"count": 7}}, {"conditions": []}])
def test_a_person_writes_nothing_else_of_the_status(
    status: Body, admin: Any, operator: Any, request_: str
) -> None:
    condition = {
        "type": "Effective",
        "status": "Unknown",
        "reason": "Pending",
        "message": "x",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    body = {**make_request(request_), "status": {"requestedBy": {"count": 1}, "conditions": [condition]}}
    body.pop("spec")
    operator.must("apply", "--server-side", "--subresource=status", "-f", "-", body=body)
    rita = admin.act_as("rita")
    alone = json.dumps({"status": status})
    assert not rita(
        "patch", "packageapproval", request_, "--subresource=status", "--type=merge", "-p", alone
    ).ok
    decision = {"verdict": "Approved", "approver": "rita", "reason": "x"}
    both = json.dumps({"status": {**status, "decision": decision}})
    answer = rita("patch", "packageapproval", request_, "--subresource=status", "--type=merge", "-p", both)
    assert not answer.ok
    assert "changes nothing else" in answer.err


def test_only_the_operator_makes_requests(admin: Any) -> None:
    answer = admin.act_as("carol")("create", "-f", "-", body=make_request("mine"))
    assert not answer.ok
    assert "made by the Skillwarden operator only" in answer.err


def test_only_the_operator_removes_requests(admin: Any, operator: Any, request_: str) -> None:
    answer = admin.act_as("carol")("delete", "packageapproval", request_)
    assert not answer.ok
    assert "removed by the Skillwarden operator only" in answer.err
    assert operator("delete", "packageapproval", request_, "--wait=false").ok


def test_the_probes_package_is_refused_to_everybody(operator: Any) -> None:
    package = {**PACKAGE, "name": "skillwarden-guard-probe"}
    answer = operator("create", "--dry-run=server", "-f", "-", body=make_request("probe", package=package))
    assert not answer.ok
    assert "skillwarden-guard-probe is reserved" in answer.err


def test_a_request_about_a_skills_own_files_is_made_and_decided(admin: Any, operator: Any) -> None:
    name = f"r-{uuid.uuid4().hex[:8]}"
    body = make_request(name, policies=[{"kind": "PackagePolicy", "name": "rules"}])
    del body["spec"]["package"], body["spec"]["artefacts"]
    body["spec"]["source"] = {"digest": "sha256:" + "b" * 64}
    operator.must("create", "-f", "-", body=body)
    assert decide(admin.act_as("rita"), name, "rita").ok


def test_what_is_asked_cannot_be_changed(operator: Any, admin: Any, request_: str) -> None:
    patch = json.dumps({"spec": {"minMaturity": "Student"}})
    for kubectl in (operator, admin):
        answer = kubectl("patch", "packageapproval", request_, "--type=merge", "-p", patch)
        assert not answer.ok
    assert "a request cannot be changed" in answer.err


@pytest.mark.parametrize(
    "controller",
    ["system:serviceaccount:kube-system:namespace-controller", "system:kube-controller-manager"],
)
def test_a_namespace_with_requests_can_be_deleted(controller: str, admin: Any, request_: str) -> None:
    """What removes all that stands in it does so under a name of its own, or of all controllers."""
    answer = admin.act_as(controller)("delete", "packageapproval", request_, "--wait=false")
    assert answer.ok, answer.err
