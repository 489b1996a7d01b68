"""The store against watches and lists that overtake each other: the newest word wins, nothing comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from skillwarden.domain.policy import Maturity
from skillwarden.kube.kinds import Kind
from skillwarden.services.operator import Operator, Parts
from skillwarden.services.ports import Timing
from skillwarden.services.store import Store
from skillwarden.services.watched import WATCHED

Body = dict[str, Any]
NAME = ("team", "demo")


def make_skill(version: int, *, name: str = "demo", uid: str = "u-1", agent: str = "a") -> Body:
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "Skill",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": version,
        },
        "spec": {
            "agentRef": {"name": agent},
            "source": {"files": [{"path": "main.py", "content": ""}]},
            "entrypoint": {"command": ["python", "main.py"]},
        },
    }


def make_policy(version: int, *, bans: Sequence[str] = ()) -> Body:
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "PackagePolicy",
        "metadata": {
            "name": "rules",
            "namespace": "team",
            "uid": "r-1",
            "resourceVersion": str(version),
            "generation": version,
        },
        "spec": {"bans": [{"ecosystem": "PyPI", "names": list(bans)}] if bans else []},
    }


def make_pod(owner: str = "demo") -> Body:
    reference = {"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill", "name": owner, "uid": "u-1"}
    meta = {"name": "demo-0", "namespace": "team", "uid": "p-1"}
    return {"metadata": {**meta, "ownerReferences": [{**reference, "controller": True}]}}


@dataclass
class Lists:
    """An API server that lists what it is given, and lets something happen while it does."""

    objects: dict[Kind, list[Body]] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None
    asked: list[Kind] = field(default_factory=list)
    version: int = 5

    async def project(self, kind: Kind, project: Callable[[Body], Any], **_: str) -> SimpleNamespace:
        self.asked.append(kind)
        await asyncio.sleep(0)
        found = [project(body) for body in self.objects.get(kind, [])]
        if kind is Kind.SKILL:
            self.meanwhile()
        return SimpleNamespace(items=found, resource_version=str(self.version))


def make_operator(lists: Lists, store: Store) -> Operator:
    feed = SimpleNamespace(revision="r1", synced_at=datetime(2026, 1, 1, tzinfo=UTC))
    nothing: Any = None
    parts = Parts(
        store=store,
        cluster=lists,  # type: ignore[arg-type]
        skills=nothing,
        runs=nothing,
        accepted=nothing,
        approvals=nothing,
        strays=nothing,
        feed=feed,
        setup=SimpleNamespace(seal_key=b"k" * 32),  # type: ignore[arg-type]
        timing=Timing(),
        name_findings=lambda _: (),
        source_findings=lambda *_: (),
        observer=SimpleNamespace(waited=lambda _: None),  # type: ignore[arg-type]
    )
    return Operator(parts)


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def core(lists: Lists, store: Store) -> Operator:
    return make_operator(lists, store)


def version(store: Store) -> str | None:
    record = store.skills.get(NAME)
    return record.resource_version if record else None


async def drained(core: Operator) -> set[tuple[str, str, str]]:
    """Take every key that is queued."""
    keys = set()
    while len(core.queue):
        key = await asyncio.wait_for(core.queue.get(), 5)
        core.queue.done(key)
        keys.add(key)
    return keys


async def test_what_a_watch_brought_during_a_list_is_not_undone_by_it(
    core: Operator, lists: Lists, store: Store
) -> None:
    lists.objects[Kind.SKILL] = [make_skill(5)]
    lists.meanwhile = lambda: core.observe(Kind.SKILL, "MODIFIED", make_skill(6))
    await core.relist()
    assert version(store) == "6"


async def test_what_was_created_during_a_list_is_not_taken_for_deleted(
    core: Operator, lists: Lists, store: Store
) -> None:
    lists.meanwhile = lambda: core.observe(Kind.SKILL, "ADDED", make_skill(6))
    await core.relist()
    assert version(store) == "6"


async def test_what_was_deleted_during_a_list_does_not_come_back(
    core: Operator, lists: Lists, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(5))
    lists.objects[Kind.SKILL] = [make_skill(5)]
    lists.meanwhile = lambda: core.observe(Kind.SKILL, "DELETED", make_skill(6))
    await core.relist()
    assert version(store) is None


async def test_a_status_that_was_written_during_a_list_is_kept(
    core: Operator, lists: Lists, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(5))
    lists.objects[Kind.SKILL] = [make_skill(5)]

    def write() -> None:
        known = store.skills.get(NAME)
        assert known is not None
        store.skills.put(NAME, known.with_status({**make_skill(7), "status": {"phase": "Ready"}}))

    lists.meanwhile = write
    await core.relist()
    assert version(store) == "7"


async def test_two_lists_at_a_time_do_not_disturb_each_other(
    core: Operator, lists: Lists, store: Store
) -> None:
    lists.objects[Kind.SKILL] = [make_skill(5)]
    begin = core.begin_watch(Kind.SKILL, None)
    await asyncio.gather(core.relist(), begin, core.begin_watch(Kind.SKILL, None), core.relist())
    assert version(store) == "5"


async def test_what_a_list_does_not_show_is_gone_and_its_key_is_queued(
    core: Operator, lists: Lists, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(5))
    await drained(core)
    await core.begin_watch(Kind.SKILL, None)
    assert version(store) is None
    assert ("Skill", *NAME) in await drained(core)


async def test_a_full_list_queues_every_key_and_a_watch_that_begins_only_what_changed(
    core: Operator, lists: Lists, store: Store
) -> None:
    lists.objects[Kind.SKILL] = [make_skill(5), make_skill(5, name="other")]
    await core.relist()
    assert {key[2] for key in await drained(core)} == {"demo", "other"}
    await core.begin_watch(Kind.SKILL, None)
    await core.begin_watch(Kind.SKILL, None)
    assert await drained(core) == set()
    lists.objects[Kind.SKILL] = [make_skill(6), make_skill(5, name="other")]
    await core.begin_watch(Kind.SKILL, None)
    assert await drained(core) == {("Skill", *NAME)}
    await core.relist()
    assert {key[2] for key in await drained(core)} == {"demo", "other"}


async def test_an_event_that_is_older_than_what_is_known_changes_nothing(
    core: Operator, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(6))
    core.observe(Kind.SKILL, "MODIFIED", make_skill(5))
    assert version(store) == "6"


async def test_an_older_word_of_a_policy_does_not_take_its_ban_away(core: Operator, store: Store) -> None:
    core.observe(Kind.PACKAGE_POLICY, "ADDED", make_policy(6, bans=["left-pad"]))
    core.observe(Kind.PACKAGE_POLICY, "MODIFIED", make_policy(5))
    record = store.policies.get(("team", "rules"))
    assert record is not None
    assert record.policy is not None
    assert record.policy.bans


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED", "DELETED"])
async def test_late_words_about_a_predecessor_do_not_touch_its_successor(
    event: str, core: Operator, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(9, uid="u-2"))
    core.observe(Kind.SKILL, event, make_skill(8))
    record = store.skills.get(NAME)
    assert record is not None
    assert record.key.uid == "u-2"


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize("when", ["during the list", "after it"])
async def test_the_last_words_of_a_watch_do_not_undo_the_list_that_came_after_it(
    event: str, when: str, core: Operator, lists: Lists, store: Store
) -> None:
    # The watch died after version 6, the list is of version 9, and what is heard late is never said again.
    core.observe(Kind.SKILL, "ADDED", make_skill(5))
    core.observe(Kind.SKILL, "ADDED", make_skill(5, name="other"))
    lists.version, lists.objects[Kind.SKILL] = 9, [make_skill(8)]

    def late() -> None:
        core.observe(Kind.SKILL, event, make_skill(6))
        core.observe(Kind.SKILL, event, make_skill(6, name="other"))

    if when == "during the list":
        lists.meanwhile = late
    await core.begin_watch(Kind.SKILL, None)
    if when == "after it":
        late()
    assert version(store) == "8"
    assert store.skills.get(("team", "other")) is None, "it was deleted while the watch was away"


async def test_a_status_of_ours_that_was_overwritten_before_the_list_does_not_hide_it(
    core: Operator, lists: Lists, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(5))
    lists.version, lists.objects[Kind.SKILL] = 9, [make_skill(8)]

    def write() -> None:
        known = store.skills.get(NAME)
        assert known is not None
        store.skills.put(NAME, known.with_status({**make_skill(7), "status": {"phase": "Ready"}}))

    lists.meanwhile = write
    await core.begin_watch(Kind.SKILL, None)
    assert version(store) == "8"


async def test_pods_of_an_owner_that_is_gone_or_another_are_looked_at(core: Operator, lists: Lists) -> None:
    for after in ([], [make_skill(9, uid="u-2")]):
        core.observe(Kind.SKILL, "ADDED", make_skill(8))
        core.observe(Kind.POD, "ADDED", make_pod())
        await drained(core)
        lists.objects[Kind.SKILL] = after
        await core.begin_watch(Kind.SKILL, None)
        assert ("Pod", "team", "demo-0") in await drained(core)
        core.observe(Kind.SKILL, "DELETED", make_skill(9, uid="u-2"))


async def test_a_pod_that_a_list_does_not_show_is_looked_at_for_it_may_have_lost_its_label(
    core: Operator, lists: Lists
) -> None:
    core.observe(Kind.POD, "ADDED", make_pod())
    await drained(core)
    await core.begin_watch(Kind.POD, None)
    assert ("Pod", "team", "demo-0") in await drained(core)


async def test_a_successor_of_the_same_name_that_a_list_shows_counts_whatever_its_version(
    core: Operator, lists: Lists, store: Store
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(6))
    lists.objects[Kind.SKILL] = [make_skill(5, uid="u-2")]
    await core.begin_watch(Kind.SKILL, None)
    record = store.skills.get(NAME)
    assert record is not None
    assert record.key.uid == "u-2"


async def test_the_first_watch_begins_at_the_list_of_the_start_and_the_next_lists_anew(
    core: Operator, lists: Lists
) -> None:
    await core.relist()
    before = len(lists.asked)
    assert [await core.begin_watch(Kind.SKILL, name) for name in ("team", "other")] == ["5", "5"]
    assert len(lists.asked) == before
    lists.version = 6
    assert await core.begin_watch(Kind.SKILL, "team") == "6", "it was away"
    assert lists.asked[before:] == [Kind.SKILL]
    assert await core.begin_watch(Kind.SKILL, "other") == "6"


@pytest.mark.parametrize(
    ("sentence", "kind", "event", "body", "keys"),
    [
        (
            "an agent",
            Kind.AGENT,
            "ADDED",
            {
                "apiVersion": "skillwarden.io/v1alpha1",
                "kind": "Agent",
                "metadata": {"name": "a", "namespace": "team", "uid": "a-1"},
                "spec": {"maturity": Maturity.INTERN.value},
            },
            {"Skill", "Agent"},
        ),
        (
            "a namespace",
            Kind.NAMESPACE,
            "MODIFIED",
            {"metadata": {"name": "team", "labels": {"x": "y"}}},
            {"Skill"},
        ),
        (
            "a network policy",
            Kind.NETWORK_POLICY,
            "DELETED",
            {"metadata": {"name": "p", "namespace": "team"}},
            {"Skill"},
        ),
        ("a Pod", Kind.POD, "ADDED", make_pod(), {"Skill", "Pod"}),
        ("a Pod that left the watch", Kind.POD, "DELETED", make_pod("nobody"), {"Pod"}),
        (
            "a policy of another namespace",
            Kind.PACKAGE_POLICY,
            "DELETED",
            {"metadata": {"name": "p", "namespace": "elsewhere"}},
            {"PackagePolicy"},
        ),
    ],
)
async def test_a_change_of_it_concerns(
    sentence: str, kind: Kind, event: str, body: Body, keys: set[str], core: Operator
) -> None:
    core.observe(Kind.SKILL, "ADDED", make_skill(5))
    await drained(core)
    core.observe(kind, event, body)
    assert {key[0] for key in await drained(core)} == keys


async def test_every_watched_kind_can_be_listed(core: Operator, lists: Lists) -> None:
    await core.relist()
    seen = lists.asked
    assert seen == list(WATCHED)
    # What judges comes before what is judged.
    assert seen.index(Kind.PACKAGE_POLICY) < seen.index(Kind.SKILL) < seen.index(Kind.POD)
