"""Canary Pods through a real API: the test is the kubelet, the program is the real one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from apiserver_support import SPACE, Client
from real_server import Access

from skillwarden.builders.canary import CLOSED, LABEL_CANARY, OPEN, POLICY_NAME, SELECTOR
from skillwarden.builders.network_policy import DepotEndpoint
from skillwarden.builders.pod import Images
from skillwarden.kube.errors import NotFound
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.localcluster.apiserver.pod_security import admit
from skillwarden.services.canary import CanaryPlan, CanaryProber
from skillwarden.services.isolation import Isolation

HOME = SPACE
HOST = "127.0.0.1"


@pytest.fixture
async def home(gateway: Gateway, reached: Access) -> Gateway:
    async with reached.session() as session:
        nodes = await Client(session, reached.url).get("/api/v1/nodes")
    if nodes.body["items"]:
        pytest.skip("this cluster has nodes of its own; here the test is the kubelet")
    return gateway


@pytest.fixture
def port() -> Iterator[int]:
    """Of something that listens: the depot."""
    with socket.create_server((HOST, 0), backlog=512) as server:
        yield int(server.getsockname()[1])


def prober(gateway: Gateway, port: int, isolation: Isolation, **changes: Any) -> CanaryProber:
    plan = CanaryPlan(
        images=Images(runtime="", operator="skillwarden:1"),
        target=DepotEndpoint(host=HOST, port=port, in_cluster=False, cidr="127.0.0.1/32"),
        poll=timedelta(seconds=0.05),
        **{"namespace": HOME, "patience": timedelta(seconds=60), **changes},
    )
    return CanaryProber(gateway, plan, isolation)


class Kubelet:
    """Runs each canary's command, and writes what it wrote into the Pod's status.

    ``isolates`` says which canaries its network plugin keeps from everything: their connections go where
    nothing listens.
    """

    def __init__(self, gateway: Gateway, folder: Path, *, isolates: set[str]) -> None:
        self._gateway = gateway
        self._folder = folder
        self._isolates = isolates
        self.ran: dict[str, dict[str, Any]] = {}
        self.policies: list[list[str]] = []

    async def run(self) -> None:
        while True:
            for body in (await self._gateway.list(Kind.POD, namespace=HOME, label_selector=SELECTOR)).items:
                name = body["metadata"]["name"]
                if name not in self.ran:
                    self.ran[name] = body
                    policies = (await self._gateway.list(Kind.NETWORK_POLICY, namespace=HOME)).items
                    self.policies.append([item["metadata"]["name"] for item in policies])
                    await self._start(body)
            await asyncio.sleep(0.05)

    async def _start(self, body: dict[str, Any]) -> None:
        [container] = body["spec"]["containers"]
        _, *options, expected, host, port = container["command"]
        if body["metadata"]["labels"][LABEL_CANARY] in self._isolates:
            port = "1"
        message = self._folder / body["metadata"]["name"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *options, expected, host, port),
            env={**os.environ, "SKILLWARDEN_CANARY_MESSAGE": str(message)},
        )
        code = await process.wait()
        ended = {"exitCode": code, "message": message.read_text(), "reason": "Completed"}
        status = {
            "phase": "Succeeded",
            "containerStatuses": [{"name": container["name"], "state": {"terminated": ended}}],
        }
        with contextlib.suppress(NotFound):
            await self._gateway.merge(
                Kind.POD,
                {"status": status},
                name=body["metadata"]["name"],
                namespace=HOME,
                subresource="status",
            )


@contextlib.asynccontextmanager
async def kubelet(gateway: Gateway, folder: Path, *, isolates: set[str]) -> AsyncIterator[Kubelet]:
    made = Kubelet(gateway, folder, isolates=isolates)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program settles in moments here: a copy of its module with other numbers is what runs."""
    import skillwarden.sandbox.canary as program

    source = Path(program.__file__).read_text()
    for name, value in (("SETTLE_SECONDS", "1.0"), ("MAX_PIDS", "64"), ("_PAUSE_SECONDS", "0.05")):
        head, _, rest = source.partition(f"\n{name} = ")
        source = f"{head}\n{name} = {value}\n{rest.partition(chr(10))[2]}"
    (tmp_path / "quick_canary.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("skillwarden.builders.canary._COMMAND", ("python", "-m", "quick_canary"))


async def left(gateway: Gateway) -> list[str]:
    pods = await gateway.list(Kind.POD, namespace=HOME)
    policies = await gateway.list(Kind.NETWORK_POLICY, namespace=HOME)
    return [item["metadata"]["name"] for item in (*pods.items, *policies.items)]


@pytest.mark.parametrize(
    ("isolates", "expected"), [({CLOSED}, True), (set(), False), ({OPEN, CLOSED}, None), ({OPEN}, False)]
)
async def test_what_the_plugin_does_is_seen(
    isolates: set[str], expected: bool | None, home: Gateway, port: int, tmp_path: Path
) -> None:
    isolation = Isolation()
    async with kubelet(home, tmp_path, isolates=isolates) as node:
        sighting = await prober(home, port, isolation).probe()
    assert sighting is not None
    assert (sighting.enforced, isolation.enforced) == (expected, expected)
    assert len(node.ran) == 2
    # The policy stands before a Pod does, and nothing of it afterwards.
    assert all(POLICY_NAME in policies for policies in node.policies)
    assert await left(home) == []


async def test_a_canary_passes_pod_security_restricted(home: Gateway, port: int, tmp_path: Path) -> None:
    async with kubelet(home, tmp_path, isolates={CLOSED}) as node:
        await prober(home, port, Isolation()).probe()
    strict = {"metadata": {"name": HOME, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    for body in node.ran.values():
        admit(strict, body)


async def test_canaries_that_never_end_are_taken_back_and_prove_nothing(home: Gateway, port: int) -> None:
    isolation = Isolation(True)
    assert await prober(home, port, isolation, patience=timedelta(seconds=0.3)).probe() is None
    assert isolation.enforced is True
    assert await left(home) == []


async def test_what_a_killed_operator_left_is_cleared(home: Gateway, port: int, tmp_path: Path) -> None:
    async with kubelet(home, tmp_path, isolates={CLOSED}) as node:
        task = asyncio.create_task(prober(home, port, Isolation(), patience=timedelta(hours=1)).probe())
        while not (await home.list(Kind.POD, namespace=HOME)).items:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await prober(home, port, Isolation()).probe() is not None
    assert len(node.ran) >= 2
    assert await left(home) == []


async def test_what_an_operator_left_goes_with_its_pod(home: Gateway, port: int) -> None:
    """An operator that is uninstalled may delete nothing any more."""
    operator = await home.create(
        Kind.POD,
        {
            "metadata": {"name": "operator", "namespace": HOME},
            "spec": {"containers": [{"name": "operator", "image": "skillwarden:1"}]},
        },
    )
    owner = f"operator/{operator['metadata']['uid']}"
    task = asyncio.create_task(prober(home, port, Isolation(), owner=owner).probe())
    try:
        while len((await home.list(Kind.POD, namespace=HOME, label_selector=SELECTOR)).items) < 2:
            await asyncio.sleep(0.02)
        await home.delete(Kind.POD, name="operator", namespace=HOME, grace_seconds=0)
        async with asyncio.timeout(60):
            while await left(home):
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_api_that_refuses_proves_nothing(gateway: Gateway, port: int) -> None:
    """There is no such namespace."""
    isolation = Isolation()
    assert await prober(gateway, port, isolation, namespace=f"{HOME}-none").probe() is None
    assert isolation.enforced is None
