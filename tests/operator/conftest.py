"""One world a module; a namespace, agents and a policy a test."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "resolve"))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apiserver"))

from apiserver_support import SPACE
from operator_real import RealCluster
from operator_world import Client, World, equipped
from real_server import Access, hired

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.localcluster.cluster import LocalCluster

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def real(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access | None]:
    """The real API server of --kubeconfig, if there is one."""
    yield from hired(pytestconfig, tmp_path_factory)


@pytest.fixture(scope="module")
def bare_world(real: Access | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything but the operator, which a test starts itself."""
    cluster = partial(RealCluster, real=real) if real is not None else LocalCluster
    world = World(tmp_path_factory.mktemp("world"), cluster=cluster)
    world.start()
    world.advisories()
    yield world
    world.stop()


@pytest.fixture(scope="module")
def world(bare_world: World) -> World:
    """Everything, with the operator running."""
    bare_world.run(bare_world.start_operator())
    return bare_world


@pytest.fixture
async def stranger(bare_world: World) -> AsyncIterator[Client]:
    """A user in a namespace of its own, with nothing in it."""
    gateway = await Gateway.connect(kubeconfig=bare_world.cluster.kubeconfig, user_agent="user")
    namespace = f"{SPACE}-team-{next(_NUMBERS)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await gateway.create(Kind.NAMESPACE, body)
    yield Client(gateway, namespace)
    await gateway.delete(Kind.NAMESPACE, name=namespace)
    await gateway.close()


@pytest.fixture
async def user(bare_world: World, stranger: Client) -> Client:
    """A user whose namespace has an agent of each maturity and a policy that allows every package."""
    await equipped(stranger, bare_world, "Student", "Intern", "Supervised", "Autonomous")
    return stranger
