"""Service skills: their Pods follow the spec, and every Pod under our name is one that we made."""

from __future__ import annotations

from typing import Any

import pytest
from operator_world import SERVICE, Client, World, condition, make_run, make_skill

from skillwarden.domain.naming import LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_SKILL, LABEL_SKILL_UID
from skillwarden.kube.kinds import Kind

LABELS = (LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_SKILL, LABEL_SKILL_UID)


def make_service(*, code: str = SERVICE, replicas: int = 1, **sandbox: Any) -> dict[str, Any]:
    return make_skill(code=code, mode="Service", replicas=replicas, **sandbox)


async def running(user: Client, **spec: Any) -> list[dict[str, Any]]:
    """Apply a Service and wait for its Pods."""
    await user.apply(make_service(**spec))
    await user.until_skill("demo", Ready="Ready", SandboxReady="Running")
    return await user.until_pods(spec.get("replicas", 1), ready=True)


async def until_replaced(user: Client, old: dict[str, Any]) -> dict[str, Any]:
    """Wait until one ready Pod stands that is another than the old one."""

    def good(pods: list[dict[str, Any]]) -> bool:
        return len(pods) == 1 and pods[0]["metadata"]["uid"] != old["metadata"]["uid"]

    await user.until(user.pods, good, f"another pod than {old['metadata']['name']}")
    [pod] = await user.until_pods(1, ready=True)
    return pod


def name_of(body: dict[str, Any]) -> str:
    return str(body["metadata"]["name"])


# -- the spec ------------------------------------------------------------------------------------------


async def test_a_service_stands_is_scaled_and_suspended(world: World, user: Client) -> None:
    world.index.wheel("greeter")
    body = make_service(replicas=2)
    body["spec"]["packages"]["python"] = ["greeter"]
    await user.apply(body)
    status = await user.until_skill("demo", Ready="Ready", SandboxReady="Running")
    assert condition(status, "SandboxReady")["message"] == "2 of 2 replica(s) ready."
    first = {name_of(pod) for pod in await user.until_pods(2, ready=True)}

    scale = await user.patch(Kind.SKILL, "demo", {"spec": {"replicas": 3}}, subresource="scale")
    assert scale["kind"] == "Scale"
    assert first < {name_of(pod) for pod in await user.until_pods(3, ready=True)}

    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"replicas": 1}}})
    [left] = await user.until_pods(1, ready=True)
    assert name_of(left) in first

    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"suspend": True}}})
    await user.until_pods(0)
    status = await user.until_skill("demo", Ready="Suspended", SandboxReady="Suspended", Compliant="Allowed")
    assert status["phase"] == "Suspended"
    assert len(await user.items(Kind.NETWORK_POLICY)) == 2
    assert any(name_of(item) != "default" for item in await user.items(Kind.SERVICE_ACCOUNT))

    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"suspend": False}}})
    await user.until_pods(1, ready=True)
    await user.until_skill("demo", Ready="Ready")


async def test_the_scale_subresource_shows_replicas_and_the_selector_of_the_pods(
    world: World, user: Client
) -> None:
    [pod] = await running(user)
    path = Kind.SKILL.path(namespace=user.namespace, name="demo", subresource="scale")
    scale = await user.patch(Kind.SKILL, "demo", {}, subresource="scale")
    assert path and scale["status"]["replicas"] == 1
    chosen = await user.gateway.list(
        Kind.POD, namespace=user.namespace, label_selector=scale["status"]["selector"]
    )
    assert [name_of(item) for item in chosen.items] == [name_of(pod)]


@pytest.mark.parametrize(
    ("sentence", "change"),
    [
        (
            "the code changes",
            {
                "source": {
                    "files": [{"path": "main.py", "content": "print('second', flush=True)\n" + SERVICE}]
                }
            },
        ),
        ("the environment changes", {"sandbox": {"env": [{"name": "LEVEL", "value": "debug"}]}}),
        ("the resources change", {"sandbox": {"resources": {"memory": "160Mi"}}}),
        ("the command changes", {"entrypoint": {"command": ["python", "main.py", "--again"]}}),
    ],
)
async def test_pods_are_replaced_when(
    sentence: str, change: dict[str, Any], world: World, user: Client
) -> None:
    [old] = await running(user)
    await user.patch(Kind.SKILL, "demo", {"spec": change})
    new = await until_replaced(user, old)
    assert new["spec"] != old["spec"]
    if "source" in change:
        await user.until_log(name_of(new), "second")
    await user.until_skill("demo", Ready="Ready")


# -- Pods that end -------------------------------------------------------------------------------------


async def test_a_deleted_pod_comes_back(world: World, user: Client) -> None:
    [old] = await running(user)
    await user.delete(Kind.POD, name_of(old))
    new = await until_replaced(user, old)
    assert name_of(new) == name_of(old)


async def test_a_skill_that_ends_again_and_again_is_crash_looping(world: World, user: Client) -> None:
    await user.apply(make_service(code="import sys; sys.exit(3)"))
    status = await user.until_skill("demo", SandboxReady="CrashLooping", Ready="CrashLooping")
    assert "exit code 3" in condition(status, "SandboxReady")["message"]


async def test_an_evicted_pod_is_deleted_and_made_again(world: World, user: Client) -> None:
    [old] = await running(user)
    evicted = {"status": {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}}
    await user.patch(Kind.POD, name_of(old), evicted, subresource="status")
    await until_replaced(user, old)


# -- whose Pods ----------------------------------------------------------------------------------------


async def test_deleting_a_skill_removes_everything(world: World, user: Client) -> None:
    await running(user, replicas=2)
    await user.delete(Kind.SKILL, "demo")
    await user.until_pods(0)

    async def left() -> list[str]:
        kinds = (Kind.NETWORK_POLICY, Kind.SERVICE_ACCOUNT)
        found = [name_of(item) for kind in kinds for item in await user.items(kind)]
        return [name for name in found if name != "default"]

    await user.until(left, lambda names: names == [], "nothing is left")


async def test_the_last_run_of_a_deleted_skill_takes_the_default_deny_along(
    world: World, user: Client
) -> None:
    await user.apply(make_skill("job", code=SERVICE), make_run("job-1", skill="job"))
    await user.until_run("job-1", "Running")
    await user.delete(Kind.SKILL, "job")
    await user.until_run("job-1", "Failed")
    await user.delete(Kind.SKILL_RUN, "job-1")
    await user.until(lambda: user.items(Kind.NETWORK_POLICY), lambda items: items == [], "no policy is left")


async def test_the_default_deny_stays_while_another_skill_does(world: World, user: Client) -> None:
    other = make_skill("other", code=SERVICE, mode="Service", replicas=1)
    await user.apply(other, make_service())
    await user.until_skill("demo", Ready="Ready")
    await user.until_skill("other", Ready="Ready")
    await user.delete(Kind.SKILL, "demo")
    await user.until_pods(1)
    await user.until(
        lambda: user.items(Kind.NETWORK_POLICY), lambda items: len(items) == 2, "the other's policies"
    )
    assert (await user.until_skill("other", Ready="Ready"))["phase"] == "Ready"


async def test_a_pod_that_a_cascade_left_behind_is_removed(world: World, user: Client) -> None:
    await running(user)
    await user.orphan(Kind.SKILL, "demo")
    await user.until_pods(0)


@pytest.mark.parametrize(
    ("sentence", "patch"),
    [
        ("a label was changed", {"metadata": {"labels": {LABEL_SKILL: "another"}}}),
        ("a label of ours was added", {"metadata": {"labels": {"skillwarden.io/extra": "1"}}}),
        ("its component label is gone", {"metadata": {"labels": {LABEL_COMPONENT: None}}}),
        (
            "every label and its owner are gone",
            {"metadata": {"labels": dict.fromkeys(LABELS), "ownerReferences": None}},
        ),
        (
            "its lock annotation was changed",
            {"metadata": {"annotations": {"skillwarden.io/lock-digest": "sha256:" + "0" * 64}}},
        ),
        ("its owner is gone", {"metadata": {"ownerReferences": None}}),
        ("its deadline was changed", {"spec": {"activeDeadlineSeconds": 600}}),
    ],
)
async def test_a_pod_is_removed_and_made_again_when(
    sentence: str, patch: dict[str, Any], world: World, user: Client
) -> None:
    [old] = await running(user)
    await user.patch(Kind.POD, name_of(old), patch)
    new = await until_replaced(user, old)
    assert new["metadata"]["labels"][LABEL_SKILL] == "demo"


async def test_a_pod_whose_image_was_changed_is_removed_and_made_again(world: World, user: Client) -> None:
    [old] = await running(user)
    containers = [{**item, "image": "elsewhere/miner:1"} for item in old["spec"]["containers"]]
    await user.patch(Kind.POD, name_of(old), {"spec": {"containers": containers}})
    new = await until_replaced(user, old)
    assert new["spec"]["containers"][0]["image"] == old["spec"]["containers"][0]["image"]


def forged(of: dict[str, Any], name: str, *, labels: bool, owner: bool) -> dict[str, Any]:
    """Return a Pod that a user makes, with what it takes from a sandbox."""
    meta: dict[str, Any] = {"name": name, "namespace": of["metadata"]["namespace"]}
    if labels:
        meta["labels"] = of["metadata"]["labels"]
        meta["annotations"] = of["metadata"]["annotations"]
    if owner:
        meta["ownerReferences"] = of["metadata"]["ownerReferences"]
    spec = {"containers": [{"name": "skill", "image": "elsewhere/miner:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


@pytest.mark.parametrize(("sentence", "owner"), [("the skill's own", True), ("nobody's", False)])
async def test_a_forged_pod_with_our_labels_is_removed_though_its_owner_is(
    sentence: str, owner: bool, world: World, user: Client
) -> None:
    [own] = await running(user)
    await user.gateway.create(Kind.POD, forged(own, "forged", labels=True, owner=owner))
    await user.until_gone(Kind.POD, "forged")
    [left] = await user.until_pods(1, ready=True)
    assert left["metadata"]["uid"] == own["metadata"]["uid"]


async def test_a_pod_of_somebody_elses_that_has_the_wanted_name_is_never_adopted(
    world: World, user: Client
) -> None:
    [own] = await running(user)
    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"suspend": True}}})
    await user.until_pods(0)
    foreign = await user.gateway.create(Kind.POD, forged(own, name_of(own), labels=False, owner=False))
    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"suspend": False}}})
    status = await user.until_skill("demo", SandboxReady="PodRefused", Ready="PodRefused")
    assert "exists already" in condition(status, "SandboxReady")["message"]
    standing = await user.get(Kind.POD, name_of(own))
    assert standing["metadata"]["uid"] == foreign["metadata"]["uid"]
    await user.delete(Kind.POD, name_of(own))
    await user.until_skill("demo", Ready="Ready")


async def test_labels_of_a_user_under_our_prefix_do_not_reach_the_pod(world: World, user: Client) -> None:
    body = make_service()
    body["metadata"]["labels"] = {
        "skillwarden.io/component": "depot",
        "skillwarden.io/mine": "1",
        "team": "a",
    }
    await user.apply(body)
    [pod] = await user.until_pods(1, ready=True)
    assert pod["metadata"]["labels"][LABEL_COMPONENT] == "sandbox"
    assert "skillwarden.io/mine" not in pod["metadata"]["labels"]
