"""Children that are observed: they wake whom they concern, and a start learns them in one list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from skillwarden.builders.service_account import build_service_account, service_account_name
from skillwarden.domain.skill import SkillKey
from skillwarden.kube.kinds import Kind
from skillwarden.services.children import Children
from skillwarden.services.execute import Executor
from skillwarden.services.isolation import Isolation
from skillwarden.services.operator import Operator, Parts
from skillwarden.services.ports import Timing
from skillwarden.services.store import Store

Body = dict[str, Any]
KEY = SkillKey("team", "demo", "u-1")
NOTHING: Any = None


def make_skill(name: str) -> Body:
    spec = {
        "source": {"files": [{"path": "main.py", "content": ""}]},
        "entrypoint": {"command": ["python", "main.py"]},
    }
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill", "metadata": meta, "spec": spec}


def make_network_policy(*, owner: str | None, ours: bool = True, **spec: Any) -> Body:
    meta: Body = {"name": "np", "namespace": "team", "uid": "n-1"}
    if ours:
        meta["labels"] = {"app.kubernetes.io/managed-by": "skillwarden"}
    if owner:
        reference = {"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill", "name": owner, "uid": "u"}
        meta["ownerReferences"] = [{**reference, "controller": True}]
    return {"metadata": meta, "spec": {"podSelector": {}, **spec}}


async def _primed() -> None:
    """Nothing stands that no watch tells of."""


@pytest.fixture
async def core() -> AsyncIterator[Operator]:
    """An operator that leads, and has no workers that take what it queues."""
    parts = Parts(
        store=Store(),
        cluster=NOTHING,
        skills=SimpleNamespace(prime=_primed),  # type: ignore[arg-type]
        runs=NOTHING,
        accepted=NOTHING,
        approvals=NOTHING,
        strays=NOTHING,
        feed=SimpleNamespace(revision="r1", synced_at=None),
        setup=NOTHING,
        timing=Timing(),
        name_findings=lambda _: (),
        source_findings=lambda *_: (),
        observer=SimpleNamespace(waited=lambda _: None),  # type: ignore[arg-type]
    )
    core = Operator(parts, workers=0)
    await core.lead()
    for name in ("demo", "other"):
        core.observe(Kind.SKILL, "ADDED", make_skill(name))
    await drained(core)
    yield core
    await core.stop()


async def drained(core: Operator) -> set[str]:
    """Take every key that is queued; return the names."""
    names = set()
    while len(core.queue):
        key = await asyncio.wait_for(core.queue.get(), 5)
        core.queue.done(key)
        names.add(key[2])
    return names


@pytest.mark.parametrize(
    ("sentence", "before", "after", "woken"),
    [
        ("a skill's own wakes that skill", None, make_network_policy(owner="demo"), {"demo"}),
        ("another's wakes all", None, make_network_policy(owner=None, ours=False), {"demo", "other"}),
        ("the deny-all wakes all", None, make_network_policy(owner=None), {"demo", "other"}),
        (
            "one that another took over wakes all",
            make_network_policy(owner="demo"),
            make_network_policy(owner="demo", ours=False),
            {"demo", "other"},
        ),
        (
            "one that a cascade left behind wakes whose it was, too, who may be gone",
            make_network_policy(owner="gone"),
            make_network_policy(owner=None),
            {"demo", "other", "gone"},
        ),
        (
            "the same again wakes nobody",
            make_network_policy(owner=None),
            make_network_policy(owner=None),
            set(),
        ),
        (
            "one that opens by now wakes all",
            make_network_policy(owner=None),
            make_network_policy(owner=None, egress=[{}]),
            {"demo", "other"},
        ),
    ],
)
async def test_a_network_policy_wakes_whom_it_concerns(
    sentence: str, before: Body | None, after: Body, woken: set[str], core: Operator
) -> None:
    if before is not None:
        core.observe(Kind.NETWORK_POLICY, "ADDED", before)
        await drained(core)
    core.observe(Kind.NETWORK_POLICY, "MODIFIED", after)
    assert await drained(core) == woken


def make_account(**changes: Any) -> Body:
    owner = Children(store=Store(), setup=NOTHING, isolation=Isolation()).skill_owner(KEY)
    return build_service_account(KEY, owner=owner) | changes


@pytest.mark.parametrize(
    ("sentence", "body", "known"),
    [
        ("as it should be", make_account(), True),
        ("with a token", make_account(automountServiceAccountToken=True), False),
        (
            "of another name",
            make_account(metadata=make_account()["metadata"] | {"name": "else"}),
            False,
        ),
        (
            "of nobody",
            make_account(metadata={"name": service_account_name(KEY), "namespace": "team"}),
            False,
        ),
    ],
)
async def test_a_start_learns_a_service_account(sentence: str, body: Body, known: bool) -> None:
    async def listed(kind: Kind, **_: str) -> SimpleNamespace:
        return SimpleNamespace(items=[body] if kind is Kind.SERVICE_ACCOUNT else [])

    children = Children(store=Store(), setup=NOTHING, isolation=Isolation())
    cluster: Any = SimpleNamespace(list=listed)
    unheard: Any = SimpleNamespace(record=None)
    executor = Executor(cluster=cluster, store=Store(), children=children, setup=NOTHING, audit=unheard)
    await executor.learn_accounts()
    assert children.has_account(KEY) is known
