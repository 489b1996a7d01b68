"""Runs the embedded cluster with a depot and an operator, as `skillwarden local serve`."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.crdgen import crd
from ..api.v1alpha1.kinds import KINDS
from ..domain.naming import COMPONENT_DEPOT, LABEL_COMPONENT
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from ..localcluster.cluster import LocalCluster
from ..localcluster.node.config import DepotEndpoint
from ..localcluster.node.runtimes import (
    OPERATOR_IMAGE,
    NodeRuntime,
    PythonRuntime,
    find_node,
    find_pythons,
    mixed_image_name,
    node_image_name,
    python_image_name,
    running_python,
)

if TYPE_CHECKING:
    from .local import Folder

#: The port that stands for the depot inside of a sandbox; nothing listens on it outside.
SANDBOX_PORT = 8480
DEPOT_NAMESPACE = "skillwarden-system"


def serve_until_stopped(place: Folder) -> None:
    """Start everything, say that it is ready, and stop everything on SIGTERM or SIGINT."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    socket, key = place.socket, place.key
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    endpoint = DepotEndpoint(
        labels={LABEL_COMPONENT: COMPONENT_DEPOT},
        port=SANDBOX_PORT,
        socket_path=socket,
        namespace=DEPOT_NAMESPACE,
    )
    with LocalCluster(place.root / "cluster", depot=endpoint) as cluster:
        asyncio.run(install(cluster.kubeconfig))
        depot = _start(
            [
                "depot",
                "serve",
                "--state",
                str(place.root / "depot"),
                "--unix",
                str(socket),
                "--key-file",
                str(key),
            ]
        )
        operator = _start(["operator", "run"], operator_env(place))
        try:
            if not asyncio.run(_operator_watches(cluster, operator, depot, stopped=stopped)):
                return
            place.ready_file.write_text(json.dumps(_facts(cluster)))
            while not stopped.wait(0.5):
                for name, process in (("depot", depot), ("operator", operator)):
                    if process.poll() is not None:
                        raise SystemExit(f"the {name} ended with {process.returncode}")
        finally:
            place.ready_file.unlink(missing_ok=True)
            for process in (operator, depot):
                _stop(process)


def operator_env(place: Folder) -> dict[str, str]:
    """Return the operator's settings for this machine."""
    pythons, node = asyncio.run(_interpreters())
    runtimes = {item.version: python_image_name(item.version) for item in pythons}
    nodes = {node.version: node_image_name(node.version)} if node else {}
    mixed = {
        f"python{python}-node{version}": mixed_image_name(python, version)
        for python in runtimes
        for version in nodes
    }
    return {
        "SKILLWARDEN_KUBECONFIG": str(place.kubeconfig),
        "SKILLWARDEN_RUNTIMES": json.dumps(runtimes),
        "SKILLWARDEN_DEFAULT_PYTHON": running_python().version,
        "SKILLWARDEN_NODE_RUNTIMES": json.dumps(nodes),
        "SKILLWARDEN_DEFAULT_NODE": node.version if node else "",
        "SKILLWARDEN_MIXED_RUNTIMES": json.dumps(mixed),
        "SKILLWARDEN_OPERATOR_IMAGE": OPERATOR_IMAGE,
        "SKILLWARDEN_LIBC": libc(),
        # The one user of this machine's kubeconfig may do anything there; and the node isolates by itself.
        "SKILLWARDEN_TRUST_AGENT_REFS": "true",
        "SKILLWARDEN_TRUST_APPROVALS": "true",
        "SKILLWARDEN_NETWORK_ENFORCED": "true",
        "SKILLWARDEN_DEPOT__UNIX_SOCKET": str(place.socket),
        "SKILLWARDEN_DEPOT__KEY_FILE": str(place.key),
        "SKILLWARDEN_DEPOT__SANDBOX_HOST": "127.0.0.1",
        "SKILLWARDEN_DEPOT__SANDBOX_PORT": str(SANDBOX_PORT),
        "SKILLWARDEN_DEPOT__NAMESPACE": DEPOT_NAMESPACE,
        "SKILLWARDEN_STATE_DIR": str(place.root),
        "SKILLWARDEN_ADVISORIES_DIR": str(place.advisories),
        "SKILLWARDEN_METRICS_ADDRESS": "127.0.0.1:0",
        "SKILLWARDEN_AUDIT_STDOUT": "false",
        "SKILLWARDEN_AUDIT_FILE": str(place.root / "audit.jsonl"),
    }


async def _interpreters() -> tuple[list[PythonRuntime], NodeRuntime | None]:
    return await find_pythons(), await find_node()


def libc() -> str:
    """Return the newest C library that artefacts may ask for here and that wheels are commonly built for."""
    name, version = platform.libc_ver()
    if name == "glibc" and tuple(int(part) for part in version.split(".")) >= (2, 28):
        return "glibc-2.28"
    return "glibc-2.17"


async def install(kubeconfig: Path) -> None:
    """Install the CRDs and the depot's namespace."""
    gateway = await Gateway.connect(kubeconfig=kubeconfig, user_agent="skillwarden-local")
    try:
        for kind in KINDS:
            await gateway.apply(Kind.CUSTOM_RESOURCE_DEFINITION, crd(kind))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DEPOT_NAMESPACE}}
        await gateway.apply(Kind.NAMESPACE, namespace)
    finally:
        await gateway.close()


def _start(arguments: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    # A sandbox prepares itself with this very code: it must be found by whatever runs there.
    return subprocess.Popen(
        [sys.executable, "-m", "skillwarden", *arguments],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _operator_watches(
    cluster: LocalCluster, *processes: subprocess.Popen[bytes], stopped: threading.Event
) -> bool:
    """Wait until the operator has listed the world: it has a watch open on Skills; False: told to stop."""
    while not stopped.is_set():
        ended = [process.returncode for process in processes if process.poll() is not None]
        if ended:
            raise SystemExit(f"the operator or the depot ended with {ended[0]}")
        if any("/skills" in item.path and "watch=" in item.query for item in list(cluster.server.requests)):
            return True
        await asyncio.sleep(0.1)
    return False


def _facts(cluster: LocalCluster) -> dict[str, Any]:
    node = cluster.node
    return {
        "kubeconfig": str(cluster.kubeconfig),
        "server": cluster.server.url,
        "simulated": node.simulated if node else "the node does not run",
    }
