"""The release: the operator restarted, upgraded and removed, and what runs meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from e2e_support import SYSTEM, Target, make_skill
from helm_python import Config

pytestmark = pytest.mark.real("the embedded cluster runs no release")
STANDS = "import signal\nsignal.sigwait([signal.SIGTERM])\n"
OPERATOR = "deployment/skillwarden-operator"


@pytest.fixture
def running(target: Target, namespace: str) -> dict[str, Any]:
    """A skill's Pod that runs."""
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    [pod] = target.pods(namespace)
    return pod


def same(target: Target, namespace: str, pod: dict[str, Any]) -> bool:
    return [item["metadata"]["uid"] for item in target.pods(namespace)] == [pod["metadata"]["uid"]]


def rolled_out(target: Target) -> None:
    target.must("rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=150s")


def test_the_leader_is_deleted_and_another_goes_on(
    target: Target, namespace: str, running: dict[str, Any]
) -> None:
    lease = json.loads(target.must("get", "lease", "skillwarden-operator", "-n", SYSTEM, "-o", "json"))
    leader = lease["spec"]["holderIdentity"].partition("_")[0]
    target.must("delete", "pod", leader, "-n", SYSTEM, "--grace-period=0", "--force")
    target.apply(make_skill(namespace, "later", "print('hello')\n"))
    target.until_skill("later", namespace, "Ready")
    assert same(target, namespace, running)
    rolled_out(target)


def test_an_upgrade_leaves_what_runs_alone(target: Target, namespace: str, running: dict[str, Any]) -> None:
    assert target.values is not None
    values = yaml.safe_load(target.values.read_text())
    values["operator"]["logLevel"] = "debug"
    helm = Config(kubeconfig_path=str(target.kubeconfig), namespace=SYSTEM)
    helm.upgrade("charts/skillwarden", "skillwarden", values, namespace=SYSTEM)
    rolled_out(target)
    target.apply(make_skill(namespace, "later", "print('hello')\n"))
    target.until_skill("later", namespace, "Ready")
    assert same(target, namespace, running)


def test_zz_an_uninstall_leaves_nothing_hanging(
    target: Target, namespace: str, running: dict[str, Any]
) -> None:
    helm = Config(kubeconfig_path=str(target.kubeconfig), namespace=SYSTEM)
    helm.uninstall("skillwarden")
    target.until(lambda: target.items("deployments", SYSTEM), lambda found: found == [], "nothing is left")
    # A canary that was on its way when the operator's rights were taken goes with the operator's Pod.
    target.until(lambda: target.items("pods", SYSTEM), lambda found: found == [], "no Pod is left")
    assert same(target, namespace, running), "what runs goes on"
    # Without an operator: no finalizer holds it, and its children go by their owner.
    target.must("delete", "skill", "stands", "-n", namespace, "--timeout=60s")
    target.until(lambda: target.pods(namespace), lambda pods: pods == [], "its Pod is gone")
