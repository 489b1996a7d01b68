"""A node against the embedded API server, over real HTTPS."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from skillwarden.localcluster.apiserver import ApiServer, make_certificate
from skillwarden.localcluster.node import ApiConnection, LocalImage, Node, NodeConfig, NodeLogs, find_images

# Test folders are no packages: what tests share is found by its folder.
sys.path.insert(0, str(Path(__file__).parent))

from node_processes import Runner, node_process, world_readable_folder
from node_support import FAST, PYTHON, TOKEN, Cluster, StartNode


@pytest.fixture(scope="session")
def images() -> dict[str, LocalImage]:
    return asyncio.run(find_images())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def node_logs() -> NodeLogs:
    return NodeLogs()


@pytest.fixture
async def server(certificate: Any, node_logs: NodeLogs) -> AsyncIterator[ApiServer]:
    server = ApiServer(token=TOKEN, certificate=certificate, log_source=node_logs, bookmark_seconds=1)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def cluster(server: ApiServer, certificate: Any) -> AsyncIterator[Cluster]:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), headers={"Authorization": f"Bearer {TOKEN}"}
    ) as session:
        yield Cluster(session, server.url, TOKEN, certificate.certificate)


@pytest.fixture
def node_config(tmp_path: Path, images: dict[str, LocalImage]) -> NodeConfig:
    return NodeConfig(name="test-node", work_dir=tmp_path / "node", images=images, timings=FAST)


@pytest.fixture
async def start_node(cluster: Cluster, node_logs: NodeLogs, tmp_path: Path) -> AsyncIterator[StartNode]:
    """Start nodes in this process; each must leave no mount and no cgroup."""
    nodes: list[Node] = []

    async def start(config: NodeConfig) -> Node:
        api = ApiConnection(url=cluster.url, token=cluster.token, ca_file=cluster.ca_file)
        node = Node(config, api, logs=node_logs)
        await node.start()
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        await node.stop()
    assert not [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(tmp_path) in line
    ]


@pytest.fixture
async def node(start_node: StartNode, node_config: NodeConfig) -> Node:
    """A node of whoever runs the tests, which really runs Pods."""
    node = await start_node(node_config)
    if node.simulated:
        pytest.skip(f"no sandbox can be made on this machine: {node.simulated}")
    return node


@pytest.fixture
async def runner(
    request: pytest.FixtureRequest, cluster: Cluster, images: dict[str, LocalImage], node_logs: NodeLogs
) -> AsyncIterator[Runner]:
    """A node run by root, then by an ordinary user, in processes of their own where needed.

    Tests take it through the marks in `by_root_and_by_user`.
    """
    who, changes = request.param
    with world_readable_folder() as folder:
        config = {
            "name": "test-node",
            "work_dir": str(folder / "work"),
            "image": PYTHON,
            "pids": 64,
            "cgroup_parent": folder.name,
            "timings": asdict(FAST),
            "url": cluster.url,
            "token": TOKEN,
            "ca_file": str(folder / "ca.pem"),
            **changes,
        }
        shutil.copyfile(cluster.ca_file, folder / "ca.pem")
        (folder / "ca.pem").chmod(0o644)
        async with node_process(who, config, folder) as process:
            yield Runner(who, cluster, folder / "work")
        assert process.returncode == 0, "the node did not stop cleanly"
        assert not [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line
        ]
        assert not list(Path("/sys/fs/cgroup").glob(f"*/{folder.name}"))
