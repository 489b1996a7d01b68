"""What a sandbox reaches: the depot, from its init containers, by policy; nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from node_processes import world_readable_folder
from node_support import Cluster, StartNode, make_container, make_pod, state_of, until

from skillwarden.localcluster.node import DepotEndpoint, Node, NodeConfig

PORT = 18_765
FETCH = (
    "import urllib.request\n"
    f"try: print(urllib.request.urlopen('http://127.0.0.1:{PORT}/artefact', timeout=5).read().decode())\n"
    "except OSError as error: print('unreachable:', error)"
)


def make_policy(*egress: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "sandbox", "namespace": "default"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "sandbox"}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": list(egress),
        },
    }


TO_DEPOT = {
    "to": [
        {
            "podSelector": {"matchLabels": {"app": "depot"}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "skillwarden-system"}},
        }
    ],
    "ports": [{"protocol": "TCP", "port": PORT}],
}


@pytest.fixture
async def depot() -> AsyncIterator[Path]:
    """An HTTP server on a unix socket, and what it was asked."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"bytes of the artefact" + b"." * 100_000)

    with world_readable_folder() as folder:
        app = web.Application()
        app.router.add_get("/artefact", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(folder / "depot.sock")).start()
        (folder / "depot.sock").chmod(0o666)
        yield folder / "depot.sock"
        await runner.cleanup()


@pytest.fixture
async def node(start_node: StartNode, node_config: NodeConfig, depot: Path) -> Node:
    endpoint = DepotEndpoint(
        labels={"app": "depot"}, port=PORT, socket_path=depot, namespace="skillwarden-system"
    )
    node = await start_node(replace(node_config, depot=endpoint))
    if node.simulated:
        pytest.skip(f"no sandbox can be made on this machine: {node.simulated}")
    return node


async def test_an_init_container_reaches_the_depot_and_the_skill_does_not(
    node: Node, cluster: Cluster
) -> None:
    await cluster.create(make_policy(TO_DEPOT))
    init = make_container(FETCH + "\nprint(open('/proc/net/dev').read().count(':'))", name="prepare")

    await cluster.run(make_pod(make_container(FETCH), initContainers=[init]))

    fetched = await cluster.log(container="prepare")
    assert fetched.startswith("bytes of the artefact.") and len(fetched) > 100_000
    assert (await cluster.log(container="main")).startswith("unreachable:")


async def test_without_an_opening_the_depot_is_out_of_reach(node: Node, cluster: Cluster) -> None:
    await cluster.create(make_policy())

    await cluster.run(make_pod(initContainers=[make_container(FETCH, name="prepare")]))

    assert (await cluster.log(container="prepare")).startswith("unreachable:")


async def test_the_exit_code_passes_through_the_relay(node: Node, cluster: Cluster) -> None:
    await cluster.create(make_policy(TO_DEPOT))

    pod = await cluster.run(make_pod(initContainers=[make_container("raise SystemExit(9)", name="prepare")]))

    assert state_of(pod, "prepare")["terminated"]["exitCode"] == 9


async def test_a_depot_that_is_not_up_yet_is_waited_for(node: Node, cluster: Cluster, depot: Path) -> None:
    hidden = depot.with_name("hidden")
    depot.rename(hidden)
    await cluster.create(make_policy(TO_DEPOT))
    await cluster.create(make_pod(initContainers=[make_container(FETCH, name="prepare")]))
    pod = await cluster.wait(lambda pod: "CreateContainerError" in str(state_of(pod, "prepare")))
    assert "depot's socket" in state_of(pod, "prepare")["waiting"]["message"]

    hidden.rename(depot)

    await cluster.wait(lambda pod: pod["status"]["phase"] == "Succeeded")
    assert (await cluster.log(container="prepare")).startswith("bytes")


async def test_a_socket_that_the_sandbox_could_not_open_is_named(
    node: Node, cluster: Cluster, depot: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a node run by a user connects as the socket's owner")
    depot.chmod(0o600)
    await cluster.create(make_policy(TO_DEPOT))
    await cluster.create(make_pod(initContainers=[make_container(FETCH, name="prepare")]))

    pod = await cluster.wait(lambda pod: "CreateContainerError" in str(state_of(pod, "prepare")))

    assert "every user may write" in state_of(pod, "prepare")["waiting"]["message"]


async def test_other_egress_is_refused_until_the_policy_no_longer_gives_it(
    node: Node, cluster: Cluster
) -> None:
    policy = make_policy({"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]})
    await cluster.create(policy)
    await cluster.create(make_pod())

    pod = await cluster.wait(lambda pod: "EgressUnsupported" in str(state_of(pod)))

    assert pod["status"]["phase"] == "Pending"
    (event,) = await cluster.events(reason="EgressUnsupported")
    assert event["type"] == "Warning" and "192.0.2.0/24" in event["message"]

    path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/sandbox"
    await cluster.call("PATCH", path, {"spec": {"egress": []}})
    await cluster.wait(lambda pod: pod["status"]["phase"] == "Succeeded")


async def test_a_pod_that_no_policy_selects_has_no_network_and_an_event_says_so(
    node: Node, cluster: Cluster
) -> None:
    await cluster.run(make_pod(initContainers=[make_container(FETCH, name="prepare")]))

    assert (await cluster.log(container="prepare")).startswith("unreachable:")
    (event,) = await cluster.events(reason="NetworkAbsent")
    assert event["type"] == "Normal"


async def test_an_event_says_that_probes_are_not_run(node: Node, cluster: Cluster) -> None:
    probe = {"exec": {"command": ["false"]}}
    await cluster.run(make_pod(make_container(livenessProbe=probe)))

    async def said() -> bool:
        return bool(await cluster.events(reason="ProbesNotRun"))

    await until(said, lambda: "no Event")


async def test_many_connections_at_once_go_through_the_relay(node: Node, cluster: Cluster) -> None:
    await cluster.create(make_policy(TO_DEPOT))
    code = (
        "from concurrent.futures import ThreadPoolExecutor\nimport urllib.request\n"
        f"def get(_): return len(urllib.request.urlopen('http://127.0.0.1:{PORT}/artefact').read())\n"
        "with ThreadPoolExecutor(16) as pool: print(set(pool.map(get, range(64))))"
    )

    await cluster.run(make_pod(initContainers=[make_container(code, name="prepare")]))

    assert await cluster.log(container="prepare") == "{100021}\n"
