"""The CRDs on a real API server: structural, within the cost budget of CEL, and with readable messages."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

KINDS = ("skills", "skillruns", "packagepolicies", "clusterpackagepolicies", "agents")


@pytest.fixture
def name() -> str:
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("plural", KINDS)
def test_the_server_finds_nothing_wrong_with_the_schema(admin: Any, plural: str) -> None:
    body = json.loads(admin.must("get", "crd", f"{plural}.skillwarden.io", "-o", "json", ns=False))
    conditions = {item["type"]: item["status"] for item in body["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no source": ({"source": {}}, "exactly one of files and configMapRef is needed"),
    "two sources": (
        {"source": {"files": [{"path": "a", "content": ""}],
                    "configMapRef": {"name": "a", "sha256": "0" * 64}}},
        "exactly one of files and configMapRef is needed",
    ),
    "a file without content": (
        {"source": {"files": [{"path": "a"}]}}, "exactly one of content and contentBase64 is needed"),
    "one path twice": (
        {"source": {"files": [{"path": "a", "content": ""}, {"path": "a", "content": "x"}]}},
        "Duplicate value"),
    "a Task with replicas": ({"sandbox": {"replicas": 2}}, "replicas is for mode Service"),
    "a newline in a requirement": ({"packages": {"python": ["a\nb"]}}, "spec.packages.python[0]"),
    "a requirement twice": ({"packages": {"python": ["a", "a"]}}, "Duplicate value"),
    "an unknown field": ({"image": "x"}, 'unknown field "spec.image"'),
    "another ecosystem's packages": ({"packages": {"ruby": {}}}, 'unknown field "spec.packages.ruby"'),
    "a text for a number": ({"sandbox": {"timeoutSeconds": "1"}}, "must be of type integer"),
    "a quantity without sense": ({"sandbox": {"resources": {"cpu": "x"}}}, "spec.sandbox.resources.cpu"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_bad_skill_is_refused_with(
    admin: Any, make: Any, name: str, fields: dict[str, Any], said: str
) -> None:
    body = make.skill(name)
    body["spec"] |= fields
    answer = admin("create", "--dry-run=server", "-f", "-", body=body)
    assert not answer.ok
    assert said in answer.err


def test_a_null_spec_is_refused(admin: Any, make: Any, name: str) -> None:
    for kind in ("Skill", "SkillRun", "Agent", "PackagePolicy"):
        answer = admin(
            "create", "--validate=false", "-f", "-", body={**make.skill(name), "kind": kind, "spec": None}
        )
        assert "spec" in answer.err, kind


def test_a_minimal_skill_gets_every_default_and_scales(admin: Any, make: Any, name: str) -> None:
    body = make.skill(name)
    body["spec"]["mode"] = "Service"
    admin.must("create", "-f", "-", body=body)
    spec = json.loads(admin.must("get", "skill", name, "-o", "json"))["spec"]
    assert spec["runtime"] == {"language": "Python"}
    assert spec["sandbox"] == {
        "replicas": 1, "suspend": False, "timeoutSeconds": 300, "network": {},
        "resources": {"cpu": "500m", "memory": "256Mi", "ephemeralStorage": "256Mi"},
    }  # fmt: skip
    admin.must("scale", "skill", name, "--replicas=3")
    assert json.loads(admin.must("get", "skill", name, "-o", "json"))["spec"]["sandbox"]["replicas"] == 3


def test_a_run_cannot_be_changed(admin: Any, name: str) -> None:
    run = {"apiVersion": "skillwarden.io/v1alpha1", "kind": "SkillRun", "metadata": {"name": name}}
    admin.must("create", "-f", "-", body={**run, "spec": {"skillRef": {"name": "a"}, "input": "x" * 131072}})
    for patch in ({"input": "y"}, {"skillRef": {"name": "b"}}, {"timeoutSeconds": 1}):
        answer = admin("patch", "skillrun", name, "--type=merge", "-p", json.dumps({"spec": patch}))
        assert "a run cannot be changed" in answer.err
    answer = admin("patch", "skillrun", name, "--type=merge", "-p", '{"spec":null}')
    assert not answer.ok
    admin.must("label", "skillrun", name, "kept=yes")


def test_a_selector_of_a_cluster_policy_is_checked(admin: Any, name: str) -> None:
    expression = {"key": "team", "operator": "In"}
    body = {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "ClusterPackagePolicy",
        "metadata": {"name": name},
        "spec": {"namespaceSelector": {"matchExpressions": [expression]}},
    }
    answer = admin("create", "--dry-run=server", "-f", "-", body=body, ns=False)
    assert "In and NotIn take one value or more" in answer.err
    expression["values"] = ["web"]  # type: ignore[assignment]
    admin.must("create", "--dry-run=server", "-f", "-", body=body, ns=False)


@pytest.mark.parametrize("field", [
    "skill.spec.sandbox.resources.ephemeralStorage", "skill.status.pendingApprovals", "skillrun.spec.input",
    "packagepolicy.spec.rules.match.scope", "clusterpackagepolicy.spec.namespaceSelector",
    "agent.spec.maturity",
])  # fmt: skip
def test_explain_shows_a_description(admin: Any, field: str) -> None:
    text = admin.must("explain", field, ns=False)
    assert "<empty>" not in text
    assert len(text.split("DESCRIPTION:")[1].strip()) > 20


def test_short_names_and_the_category_are_known(admin: Any) -> None:
    for word in ("skl", "sklrun", "pkgpol", "cpkgpol", "agt", "skillwarden"):
        admin.must("get", word)


def test_the_samples_and_the_baseline_are_taken(admin: Any, make: Any, repo_root: Any, name: str) -> None:
    bodies = [
        body
        for folder in ("samples/skills", "baseline")
        for body in make.read(repo_root / "manifests" / folder)
        if body["kind"] != "Namespace"
    ]
    assert len(bodies) > 20
    for body in bodies:
        body["metadata"]["name"] += f"-{name}"
        body["metadata"].pop("namespace", None)
    admin.must("create", "--dry-run=server", "-f", "-", body=bodies)
