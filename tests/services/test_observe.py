"""Projections of children: what decisions see of Pods and NetworkPolicies."""

from __future__ import annotations

from typing import Any

import pytest

from skillwarden.domain.naming import COMPONENT_SANDBOX, LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGER
from skillwarden.domain.world import PodPhase
from skillwarden.services.observe import matches_selector, network_policy_record, owner_of, pod_record

KEY = b"k" * 32
LABELS = {LABEL_COMPONENT: COMPONENT_SANDBOX, "skillwarden.io/skill": "demo"}
OURS = {
    "apiVersion": "skillwarden.io/v1alpha1",
    "kind": "Skill",
    "name": "demo",
    "uid": "u",
    "controller": True,
}


def make_pod(status: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "demo-0", "namespace": "team", "uid": "p", **meta}, "status": status}


def main(**state: Any) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": "skill", "state": state}]}


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, **more}}


@pytest.mark.parametrize(
    ("sentence", "status", "seen"),
    [
        ("nothing is known yet", {}, {"phase": PodPhase.PENDING, "ready": False, "exit_code": None}),
        ("its phase is a new one", {"phase": "Hibernating"}, {"phase": PodPhase.PENDING}),
        (
            "it is ready",
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            {"phase": PodPhase.RUNNING, "ready": True},
        ),
        (
            "it ended",
            main(**ended(3, reason="Error", message='{"x": 1}', finishedAt="T2", startedAt="T1")),
            {"exit_code": 3, "output": '{"x": 1}', "finished_at": "T2", "started_at": "T1", "reason": ""},
        ),
        ("it was killed for its memory", main(**ended(137, reason="OOMKilled")), {"reason": "OOMKilled"}),
        ("it was evicted", {"phase": "Failed", "reason": "Evicted"}, {"reason": "Evicted"}),
        ("it runs", main(running={"startedAt": "T1"}), {"started_at": "T1", "exit_code": None}),
        (
            "it crashes",
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(9)}
                ]
            },
            {"waiting": "CrashLoopBackOff", "exit_code": 9},
        ),
        (
            "it runs again after a crash",
            {"containerStatuses": [{"state": {"running": {"startedAt": "T"}}, "lastState": ended(9)}]},
            {"exit_code": None},
        ),
        (
            "its init container failed",
            {"initContainerStatuses": [{"state": ended(2, message="wrong hash\n")}]},
            {"init_failure": "The sandbox could not be prepared (exit code 2): wrong hash"},
        ),
        (
            "its init container failed and is tried again",
            {
                "initContainerStatuses": [
                    {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(2)}
                ]
            },
            {
                "init_failure": "The sandbox could not be prepared (exit code 2):"
                " It left no message; see kubectl logs -c prepare.",
                "waiting": "CrashLoopBackOff",
            },
        ),
        (
            "its init container ended well",
            {"initContainerStatuses": [{"state": ended(0)}]},
            {"init_failure": None},
        ),
        (
            "no node takes it",
            {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes"}]},
            {"unschedulable": "0/3 nodes"},
        ),
        (
            "its node only walks the phases",
            {"conditions": [{"type": "skillwarden.io/Simulated", "status": "True"}]},
            {"simulated": True},
        ),
    ],
)
def test_a_pod_is_seen_so_when(sentence: str, status: dict[str, Any], seen: dict[str, Any]) -> None:
    pod = pod_record(make_pod(status), seal_key=KEY).pod
    assert {name: getattr(pod, name) for name in seen} == seen
    assert pod.tampered, "it carries no seal"


def test_a_pod_that_is_being_deleted_says_so() -> None:
    assert pod_record(make_pod({}, deletionTimestamp="T"), seal_key=KEY).pod.deleting


@pytest.mark.parametrize(
    ("sentence", "references", "uid"),
    [
        ("our controller", [OURS], "u"),
        ("no reference", [], ""),
        ("a reference that controls nothing", [{**OURS, "controller": False}], ""),
        ("a controller of another group", [{**OURS, "apiVersion": "apps/v1", "kind": "ReplicaSet"}], ""),
        ("a group that only begins like ours", [{**OURS, "apiVersion": "skillwarden.io.evil.org/v1"}], ""),
    ],
)
def test_the_owner_by(sentence: str, references: list[dict[str, Any]], uid: str) -> None:
    assert owner_of(make_pod({}, ownerReferences=references)).uid == uid


@pytest.mark.parametrize(
    ("sentence", "selector", "selected"),
    [
        ("an empty selector", {}, True),
        ("a label that is so", {"matchLabels": {"skillwarden.io/skill": "demo"}}, True),
        ("a label that is otherwise", {"matchLabels": {"skillwarden.io/skill": "x"}}, False),
        ("a label that is not there", {"matchLabels": {"app": "web"}}, False),
        (
            "In",
            {"matchExpressions": [{"key": "skillwarden.io/skill", "operator": "In", "values": ["demo"]}]},
            True,
        ),
        (
            "In of others",
            {"matchExpressions": [{"key": "skillwarden.io/skill", "operator": "In", "values": ["x"]}]},
            False,
        ),
        (
            "In of what is not there",
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]},
            False,
        ),
        (
            "NotIn",
            {"matchExpressions": [{"key": "skillwarden.io/skill", "operator": "NotIn", "values": ["demo"]}]},
            False,
        ),
        (
            "NotIn of what is not there",
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]},
            True,
        ),
        ("Exists", {"matchExpressions": [{"key": LABEL_COMPONENT, "operator": "Exists"}]}, True),
        ("Exists of what is not", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, False),
        ("DoesNotExist", {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, True),
        (
            "DoesNotExist of what does",
            {"matchExpressions": [{"key": LABEL_COMPONENT, "operator": "DoesNotExist"}]},
            False,
        ),
        ("an operator that nobody knows", {"matchExpressions": [{"key": "app", "operator": "Like"}]}, True),
    ],
)
def test_a_selector_with(sentence: str, selector: dict[str, Any], selected: bool) -> None:
    assert matches_selector(selector, LABELS) is selected


@pytest.mark.parametrize(
    ("sentence", "spec", "opens"),
    [
        ("egress to all", {"podSelector": {}, "egress": [{}]}, True),
        ("ingress from all", {"podSelector": {}, "ingress": [{}]}, True),
        ("nothing", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, False),
        ("others", {"podSelector": {"matchLabels": {"app": "web"}}, "egress": [{}]}, False),
        ("everything in its namespace, with no selector", {"egress": [{}]}, True),
    ],
)
def test_a_network_policy_that_opens(sentence: str, spec: dict[str, Any], opens: bool) -> None:
    record = network_policy_record({"metadata": {"name": "p", "namespace": "team"}, "spec": spec})
    assert record.opens(LABELS) is opens
    assert not record.ours


def test_a_network_policy_is_ours_by_its_label_and_whose_by_its_controller() -> None:
    meta = {"name": "p", "labels": {LABEL_MANAGED_BY: MANAGER}, "ownerReferences": [OURS]}
    record = network_policy_record({"metadata": meta})
    assert (record.ours, record.owner_uid) == (True, "u")


def test_what_a_runtime_says_of_a_command_that_does_not_start_is_no_output() -> None:
    terminated = {"exitCode": 128, "reason": "StartError", "message": "exec: black: not found"}
    status = {
        "phase": "Failed",
        "containerStatuses": [{"name": "skill", "state": {"terminated": terminated}}],
    }
    pod = pod_record(make_pod(status), seal_key=KEY).pod
    assert (pod.reason, pod.message, pod.output) == ("StartError", "exec: black: not found", "")
