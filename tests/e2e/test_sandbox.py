"""Sandboxes: what they can do, what ends them, and what comes back."""

from __future__ import annotations

import json

import pytest
from e2e_support import API, SYSTEM, Target, make_run, make_skill, pod_ready

STANDS = "import signal\nsignal.sigwait([signal.SIGTERM])\n"
REACH = """\
import socket
import sys

try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).close()
except OSError as error:
    print("blocked:", type(error).__name__)
else:
    print("reached")
"""


def test_a_run_reads_its_input_and_gives_its_output(target: Target, namespace: str) -> None:
    code = (
        "import json\n"
        "given = json.load(open('/skill/input.json'))\n"
        "json.dump({'twice': 2 * given['n']}, open('/skill/output.json', 'w'))\n"
    )
    target.apply(make_skill(namespace, "twice", code))
    target.until_skill("twice", namespace, "Ready")
    target.apply(make_run(namespace, "twice-1", "twice", input='{"n": 21}'))
    status = target.until_run("twice-1", namespace, "Succeeded")
    assert json.loads(status["output"]) == {"twice": 42}


def test_a_run_that_takes_too_much_memory_is_ended_and_says_so(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "greedy", "blocks = [bytearray(2**24) for _ in range(64)]\n"))
    target.until_skill("greedy", namespace, "Ready")
    target.apply(make_run(namespace, "greedy-1", "greedy"))
    status = target.until_run("greedy-1", namespace, "Failed")
    assert status["exitCode"] != 0
    if not target.embedded:
        assert "OutOfMemory" in json.dumps(status)


def test_a_service_comes_back_after_its_pod_is_deleted(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    [before] = target.pods(namespace)
    target.must("delete", "pod", before["metadata"]["name"], "-n", namespace, "--wait=false")

    def another() -> list[str]:
        return [pod["metadata"]["uid"] for pod in target.pods(namespace) if pod_ready(pod)]

    old = before["metadata"]["uid"]
    target.until(another, lambda uids: len(uids) == 1 and old not in uids, "another Pod is ready")
    target.until_skill("stands", namespace, "Ready")


def test_a_skill_that_is_denied_later_loses_its_pod(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    # Its code is another's now: it decodes something and runs it.
    worse = "import base64\nexec(base64.b64decode(input()))\n"
    target.apply(make_skill(namespace, "stands", worse, mode="Service"))
    target.until_skill("stands", namespace, "Denied")
    target.until(lambda: target.pods(namespace), lambda pods: pods == [], "its Pod is gone")


def test_scale_and_suspend(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    target.must("scale", "skill/stands", "--replicas=2", "-n", namespace)
    target.until(lambda: target.pods(namespace), lambda pods: len(pods) == 2, "two Pods")
    patch = '{"spec":{"sandbox":{"suspend":true}}}'
    target.must("patch", "skill", "stands", "-n", namespace, "--type=merge", "-p", patch)
    target.until(lambda: target.pods(namespace), lambda pods: pods == [], "no Pod")


def test_a_deleted_skill_leaves_nothing(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    target.must("delete", "skill", "stands", "-n", namespace)

    def left() -> list[str]:
        kinds = "pods,networkpolicies,serviceaccounts"
        names = [item["metadata"]["name"] for item in target.items(kinds, namespace)]
        return [name for name in names if name != "default"]

    target.until(left, lambda names: names == [], "its children are gone")


def test_another_manager_cannot_take_a_status(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "twice", "print('hello')\n"))
    target.until_skill("twice", namespace, "Ready")
    meta = {"name": "twice", "namespace": namespace}
    body = {"apiVersion": API, "kind": "Skill", "metadata": meta, "status": {"verdict": "Denied"}}
    done = target.kubectl(
        "apply", "--server-side", "--subresource=status", "--field-manager=another", "-f", "-", given=body
    )
    assert done.code != 0
    assert "conflict" in done.err.lower() or "denied" in done.err.lower() or "forbidden" in done.err.lower()
    assert target.get("skill", "twice", namespace)["status"]["verdict"] == "Allowed"


@pytest.mark.real("the embedded cluster gives a sandbox no network at all")
@pytest.mark.parametrize("place", ["the API server", "another Pod"])
def test_a_sandbox_reaches_nothing(place: str, target: Target, namespace: str) -> None:
    if place == "the API server":
        address, port = target.get("service", "kubernetes", "default")["spec"]["clusterIP"], "443"
    else:
        # Its metrics may be read by anybody: what keeps a sandbox from it is the sandbox's own policy.
        operators = target.items("pods", SYSTEM, "-l", "app.kubernetes.io/name=skillwarden-operator")
        address, port = operators[0]["status"]["podIP"], "8481"
    entrypoint = {"command": ["python", "main.py", address, port]}
    target.apply(make_skill(namespace, "reach", REACH, entrypoint=entrypoint))
    target.until_skill("reach", namespace, "Ready")
    target.apply(make_run(namespace, "reach-1", "reach"))
    status = target.until_run("reach-1", namespace, "Succeeded")
    if "reached" in status["logTail"] and not _enforced(target):
        pytest.skip("the cluster's network plugin enforces no NetworkPolicies: nothing is isolated here")
    assert "blocked" in status["logTail"]


def _enforced(target: Target) -> bool:
    """Whether a plugin that is known to enforce NetworkPolicies runs on the nodes."""
    names = [pod["metadata"]["name"] for pod in target.items("pods", "kube-system")]
    return any(name.startswith(("kindnet", "calico", "cilium", "antrea", "kube-router")) for name in names)
