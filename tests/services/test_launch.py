"""Launching a Pod: what admission made another of does not run, and is said."""

from __future__ import annotations

import copy
from typing import Any

from test_strays import KEY, Setup, make_pod

from skillwarden.kube.kinds import Kind
from skillwarden.services.children import Children
from skillwarden.services.execute import Executor
from skillwarden.services.isolation import Isolation
from skillwarden.services.ports import Body
from skillwarden.services.seal import SEAL, seal
from skillwarden.services.store import Store

DIGEST = "python:3.12@sha256:" + "0" * 64


class Server:
    """An API server whose admission gives images by digest, and the audit trail of what was done."""

    def __init__(self, image: str | None) -> None:
        self.image = image
        self.deleted: list[str] = []
        self.recorded: list[str] = []

    async def create(self, _: Kind, body: Body) -> Body:
        made = copy.deepcopy(body)
        made["metadata"]["uid"] = "p-1"
        if self.image is not None:
            made["spec"]["containers"][0]["image"] = self.image
        return made

    async def delete(self, *_: Any, uid: str, **__: Any) -> bool:
        self.deleted.append(uid)
        return True

    def record(self, event: str, **_: Any) -> None:
        self.recorded.append(event)


async def launched(server: Any) -> tuple[Any, Store]:
    body = make_pod()
    del body["metadata"]["uid"]
    body["metadata"]["annotations"][SEAL] = seal(body, key=KEY)
    setup: Any = Setup()
    store = Store()
    children = Children(store=store, setup=setup, isolation=Isolation())
    executor = Executor(cluster=server, store=store, children=children, setup=setup, audit=server)
    return await executor.launch(body, facts={}), store


async def test_a_pod_is_launched_and_known_at_once() -> None:
    server = Server(None)
    failure, store = await launched(server)
    assert (failure, server.deleted, server.recorded) == (None, [], ["Launch"])
    assert store.pods.get(("team", "demo-0")) is not None


async def test_a_pod_that_admission_changed_is_taken_back_and_the_skill_says_why() -> None:
    server = Server(DIGEST)
    failure, store = await launched(server)
    assert (failure.reason, failure.retryable) == ("PodRefused", True)
    assert "images" in failure.message
    assert "skillwarden.io/component=sandbox" in failure.fix
    assert (server.deleted, server.recorded) == (["p-1"], [])
    assert store.pods.get(("team", "demo-0")) is None
