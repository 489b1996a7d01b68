"""Admission policies are proven by a real API server only: --kubeconfig names one.

The policies are installed under names of this run, and only requests for its own namespaces are looked at: a
cluster that others use at the same time stays as it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "services"))

OPERATOR = "system:serviceaccount:skillwarden-system:skillwarden-operator"
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Real kubectl, as a person of one's choice."""

    kubeconfig: str
    namespace: str
    user: str | None = None

    def act_as(self, user: str) -> Kubectl:
        return Kubectl(self.kubeconfig, self.namespace, user)

    def __call__(self, *arguments: str, body: Body | list[Body] | None = None, ns: bool = True) -> Answer:
        binary = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        assert binary, "kubectl is on no PATH"
        who = ["--as", self.user] if self.user else []
        where = ["-n", self.namespace] if ns else []
        bodies = body if isinstance(body, list) else [body]
        text = None if body is None else "\n---\n".join(json.dumps(item) for item in bodies)
        done = subprocess.run(
            [binary, "--kubeconfig", self.kubeconfig, *who, *where, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str, body: Body | list[Body] | None = None, ns: bool = True) -> str:
        answer = self(*arguments, body=body, ns=ns)
        assert answer.ok, answer.err
        return answer.out


def wait_until(met: Callable[[], bool], what: str, *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"{what} did not come about within {seconds} s"
        time.sleep(0.2)


def read_manifests(folder: Path) -> list[Body]:
    return [body for path in sorted(folder.glob("*.yaml")) for body in yaml.safe_load_all(path.read_text())]


def for_this_run(body: Body, run: str, namespace: str) -> Body:
    """Rename a cluster-wide object, and let a policy look at one namespace only."""
    renamed = json.loads(json.dumps(body))
    renamed["metadata"]["name"] += f"-{run}"
    match renamed["kind"]:
        case "ValidatingAdmissionPolicy":
            condition = {"name": "this-run", "expression": f"request.namespace == '{namespace}'"}
            renamed["spec"]["matchConditions"] = [condition]
        case "ValidatingAdmissionPolicyBinding":
            renamed["spec"]["policyName"] += f"-{run}"
        case "ClusterRoleBinding":
            renamed["roleRef"]["name"] += f"-{run}"
    return renamed


@pytest.fixture(scope="session")
def admin(repo_root: Path, pytestconfig: pytest.Config) -> Iterator[Kubectl]:
    """Kubectl as cluster-admin in a namespace where the CRDs, roles and policies are in force."""
    kubeconfig = pytestconfig.getoption("--kubeconfig")
    if not kubeconfig:
        pytest.skip("--kubeconfig names no real API server, and the embedded one runs no admission policies")
    run = uuid.uuid4().hex[:8]
    kubectl = Kubectl(kubeconfig, f"swtest-{run}")
    kubectl.must("apply", "--server-side", "--force-conflicts", "-f", str(repo_root / "crds"), ns=False)
    kubectl.must(
        "wait", "--for=condition=Established", "--timeout=30s", "-f", str(repo_root / "crds"), ns=False
    )
    bodies = [
        for_this_run(body, run, kubectl.namespace)
        for folder in ("rbac", "admission")
        for body in read_manifests(repo_root / "manifests" / folder)
        if body["kind"] not in {"Namespace", "ServiceAccount"}
    ]
    kubectl.must("create", "namespace", kubectl.namespace, ns=False)
    # Of the operator's own Roles; on a cluster that has Skillwarden it is there.
    kubectl("create", "namespace", "skillwarden-system", ns=False)
    try:
        kubectl.must("apply", "-f", "-", body=bodies, ns=False)
        wait_until(lambda: _in_force(kubectl), "the admission policies")
        yield kubectl
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", body=bodies, ns=False)
        kubectl("delete", "namespace", kubectl.namespace, "--wait=false", ns=False)


def _in_force(kubectl: Kubectl) -> bool:
    """Whether each policy refuses what it is there to refuse; the API server takes a moment to load them."""
    probe = make_skill("probe", agent="skillwarden-guard-probe")
    marked = make_pod("probe", labels={"skillwarden.io/component": "sandbox"})
    owned = {"metadata": {"name": "probe", "labels": {"app.kubernetes.io/managed-by": "skillwarden"}}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", **owned}
    return not any(
        kubectl("create", "--dry-run=server", "-f", "-", body=body).ok for body in (probe, marked, account)
    )


@pytest.fixture
def operator(admin: Kubectl) -> Kubectl:
    return admin.act_as(OPERATOR)


def make_skill(name: str, *, agent: str | None = None, command: str = "main.py") -> Body:
    spec: Body = {
        "source": {"files": [{"path": "main.py", "content": "print(1)"}]},
        "entrypoint": {"command": ["python", command]},
    }
    if agent:
        spec["agentRef"] = {"name": agent}
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "Skill",
        "metadata": {"name": name},
        "spec": spec,
    }


def make_pod(name: str, **metadata: Any) -> Body:
    """A Pod that no node takes: admission is what is tested."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {
            "nodeSelector": {"example.org/nowhere": "true"},
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "skill", "image": "example.org/none:1"}],
        },
    }


def make_role(name: str, user: str, rules: list[Body]) -> list[Body]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    version = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    return [
        {**version, "kind": "Role", "rules": rules},
        {**version, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


@pytest.fixture
def make() -> Any:
    """The builders, for tests: a conftest cannot be imported under importmode=importlib."""

    class Builders:
        skill = staticmethod(make_skill)
        pod = staticmethod(make_pod)
        role = staticmethod(make_role)
        wait = staticmethod(wait_until)
        read = staticmethod(read_manifests)

    return Builders
