"""What a node does to a sandbox: a drain, a disk that a skill fills, a restart."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from e2e_support import Body, Target, make_run, make_skill, pod_ready

STANDS = "import signal\nsignal.sigwait([signal.SIGTERM])\n"
FILLS = """
import time
try:
    with open("/tmp/full", "wb") as file:
        for _ in range(512):
            file.write(bytes(2**20))
            file.flush()
except OSError as error:
    raise SystemExit(f"no more: {error}")
time.sleep(120)
"""


def test_a_service_that_is_drained_comes_back(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    [before] = target.pods(namespace)
    name, old = before["metadata"]["name"], before["metadata"]["uid"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    target.must("create", "--raw", path, "-f", "-", given=eviction)
    target.until(
        lambda: [pod["metadata"]["uid"] for pod in target.pods(namespace) if pod_ready(pod)],
        lambda uids: len(uids) == 1 and old not in uids,
        "another Pod is ready",
    )
    target.until_skill("stands", namespace, "Ready")


def test_a_run_that_fills_its_disk_is_ended_and_says_so(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "hoards", FILLS))
    target.until_skill("hoards", namespace, "Ready")
    target.apply(make_run(namespace, "hoards-1", "hoards"))
    status = target.until_run("hoards-1", namespace, "Failed")
    # Where the volume itself ends the skill learns of it; a kubelet measures, and evicts.
    assert "no more" in status.get("logTail", "") or "vict" in json.dumps(status["conditions"])


@pytest.mark.real("the embedded cluster's node is a process of this machine")
def test_a_service_stands_again_after_its_node_was_restarted(target: Target, namespace: str) -> None:
    target.apply(make_skill(namespace, "stands", STANDS, mode="Service"))
    target.until_skill("stands", namespace, "Ready")
    [before] = target.pods(namespace)
    restart(before["spec"]["nodeName"])
    target.until(
        lambda: target.kubectl("get", "--raw", "/readyz").out, lambda said: said == "ok", "the API server"
    )
    target.until(
        lambda: [pod for pod in target.pods(namespace) if pod_ready(pod) and starts(pod) > starts(before)],
        lambda pods: len(pods) == 1,
        "its Pod runs again",
    )
    target.until_skill("stands", namespace, "Ready")


def restart(node: str) -> None:
    """Restart a node of kind, which is a container; other nodes are their owners'."""
    docker = shutil.which("docker")
    if docker is None or not is_container(docker, node):
        pytest.skip(f"the node {node} is no container of this machine: nobody here may restart it")
    subprocess.run([docker, "restart", node], check=True, capture_output=True)


def is_container(docker: str, name: str) -> bool:
    return subprocess.run([docker, "inspect", name], capture_output=True, check=False).returncode == 0


def starts(pod: Body) -> tuple[str, int]:
    """Return what is another after a restart: the container's start, and how many there were."""
    [container] = pod["status"]["containerStatuses"]
    running = container["state"].get("running") or {}
    return str(running.get("startedAt", "")), int(container["restartCount"])
