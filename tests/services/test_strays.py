"""Strays: what left the watch is removed if it was stripped, and left alone if it merely has yet to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skillwarden.kube.kinds import Kind
from skillwarden.services.children import Children
from skillwarden.services.execute import Executor
from skillwarden.services.isolation import Isolation
from skillwarden.services.observe import pod_record
from skillwarden.services.ports import Body
from skillwarden.services.seal import SEAL, seal
from skillwarden.services.store import Store
from skillwarden.services.strays import StrayCatcher

KEY = b"k" * 32


class Setup:
    """What strays need of the settings."""

    seal_key = KEY


class Server:
    """An API server with one Pod and perhaps its run, and the audit trail of what was done about it."""

    def __init__(self, pod: Body, *, run: Body | None = None) -> None:
        self.pod, self.run = pod, run
        self.deleted: list[str] = []
        self.recorded: list[str] = []

    async def get(self, kind: Kind, **_: Any) -> Body | None:
        return self.pod if kind is Kind.POD else self.run if kind is Kind.SKILL_RUN else None

    async def delete(self, *_: Any, uid: str, **__: Any) -> bool:
        self.deleted.append(uid)
        return True

    def record(self, event: str, **fields: Any) -> None:
        self.recorded.append(f"{event}: {fields['why']}")


def make_pod() -> Body:
    owner = {"apiVersion": "skillwarden.io/v1alpha1", "kind": "SkillRun", "name": "demo-1", "uid": "r-1"}
    body: Body = {
        "metadata": {
            "name": "demo-0",
            "namespace": "team",
            "uid": "p-1",
            "labels": {"skillwarden.io/component": "sandbox", "app.kubernetes.io/managed-by": "skillwarden"},
            "annotations": {},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {"containers": [{"name": "skill", "image": "python@sha256:2"}]},
    }
    body["metadata"]["annotations"][SEAL] = seal(body, key=KEY)
    return body


async def looked_at(pod: Body, *, run: Body | None = None, seen: bool = False) -> Server:
    """Have a Pod looked at that the store does not hold, or that it has ``seen`` before its owner."""
    server: Any = Server(pod, run=run)
    setup: Any = Setup()
    store = Store()
    if seen:
        store.pods.put(("team", "demo-0"), pod_record(pod, seal_key=KEY))
    children = Children(store=store, setup=setup, isolation=Isolation())
    executor = Executor(cluster=server, store=store, children=children, setup=setup, audit=server)
    catcher = StrayCatcher(store=store, cluster=server, executor=executor, setup=setup)
    await catcher.reconcile("team", "demo-0")
    found: Server = server
    return found


async def test_a_pod_that_was_just_launched_is_left_alone_and_nothing_is_on_record() -> None:
    server = await looked_at(make_pod())
    assert (server.deleted, server.recorded) == ([], [])


@pytest.mark.parametrize(
    ("uid", "removed"), [("r-1", []), ("r-2", ["p-1"]), (None, ["p-1"])], ids=["its own", "another", "gone"]
)
async def test_a_pod_that_is_seen_before_its_run_is_left_alone(uid: str | None, removed: list[str]) -> None:
    """As by an operator that just came to lead: each watch brings what it brings when it does."""
    run = {"metadata": {"name": "demo-1", "namespace": "team", "uid": uid}} if uid else None
    assert (await looked_at(make_pod(), run=run, seen=True)).deleted == removed


@pytest.mark.parametrize(
    ("sentence", "change", "why"),
    [
        (
            "its label was taken away",
            lambda pod: pod["metadata"]["labels"].pop("skillwarden.io/component"),
            "its labels were taken away",
        ),
        (
            "it was changed otherwise",
            lambda pod: pod["spec"]["containers"][0].update(image="miner"),
            "its seal is broken: it is not as the operator made it",
        ),
    ],
)
async def test_a_pod_is_removed_and_the_record_says_that(
    sentence: str, change: Callable[[Body], object], why: str
) -> None:
    pod = make_pod()
    change(pod)
    server = await looked_at(pod)
    assert (server.deleted, server.recorded) == (["p-1"], [f"Removal: {why}"])
