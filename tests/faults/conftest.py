"""One world a module; a namespace, agents and a policy a test; and what answers in the API server's stead."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent.parent / "operator"))
sys.path.insert(0, str(Path(__file__).parent))

from faults_support import Answer, OperatorProcess, watch_ends
from operator_world import Client, World, equipped

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything but the operator, which a test starts itself."""
    world = World(tmp_path_factory.mktemp("world"))
    world.start()
    world.advisories()
    world.index.wheel("greeter")
    yield world
    world.stop()


@pytest.fixture(scope="module")
def world(bare_world: World) -> World:
    """Everything, with the operator running in a thread of this process."""
    bare_world.run(bare_world.start_operator())
    return bare_world


@pytest.fixture(scope="module")
def process(bare_world: World) -> Iterator[OperatorProcess]:
    """The operator as a process of its own, to kill and to start again."""
    process = OperatorProcess(bare_world)
    yield process
    process.kill()


@pytest.fixture
async def user(bare_world: World) -> AsyncIterator[Client]:
    """A user whose namespace has an agent and a policy that allows every package."""
    gateway = await Gateway.connect(kubeconfig=bare_world.cluster.kubeconfig, user_agent="user")
    namespace = f"team-{next(_NUMBERS)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await gateway.create(Kind.NAMESPACE, body)
    client = Client(gateway, namespace)
    await equipped(client, bare_world, "Autonomous")
    yield client
    await gateway.delete(Kind.NAMESPACE, name=namespace)
    await gateway.close()


@pytest.fixture
async def intercept(bare_world: World) -> AsyncIterator[Callable[[Answer], None]]:
    """Install what answers in the API server's stead, until the test is over."""

    def install(answer: Answer) -> None:
        bare_world.cluster.server.interceptor = answer

    yield install
    bare_world.cluster.server.interceptor = None
    await asyncio.sleep(0)
    await watch_ends(bare_world)
