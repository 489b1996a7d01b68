"""Promise 8 of the design, on a real API server: what is refused, to whom, and what must go on working."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

OPERATOR = "system:serviceaccount:skillwarden-system:skillwarden-operator"
OURS = {"skillwarden.io/component": "sandbox", "skillwarden.io/skill": "csv-stats"}
MANAGED = {"app.kubernetes.io/managed-by": "skillwarden", "skillwarden.io/skill": "csv-stats"}


@pytest.fixture
def name() -> str:
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module", autouse=True)
def rights(admin: Any) -> None:
    """Alice and bob may do everything in the namespace but `use` and `exec`, which alice has by name."""
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
    edit = [
        {"apiGroups": ["skillwarden.io"], "resources": ["*"], "verbs": verbs},
        {"apiGroups": ["", "networking.k8s.io"], "resources": ["*"], "verbs": verbs},
    ]
    named = [
        {
            "apiGroups": ["skillwarden.io"],
            "resources": ["agents"],
            "resourceNames": ["analyst"],
            "verbs": ["use"],
        },
        {
            "apiGroups": ["skillwarden.io"],
            "resources": ["skills"],
            "resourceNames": ["csv-stats"],
            "verbs": ["exec"],
        },
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role"}
    version = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    # kubectl reads a status before it patches it; the operator itself has no need to.
    reading = [{"apiGroups": ["skillwarden.io"], "resources": ["skills/status"], "verbs": ["get"]}]
    bodies: list[dict[str, Any]] = []
    for role, users, rules in (
        ("edit", ("alice", "bob"), edit),
        ("named", ("alice",), named),
        ("reading", (OPERATOR,), reading),
    ):
        subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user} for user in users]
        bodies += [
            {**version, "kind": "Role", "metadata": {"name": role}, "rules": rules},
            {
                **version,
                "kind": "RoleBinding",
                "metadata": {"name": role},
                "roleRef": {**reference, "name": role},
                "subjects": subjects,
            },
        ]
    admin.must("apply", "-f", "-", body=bodies)


#: Where an operator runs in the same cluster, it removes sandbox Pods without a Skill: this holds them.
HELD = {"finalizers": ["example.org/held"]}


def release(admin: Any, name: str) -> None:
    admin("patch", "pod", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    admin("delete", "pod", name, "--now", "--ignore-not-found", "--wait=false")


@pytest.fixture
def sandbox_pod(operator: Any, admin: Any, make: Any, name: str) -> Iterator[str]:
    annotations = {"skillwarden.io/lock-digest": "sha256:0"}
    operator.must("create", "-f", "-", body=make.pod(name, labels=OURS, annotations=annotations, **HELD))
    yield name
    release(admin, name)


# Naming an agent


def test_who_may_use_an_agent_may_name_it(admin: Any, make: Any, name: str) -> None:
    admin.act_as("alice").must("create", "-f", "-", body=make.skill(name, agent="analyst"))


@pytest.mark.parametrize("kind", ["Skill", "SkillRun"])
def test_who_may_not_use_an_agent_is_refused_and_told_the_verb(
    admin: Any, make: Any, name: str, kind: str
) -> None:
    body = make.skill(name, agent="analyst")
    if kind == "SkillRun":
        body |= {"kind": kind, "spec": {"skillRef": {"name": "x"}, "agentRef": {"name": "analyst"}}}
    answer = admin.act_as("bob")("create", "-f", "-", body=body)
    assert not answer.ok
    assert 'the verb "use" on agents.skillwarden.io "analyst"' in answer.err


def test_no_agent_takes_no_right(admin: Any, make: Any, name: str) -> None:
    admin.act_as("bob").must("create", "-f", "-", body=make.skill(name))


def test_anothers_agent_cannot_be_kept_with_a_changed_spec(admin: Any, make: Any, name: str) -> None:
    admin.act_as("alice").must("create", "-f", "-", body=make.skill(name, agent="analyst"))
    bob = admin.act_as("bob")
    changed = bob(
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
        body=make.skill(name, agent="analyst", command="other.py"),
    )
    assert not changed.ok
    assert "use" in changed.err
    bob.must("label", "skill", name, "reviewed=yes")


def test_the_probed_name_is_refused_to_the_mightiest(admin: Any, operator: Any, make: Any, name: str) -> None:
    for who in (admin, operator):
        answer = who(
            "create", "--dry-run=server", "-f", "-", body=make.skill(name, agent="skillwarden-guard-probe")
        )
        assert not answer.ok
        assert "skillwarden-guard-probe is reserved" in answer.err


# Sandbox Pods


@pytest.mark.parametrize("marks", [
    pytest.param({"labels": OURS}, id="our labels"),
    pytest.param({"labels": {"skillwarden.io/else": "x"}}, id="any label under our prefix"),
    pytest.param({"annotations": {"skillwarden.io/lock-digest": "x"}}, id="our annotations"),
    pytest.param({"ownerReferences": [{"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill",
                                       "name": "x", "uid": "0"}]}, id="an owner of ours"),
])  # fmt: skip
def test_nobody_else_makes_a_pod_with(admin: Any, make: Any, name: str, marks: dict[str, Any]) -> None:
    for who in (admin, admin.act_as("alice")):
        answer = who("create", "--dry-run=server", "-f", "-", body=make.pod(name, **marks))
        assert not answer.ok
        assert "skillwarden.io" in answer.err
        assert "operator" in answer.err


@pytest.mark.parametrize("resource", ["pods/{name}/binding", "bindings"])
def test_a_binding_hands_no_marks_to_a_pod(resource: str, admin: Any, make: Any, name: str) -> None:
    admin.must("create", "-f", "-", body=make.pod(name))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "labels": OURS},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
    }
    path = f"/api/v1/namespaces/{admin.namespace}/{resource.format(name=name)}"
    assert "labels and annotations" in admin("create", "--raw", path, "-f", "-", body=binding, ns=False).err
    binding["metadata"] = {"name": name}
    assert admin("create", "--raw", path, "-f", "-", body=binding, ns=False).ok
    admin.must("delete", "pod", name, "--now")


def test_other_pods_are_nobodys_business(admin: Any, make: Any, name: str) -> None:
    alice = admin.act_as("alice")
    alice.must("create", "-f", "-", body=make.pod(name, labels={"app": "web"}))
    alice.must("label", "pod", name, "app=other", "--overwrite")
    alice.must("delete", "pod", name, "--now")


def test_a_deployment_cannot_smuggle_our_labels(admin: Any, make: Any, name: str) -> None:
    pod = make.pod("x", labels={**OURS, "app": name})
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    admin.must("create", "-f", "-", body={
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    })  # fmt: skip

    def refused() -> bool:
        status = json.loads(admin.must("get", "replicaset", name, "-o", "json"))["status"]
        return any("skillwarden.io" in item.get("message", "") for item in status.get("conditions", []))

    make.wait(refused, "the refusal of the ReplicaSet's Pod")
    assert not json.loads(admin.must("get", "pods", "-l", f"app={name}", "-o", "json"))["items"]
    admin.must("delete", "replicaset", name)


OTHER_OWNER = json.dumps(
    {"metadata": {"ownerReferences": [
        {"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill", "name": "x", "uid": "0"}
    ]}}
)  # fmt: skip
DEBUGGER = json.dumps({"spec": {"ephemeralContainers": [{"name": "d", "image": "example.org/sh:1"}]}})
RELABEL = json.dumps({"metadata": {"labels": {"skillwarden.io/skill": "other"}}})
CHANGES = {
    "relabel": (["label", "{pod}", "skillwarden.io/skill=other", "--overwrite"], "labels and annotations"),
    "unlabel": (["label", "{pod}", "skillwarden.io/component-"], "labels and annotations"),
    "re-annotate": (
        ["annotate", "{pod}", "skillwarden.io/lock-digest=x", "--overwrite"],
        "labels and annotations",
    ),
    "swap the image": (["set", "image", "{pod}", "skill=example.org/evil:1"], "what was judged"),
    "re-own": (["patch", "{pod}", "--type=merge", "-p", OTHER_OWNER], "owner references"),
    "relabel by its status": (
        ["patch", "{pod}", "--subresource=status", "--type=merge", "-p", RELABEL],
        "labels and annotations",
    ),
    "debug": (
        ["patch", "{pod}", "--subresource=ephemeralcontainers", "-p", DEBUGGER],
        "no ephemeral containers",
    ),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_nobody_can_do_to_a_sandbox_pod(admin: Any, sandbox_pod: str, change: list[str], said: str) -> None:
    words = [word.replace("{pod}", f"pod/{sandbox_pod}") for word in change]
    for who in (admin, admin.act_as("alice")):
        answer = who(*words)
        assert not answer.ok
        assert said in answer.err
        assert "resulted in error" not in answer.err


def test_a_sandbox_pod_may_get_other_labels_and_be_deleted(admin: Any, sandbox_pod: str) -> None:
    alice = admin.act_as("alice")
    alice.must("label", "pod", sandbox_pod, "cost-centre=7")
    alice.must("delete", "pod", sandbox_pod, "--now", "--wait=false")


def test_an_orphaning_delete_of_the_owner_ends(admin: Any, operator: Any, make: Any, name: str) -> None:
    admin.must("create", "-f", "-", body=make.skill(name))
    uid = json.loads(admin.must("get", "skill", name, "-o", "json"))["metadata"]["uid"]
    owner = {"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill", "name": name, "uid": uid}
    operator.must("create", "-f", "-", body=make.pod(name, labels=OURS, ownerReferences=[owner], **HELD))
    admin.must("delete", "skill", name, "--cascade=orphan", "--timeout=60s")
    pod = json.loads(admin.must("get", "pod", name, "-o", "json"))
    assert "ownerReferences" not in pod["metadata"]
    release(admin, name)


# Access to a sandbox


@pytest.mark.parametrize("access", [
    pytest.param(["exec", "{pod}", "--", "true"], id="exec"),
    pytest.param(["attach", "{pod}"], id="attach"),
    pytest.param(["create", "--raw", "/api/v1/namespaces/{ns}/pods/{pod}/portforward", "-f", "/dev/null"],
                 id="port-forward"),
    pytest.param(["get", "--raw", "/api/v1/namespaces/{ns}/pods/{pod}/proxy/"], id="proxy"),
    pytest.param(["get", "--raw", "/api/v1/namespaces/{ns}/pods/http:{pod}:80/proxy/"],
                 id="proxy with scheme and port"),
])  # fmt: skip
def test_a_sandbox_is_closed_without_the_verb_exec(
    admin: Any, make: Any, sandbox_pod: str, access: list[str]
) -> None:
    words = [word.replace("{pod}", sandbox_pod).replace("{ns}", admin.namespace) for word in access]
    bob = admin.act_as("bob")
    make.wait(lambda: "is a sandbox" in bob(*words, ns="--raw" not in words).err, "the refusal")
    alices = admin.act_as("alice")(*words, ns="--raw" not in words)
    assert "is a sandbox" not in alices.err


def test_pods_that_are_no_sandbox_stay_open(admin: Any, make: Any, sandbox_pod: str) -> None:
    free = f"{sandbox_pod}-free"
    bob = admin.act_as("bob")
    bob.must("create", "-f", "-", body=make.pod(free))
    assert "denied request" not in bob("exec", free, "--", "true").err
    bob.must("delete", "pod", free, "--now")


# Children


def make_network_policy(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }


def make_account(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": labels}}


@pytest.mark.parametrize(
    "build", [make_network_policy, make_account], ids=["NetworkPolicy", "ServiceAccount"]
)
def test_children_are_the_operators_alone(admin: Any, operator: Any, name: str, build: Any) -> None:
    body = build(name, MANAGED)
    kind = body["kind"].lower()
    alice = admin.act_as("alice")
    assert "only the Skillwarden operator" in alice("create", "-f", "-", body=body).err
    operator.must("create", "-f", "-", body=body)
    for words in (
        ["label", kind, name, "skillwarden.io/skill-"],
        ["label", kind, name, "app.kubernetes.io/managed-by=me", "--overwrite"],
        ["delete", kind, name],
    ):
        assert "only the Skillwarden operator" in alice(*words).err, words
    operator.must(
        "apply", "--server-side", "--field-manager=skillwarden", "--force-conflicts", "-f", "-", body=body
    )
    operator.must("delete", kind, name)
    alice.must("create", "-f", "-", body=build(name, {"app": "web"}))
    alice.must("delete", kind, name)


# Status


def test_status_is_written_by_the_operator_alone(admin: Any, operator: Any, make: Any, name: str) -> None:
    admin.must("create", "-f", "-", body=make.skill(name))
    words = [
        "patch",
        "skill",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"verdict":"Allowed"}}',
    ]
    for who in (admin, admin.act_as("alice")):
        assert "written by the Skillwarden operator only" in who(*words).err
    operator.must(*words)
    assert json.loads(admin.must("get", "skill", name, "-o", "json"))["status"]["verdict"] == "Allowed"


# The operator's role


@pytest.mark.parametrize("question", [
    "create secrets", "get secrets", "update skills", "patch skills", "delete skills",
    "create pods --subresource=exec", "patch pods", "update agents", "create clusterrolebindings",
    "create deployments.apps",
])  # fmt: skip
def test_the_operator_may_not(operator: Any, question: str) -> None:
    assert operator("auth", "can-i", *question.split()).out.strip() == "no"
