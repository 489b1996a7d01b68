"""Hostile objects against a running operator: refused by the API, or a condition, and nobody else suffers."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from operator_world import SERVICE, Client, World, condition, make_agent, make_policy, make_run, make_skill

from skillwarden.api.v1alpha1.common import DNS_SUBDOMAIN
from skillwarden.kube.errors import ApiError, Invalid
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

_NUMBERS = itertools.count(1)
LONG = "a-skill-whose-name-is-longer-than-any-label-may-be-and-then-some"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    world.start()
    world.advisories()
    world.index.wheel("greeter")
    world.run(world.start_operator())
    yield world
    world.stop()


@pytest.fixture
async def user(world: World) -> AsyncIterator[Client]:
    gateway = await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="user")
    namespace = f"team-{next(_NUMBERS)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await gateway.create(Kind.NAMESPACE, body)
    client = Client(gateway, namespace)
    await client.apply(make_agent("autonomous", "Autonomous"), make_policy())
    yield client
    await gateway.delete(Kind.NAMESPACE, name=namespace)
    await gateway.close()


def make_service(name: str = "demo", **fields: Any) -> dict[str, Any]:
    return make_skill(name, code=SERVICE, mode="Service", **{"replicas": 1, **fields})


def make_files(sizes: list[int]) -> list[dict[str, str]]:
    return [{"path": f"f{number}.py", "content": "#" * size} for number, size in enumerate(sizes)]


async def test_the_operator_goes_on_after_what_the_api_refuses(world: World, user: Client) -> None:
    huge = make_skill("huge")
    huge["spec"]["source"]["files"] = make_files([150_000] * 11)
    wide = make_skill("wide", packages=[f"p-{number}" for number in range(5000)])
    nul = make_skill("nul")
    nul["spec"]["entrypoint"]["command"] = ["python", "a\x00b"]
    for body in (wide, nul):
        with pytest.raises(ApiError):
            await user.apply(body)
    # A store of 1.5 MiB an object refuses it; where there is room, it is a condition.
    try:
        await user.apply(huge)
    except ApiError:
        pass
    else:
        await user.until_skill("huge", Ready="InvalidSource")
    await user.apply(make_skill())
    await user.until_skill("demo", Ready="Ready")


async def test_a_file_map_of_900_kib_is_a_condition_and_nothing_of_it_is_kept(
    world: World, user: Client
) -> None:
    body = make_service()
    body["spec"]["source"]["files"] = make_files([184_000] * 5)
    await user.apply(body)
    status = await user.until_skill("demo", Accepted="InvalidSource", Ready="InvalidSource")
    message = condition(status, "Accepted")["message"]
    assert "196608" in message
    assert len(message) <= 1024
    assert await user.pods() == []


async def test_two_skills_whose_long_names_begin_alike_share_nothing(world: World, user: Client) -> None:
    names = [f"{LONG}-{end}" for end in ("one", "two")]
    assert names[0][:63] == names[1][:63]
    await user.apply(*(make_service(name) for name in names))
    for name in names:
        await user.until_skill(name, Ready="Ready")
    pods = await user.until_pods(2, ready=True)
    assert len({pod["metadata"]["labels"]["skillwarden.io/skill"] for pod in pods}) == 2
    for kind in (Kind.POD, Kind.SERVICE_ACCOUNT, Kind.NETWORK_POLICY):
        owned = [item for item in await user.items(kind) if item["metadata"].get("ownerReferences")]
        assert {item["metadata"]["ownerReferences"][0]["name"] for item in owned} == set(names), kind
    # One goes, and the other stays.
    await user.delete(Kind.SKILL, names[0])
    [left] = await user.until_pods(1)
    assert left["metadata"]["ownerReferences"][0]["name"] == names[1]


@pytest.mark.parametrize("end", ["-", "."], ids=["a dash", "a dot"])
async def test_the_verdict_is_told_of_a_skill_whose_name_is_cut_at(
    end: str, world: World, user: Client
) -> None:
    name = "n" * 199 + end + "n" * 40
    await user.apply(make_skill(name))
    await user.until_skill(name, Ready="Ready")
    [event] = await user.until(lambda: user.events(name), bool, "the Event of the verdict")
    # A real API server takes no Event whose name has a part that ends in a dash, or is empty.
    assert re.fullmatch(DNS_SUBDOMAIN, event["metadata"]["name"])


async def test_labels_annotations_and_owners_that_a_user_sets_on_a_skill_mean_nothing(
    world: World, user: Client
) -> None:
    await user.apply(make_service("victim"))
    await user.until_skill("victim", Ready="Ready")
    [pod] = await user.until_pods(1, ready=True)
    meta = pod["metadata"]
    # A Skill that wears everything that tells the victim's Pod, and says that it is the Pod's child.
    evil = make_skill("evil", packages=["-e ."])
    evil["metadata"]["labels"] = {
        name: value for name, value in meta["labels"].items() if name.startswith("skillwarden.io/")
    }
    evil["metadata"]["annotations"] = {"skillwarden.io/verdict": "Allowed", **meta["annotations"]}
    evil["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    ]
    await user.apply(evil)
    await user.until_skill("evil", Ready="InvalidPackage")
    [still] = await user.until_pods(1, ready=True)
    assert still["metadata"]["uid"] == meta["uid"]
    # It goes when the Pod goes, as its owner asked; the victim gets another.
    await user.delete(Kind.POD, meta["name"])
    await user.until_gone(Kind.SKILL, "evil")
    [other] = await user.until_pods(1, ready=True)
    assert other["metadata"]["uid"] != meta["uid"]


async def test_look_alikes_and_direction_marks_never_reach_a_status(world: World, user: Client) -> None:
    texts = ["p\u0430ndas", "greeter\u202e", "gr\u200deeter", "\uff47reeter"]
    for number, text in enumerate(texts):
        name = f"evil-{number}"
        try:
            await user.apply(make_skill(name, packages=[text]))
        except Invalid:
            continue
        status = await user.until_skill(name, Ready="InvalidPackage")
        said = " ".join(item["message"] for item in status["conditions"])
        assert text not in said
        assert all(char.isascii() or char in "…" for char in said), said
    assert world.index.asked.count("/simple/pandas/") == 0


async def test_an_input_and_an_output_of_any_characters_come_through_whole(
    world: World, user: Client
) -> None:
    text = '{"a": "\\u0000 \u202e \u0430 \U0001f600"}'
    code = (
        "import pathlib\n"
        "data = pathlib.Path('/skill/input.json').read_bytes()\n"
        f"assert data == {text.encode()!r}, data\n"
        "print('whole')\n"
    )
    await user.apply(make_skill(code=code), make_run(input=text))
    status = await user.until_run("demo-1", "Succeeded")
    assert "whole" in status["logTail"]


async def test_the_largest_policy_judges(world: World, user: Client) -> None:
    stars = "a*" * 100
    rules = [
        {
            "name": f"r{number}",
            "match": {"ecosystem": "PyPI", "names": [f"{stars}{number}"]},
            "action": "Deny",
        }
        for number in range(1000)
    ]
    await user.apply(make_policy("large", rules=rules))
    await user.apply(make_service(packages=["greeter"]))
    status = await user.until_skill("demo", Compliant="Allowed")
    assert status["verdict"] == "Allowed"
    too_many = make_policy("larger", rules=[{**rules[0], "name": f"x{number}"} for number in range(10_000)])
    with pytest.raises(ApiError):
        await user.apply(too_many)
