"""Who may do what: roles, admission policies and the CRDs' rules, each tried as the user it is about."""

from __future__ import annotations

from typing import Any

import pytest
from e2e_support import API, Body, Target, make_agent, make_policy, make_skill

RBAC = "rbac.authorization.k8s.io/v1"
REAL = pytest.mark.real("the embedded cluster runs no admission policies and no CEL")


def bind(target: Target, namespace: str, role: str, user: str) -> None:
    subject = (f"--clusterrole={role}", f"--user={user}")
    target.must("create", "rolebinding", f"{user}-{role}", "-n", namespace, *subject)


def may_use(target: Target, namespace: str, agent: str, user: str) -> None:
    role = f"use-{agent}"
    rule = {
        "apiGroups": ["skillwarden.io"],
        "resources": ["agents"],
        "resourceNames": [agent],
        "verbs": ["use"],
    }
    meta = {"name": role, "namespace": namespace}
    target.apply({"apiVersion": RBAC, "kind": "Role", "metadata": meta, "rules": [rule]})
    target.must("create", "rolebinding", role, "-n", namespace, f"--role={role}", f"--user={user}")


@pytest.fixture
def author(target: Target, namespace: str) -> str:
    bind(target, namespace, "skillwarden-author", "e2e-author")
    may_use(target, namespace, "helper", "e2e-author")
    return "e2e-author"


def refused(target: Target, *bodies: Body, user: str = "", words: str) -> None:
    done = target.kubectl("apply", "--server-side", "-f", "-", given=list(bodies), user=user)
    assert done.code != 0, "it was taken"
    assert words in done.err, done.err


@REAL
def test_an_author_applies_skills_and_nothing_else(target: Target, namespace: str, author: str) -> None:
    target.apply(make_skill(namespace, "mine", "print('hello')\n"), user=author)
    target.until_skill("mine", namespace, "Ready")
    refused(target, make_agent(namespace, maturity="Autonomous"), user=author, words="forbidden")
    refused(target, make_policy(namespace, unlisted="Allow"), user=author, words="forbidden")
    status = {**make_skill(namespace, "mine", ""), "status": {"verdict": "Allowed"}}
    done = target.kubectl(
        "apply", "--server-side", "--subresource=status", "-f", "-", given=status, user=author
    )
    assert done.code != 0


@REAL
def test_an_agent_that_one_may_not_use_cannot_be_named(target: Target, namespace: str, author: str) -> None:
    target.apply(make_agent(namespace, "stranger", "Autonomous"))
    skill = make_skill(namespace, "borrowed", "print('hello')\n", agentRef={"name": "stranger"})
    refused(target, skill, user=author, words="use")


@REAL
def test_a_request_is_approved_by_an_approver_and_by_nobody_else(
    target: Target, namespace: str, author: str
) -> None:
    code = "open('.ssh/id_rsa')\n"
    target.apply(make_skill(namespace, "odd", code), user=author)
    status = target.until_skill("odd", namespace, "ApprovalRequired")
    name = status["pendingApprovals"][0]["name"]
    # Of this test alone: what a right on the whole cluster would leave to the next run's.
    approver = f"approver-{namespace}"
    bind(target, namespace, "skillwarden-approver", approver)
    bind(target, namespace, "skillwarden-approver", author)
    assert "approve" in decide(target, namespace, name, approver), "without the verb on the policies"
    for kind, policy in (("packagepolicies", "rules"), ("clusterpackagepolicies", "baseline")):
        role = f"e2e-approve-{kind}"
        target.apply(cluster_role(role, kind, policy), cluster_binding(role, approver, author))
    assert "nobody approves their own" in decide(target, namespace, name, author)
    assert "must be your own name" in decide(target, namespace, name, approver, approver="somebody")
    assert decide(target, namespace, name, approver) == ""
    target.until_skill("odd", namespace, "Ready")
    assert "written once" in decide(target, namespace, name, approver, verdict="Denied")


def decide(
    target: Target, namespace: str, name: str, user: str, *, approver: str = "", verdict: str = "Approved"
) -> str:
    """Write a decision as a user; return why it was refused, or nothing."""
    decision = f'{{"verdict":"{verdict}","approver":"{approver or user}","reason":"looked at it"}}'
    patch = f'{{"status":{{"decision":{decision}}}}}'
    done = target.kubectl(
        *(
            "patch",
            "packageapproval",
            name,
            "-n",
            namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            patch,
        ),
        user=user,
    )
    return "" if done.code == 0 else done.err


def cluster_role(name: str, kind: str, policy: str) -> Body:
    rule = {"apiGroups": ["skillwarden.io"], "resources": [kind], "verbs": ["approve"]}
    return {
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [rule | {"resourceNames": [policy]}],
    }


def cluster_binding(role: str, *users: str) -> Body:
    group = RBAC.partition("/")[0]
    return {
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group} for user in users],
    }


def forged_pod(namespace: str) -> Body:
    labels = {"skillwarden.io/component": "sandbox", "app.kubernetes.io/managed-by": "skillwarden"}
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "skill", "image": "busybox", "securityContext": security}
    meta = {"name": "forged", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


@REAL
def test_nobody_but_the_operator_makes_pods_that_look_like_sandboxes(target: Target, namespace: str) -> None:
    bind(target, namespace, "edit", "e2e-editor")
    refused(target, forged_pod(namespace), user="e2e-editor", words="operator")


@REAL
def test_nobody_executes_in_a_sandbox_without_the_verb(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", "import signal\nsignal.pause()\n", mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    bind(target, namespace, "edit", "e2e-editor")
    [pod] = target.pods(namespace)
    done = target.kubectl("exec", "-n", namespace, pod["metadata"]["name"], "--", "true", user="e2e-editor")
    assert done.code != 0
    assert 'you need the verb "exec"' in done.err


@REAL
@pytest.mark.parametrize(
    "spec",
    [
        {"source": {}},
        {"source": {"files": [{"path": "main.py"}]}},
        {"mode": "Sometimes"},
        {"sandbox": {"replicas": -1}},
    ],
    ids=["no source", "a file without content", "no such mode", "replicas below none"],
)
def test_what_cannot_be_is_refused_when_it_is_applied(
    spec: dict[str, Any], target: Target, namespace: str
) -> None:
    refused(target, make_skill(namespace, "wrong", "", **spec), words="Invalid")


def test_a_field_that_does_not_exist_is_named(target: Target, namespace: str) -> None:
    refused(target, make_skill(namespace, "wrong", "", image="mine"), words="image")


def test_every_kind_explains_itself(target: Target) -> None:
    for kind in ("skill", "skillrun", "packagepolicy", "clusterpackagepolicy", "agent", "packageapproval"):
        said = target.must("explain", kind, f"--api-version={API}")
        assert "spec" in said
