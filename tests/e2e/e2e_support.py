"""A cluster as its users see it: through kubectl, as one user or another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Body = dict[str, Any]
API = "skillwarden.io/v1alpha1"
SYSTEM = "skillwarden-system"
#: Long enough for an image pull and a package index.
DEADLINE = 150.0
RESOURCES = {"cpu": "200m", "memory": "128Mi", "ephemeralStorage": "64Mi"}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Target:
    """A cluster with Skillwarden in it.

    Attributes
    ----------
    kubeconfig
        Of somebody who may do everything.
    embedded
        Whether it is the embedded cluster, which has no admission policies, no network and no release.
    environment
        What our commands need besides.
    values
        Those of the release; ``None`` where there is none.
    """

    kubeconfig: Path
    embedded: bool
    environment: dict[str, str]
    values: Path | None = None

    def kubectl(self, *arguments: str, given: Body | list[Body] | None = None, user: str = "") -> Done:
        """Run kubectl, as a user of that name where one is given."""
        binary = Path(sys.executable).parent / "kubectl"
        text = None
        if given is not None:
            # JSON, for kubectl sends what is --raw as it is; it is YAML, too.
            text = "\n---\n".join(map(json.dumps, given if isinstance(given, list) else [given]))
        # First, for what follows a -- is the command's that is executed.
        command = [str(binary), *([f"--as={user}"] if user else []), *arguments]
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            env={**os.environ, **self.environment, "KUBECONFIG": str(self.kubeconfig)},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str, given: Body | list[Body] | None = None, user: str = "") -> str:
        """Run kubectl, which succeeds; return what it printed."""
        done = self.kubectl(*arguments, given=given, user=user)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.out}{done.err}"
        return done.out

    def apply(self, *bodies: Body, user: str = "") -> None:
        self.must("apply", "--server-side", "-f", "-", given=list(bodies), user=user)

    def get(self, kind: str, name: str, namespace: str) -> Body:
        done = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        assert done.code == 0, done.err
        found: Body = json.loads(done.out or "{}")
        return found

    def items(self, kind: str, namespace: str, *arguments: str) -> list[Body]:
        found = json.loads(self.must("get", kind, "-n", namespace, "-o", "json", *arguments))
        return list(found["items"])

    def until(self, look: Callable[[], Any], ready: Callable[[Any], bool], what: str) -> Any:
        """Wait until what is seen is as wanted; fail with what was seen last."""
        deadline = time.monotonic() + DEADLINE
        while True:
            seen = look()
            if ready(seen):
                return seen
            late = time.monotonic() >= deadline
            assert not late, f"{what} did not come true: {json.dumps(seen, default=str)[:4000]}"
            time.sleep(0.5)

    def until_skill(self, name: str, namespace: str, reason: str) -> Body:
        """Wait for the reason of a Skill's Ready; return its status."""
        body = self.until(
            lambda: self.get("skill", name, namespace),
            lambda seen: ready_reason(seen) == reason,
            f"skill {namespace}/{name} {reason}",
        )
        return dict(body["status"])

    def until_run(self, name: str, namespace: str, phase: str) -> Body:
        body = self.until(
            lambda: self.get("skillrun", name, namespace),
            lambda seen: (seen.get("status") or {}).get("phase") == phase,
            f"run {namespace}/{name} {phase}",
        )
        return dict(body["status"])

    def pods(self, namespace: str) -> list[Body]:
        return self.items("pods", namespace, "-l", "skillwarden.io/component=sandbox")


def pod_ready(pod: Body) -> bool:
    """Whether a Pod's condition Ready is True."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def ready_reason(skill: Body) -> str:
    """Return the reason of the condition Ready."""
    conditions: Iterable[Body] = (skill.get("status") or {}).get("conditions") or ()
    return next((str(item["reason"]) for item in conditions if item["type"] == "Ready"), "")


def make_namespace(name: str) -> Body:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def make_agent(namespace: str, name: str = "helper", maturity: str = "Supervised") -> Body:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "Agent", "metadata": meta, "spec": {"maturity": maturity}}


def make_policy(namespace: str, name: str = "rules", **spec: Any) -> Body:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "PackagePolicy", "metadata": meta, "spec": {"rules": [], **spec}}


def make_skill(namespace: str, name: str, code: str, **spec: Any) -> Body:
    """A Python skill of one file, without packages."""
    sandbox = {"resources": RESOURCES, **spec.pop("sandbox", {})}
    given = {
        "agentRef": {"name": "helper"},
        "source": {"files": [{"path": "main.py", "content": code}]},
        "entrypoint": {"command": ["python", "main.py"]},
        "sandbox": sandbox,
        **spec,
    }
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "Skill", "metadata": meta, "spec": given}


def make_run(namespace: str, name: str, skill: str, **spec: Any) -> Body:
    meta = {"name": name, "namespace": namespace}
    given = {"skillRef": {"name": skill}, **spec}
    return {"apiVersion": API, "kind": "SkillRun", "metadata": meta, "spec": given}
