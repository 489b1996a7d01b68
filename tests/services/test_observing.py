"""The store against watches and lists that overtake each other: the newest word wins, nothing comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from skillwarden.domain.policy import Maturity
from skillwarden.kube.kinds import Kind
from skillwarden.services.observe import pod_record
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


def make_pod(owner: str = "demo", *, version: int | None = None) -> Body:
    reference = {"apiVersion": "skillwarden.io/v1alpha1", "kind": "Skill", "name": owner, "uid": "u-1"}
    meta = {"name": "demo-0", "namespace": "team", "uid": "p-1"}
    if version is not None:
        meta["resourceVersion"] = str(version)
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
        if kind in {Kind.SKILL, Kind.POD}:
            self.meanwhile()
        return SimpleNamespace(items=found, resource_version=str(self.version))


def make_operator(lists: Lists, store: Store) -> Operator:
    feed = SimpleNamespace(revision="r1", synced_at=datetime(2026, 1, 1, tzinfo=UTC))
    nothing: Any = None
    parts = Parts(
        store=store,
        cluster=lists,  # type: ignore[arg-type]
        skills=SimpleNamespace(prime=_primed),  # type: ignore[arg-type]
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
    return Operator(parts, workers=0)


async def _primed() -> None:
    """Nothing stands that no watch tells of."""


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def standby(lists: Lists, store: Store) -> AsyncIterator[Operator]:
    """An operator that does not lead."""
    core = make_operator(lists, store)
    yield core
    await core.stop()


@pytest.fixture
async def core(standby: Operator) -> Operator:
    """An operator that leads, and has no workers that take what it queues."""
    await standby.lead()
    return standby


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


async def test_a_pod_that_was_launched_during_a_list_is_neither_dropped_nor_taken_for_a_stray(
    core: Operator, lists: Lists, store: Store
) -> None:
    def launch() -> None:
        record = pod_record(make_pod(version=6), seal_key=b"")
        store.pods.put(("team", "demo-0"), record)

    lists.meanwhile = launch
    await core.begin_watch(Kind.POD, None)
    assert store.pods.get(("team", "demo-0")) is not None
    lists.meanwhile = lambda: None
    await drained(core)
    await core.begin_watch(Kind.POD, None)
    assert store.pods.get(("team", "demo-0")) is None, "a list that was asked for later knows better"
    assert ("Pod", "team", "demo-0") in await drained(core)


async def test_a_pod_whose_launch_a_list_is_newer_than_is_gone_where_it_does_not_show_it(
    core: Operator, lists: Lists, store: Store
) -> None:
    lists.version = 9
    lists.meanwhile = lambda: store.pods.put(
        ("team", "demo-0"), pod_record(make_pod(version=6), seal_key=b"")
    )
    await core.begin_watch(Kind.POD, None)
    assert store.pods.get(("team", "demo-0")) is None


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


REQUEST = "greeter-1"


def make_request(*, uid: str = "q-1", askers: Sequence[str] = ()) -> Body:
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "PackageApproval",
        "metadata": {"name": REQUEST, "namespace": "team", "uid": uid},
        "spec": {"package": {"ecosystem": "PyPI", "name": "greeter", "version": "1.0"}},
        "status": {"requestedBy": {"count": len(askers), "skills": list(askers)}},
    }


@pytest.mark.parametrize(
    ("sentence", "event", "after"),
    [
        ("deleted", "DELETED", make_request(askers=["told"])),
        ("replaced by another", "MODIFIED", make_request(uid="q-2")),
    ],
)
async def test_who_asks_for_a_request_that_nobody_decided_is_woken_when_it_is(
    sentence: str, event: str, after: Body, core: Operator
) -> None:
    names = make_skill(5, name="names")
    names["status"] = {"pendingApprovals": [{"name": REQUEST}]}
    for skill in (names, make_skill(5, name="told"), make_skill(5, name="other")):
        core.observe(Kind.SKILL, "ADDED", skill)
    core.observe(Kind.PACKAGE_APPROVAL, "ADDED", make_request(askers=["told"]))
    await drained(core)
    core.observe(Kind.PACKAGE_APPROVAL, event, after)
    assert {key[2] for key in await drained(core) if key[0] == "Skill"} == {"names", "told"}


def make_run(number: int) -> Body:
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "SkillRun",
        "metadata": {"name": f"run-{number}", "namespace": "team", "uid": f"run-{number}"},
        "spec": {"skillRef": {"name": "demo"}},
    }


def make_network_policy(name: str, **labels: str) -> Body:
    labels = {"app.kubernetes.io/managed-by": "skillwarden", **labels}
    return {"metadata": {"name": name, "namespace": "team", "uid": name, "labels": labels}}


async def test_an_operator_that_stands_by_keeps_no_keys_and_queues_all_that_lives_when_it_leads(
    standby: Operator, lists: Lists
) -> None:
    lists.objects[Kind.SKILL] = [make_skill(5)]
    await standby.start()
    for number in range(3000):
        run, pod = make_run(number), make_pod()
        pod["metadata"]["name"] = f"pod-{number}"
        pod["status"] = {"phase": "Succeeded"}
        for event in ("ADDED", "DELETED") if number else ("ADDED",):
            standby.observe(Kind.SKILL_RUN, event, run)
            standby.observe(Kind.POD, event, pod)
    standby.observe(Kind.PACKAGE_POLICY, "ADDED", make_policy(6))
    standby.observe(Kind.PACKAGE_APPROVAL, "ADDED", make_request())
    assert len(standby.queue) == 0
    await standby.lead()
    assert standby.backlog() == len(standby.queue)
    assert await drained(standby) == {
        ("Skill", *NAME),
        ("SkillRun", "team", "run-0"),
        ("Pod", "team", "pod-0"),
        ("PackagePolicy", "team", "rules"),
        ("PackageApproval", "team", REQUEST),
    }


async def test_what_comes_while_an_operator_begins_to_lead_is_queued(
    standby: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prime() -> None:
        standby.observe(Kind.SKILL, "ADDED", make_skill(5))

    monkeypatch.setattr(standby._parts.skills, "prime", prime)
    await standby.lead()
    standby.observe(Kind.SKILL, "ADDED", make_skill(5, name="later"))
    assert await drained(standby) == {("Skill", *NAME), ("Skill", "team", "later")}


async def test_a_pod_that_lost_its_label_while_nobody_led_is_looked_at(standby: Operator) -> None:
    standby.observe(Kind.POD, "ADDED", make_pod())
    standby.observe(Kind.POD, "DELETED", make_pod())
    await standby.lead()
    assert await drained(standby) == {("Pod", "team", "demo-0")}


@pytest.mark.parametrize(
    ("sentence", "policy", "skills", "tidied"),
    [
        ("an orphan", make_network_policy("demo-1", **{"skillwarden.io/skill-uid": "u-9"}), ["demo"], True),
        ("the deny-all with no skill", make_network_policy("skillwarden-default-deny"), [], True),
        ("the deny-all with one", make_network_policy("skillwarden-default-deny"), ["demo"], False),
        ("any other", make_network_policy("mine"), [], False),
    ],
)
async def test_a_namespace_is_tidied_though_nobody_who_led_saw_its_skill_go_of(
    sentence: str, policy: Body, skills: Sequence[str], tidied: bool, standby: Operator
) -> None:
    for name in skills:
        standby.observe(Kind.SKILL, "ADDED", make_skill(5, name=name))
    standby.observe(Kind.NETWORK_POLICY, "ADDED", policy)
    await standby.lead()
    gone = {key for key in await drained(standby) if key[2] not in skills}
    assert bool(gone) == tidied
    assert {key[0] for key in gone} <= {"Skill"}


async def test_every_watched_kind_can_be_listed(core: Operator, lists: Lists) -> None:
    await core.relist()
    seen = lists.asked
    assert seen == list(WATCHED)
    # What judges comes before what is judged.
    assert seen.index(Kind.PACKAGE_POLICY) < seen.index(Kind.SKILL) < seen.index(Kind.POD)
