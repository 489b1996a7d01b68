"""What deleted skills left is removed; what is nobody's child, or another's, is never touched."""

from __future__ import annotations

from typing import Any

import pytest

from skillwarden.builders.canary import POLICY_NAME, canary_policy
from skillwarden.builders.metadata import Owner
from skillwarden.builders.network_policy import DepotEndpoint, build_default_deny, build_network_policy
from skillwarden.builders.service_account import build_service_account
from skillwarden.domain.skill import SkillKey
from skillwarden.kube.errors import Conflict
from skillwarden.kube.kinds import Kind
from skillwarden.services.execute import Executor
from skillwarden.services.observe import network_policy_record
from skillwarden.services.ports import Body
from skillwarden.services.records import skill_record
from skillwarden.services.store import Store

KEY = SkillKey("team", "demo", "u-1")
OWNER = Owner(api_version="skillwarden.io/v1alpha1", kind="Skill", name="demo", namespace="team", uid="u-1")
DEPOT = DepotEndpoint(host="10.0.0.1", port=80, in_cluster=False, cidr="10.0.0.1/32")
NOTHING: Any = None


def policy_of(key: SkillKey) -> Body:
    """A skill's NetworkPolicy, of which a cascade took the owner away."""
    return orphaned(build_network_policy(key, owner=OWNER, depot=DEPOT))


def account_of(key: SkillKey) -> Body:
    return orphaned(build_service_account(key, owner=OWNER))


def orphaned(body: Body) -> Body:
    del body["metadata"]["ownerReferences"]
    return body


class Place:
    """A namespace on an API server, and the store of an operator that watches it."""

    def __init__(self, *bodies: Body) -> None:
        self.objects: dict[tuple[str, str], Body] = {}
        self.store = Store()
        cluster: Any = self
        self.executor = Executor(
            cluster=cluster, store=self.store, children=NOTHING, setup=NOTHING, audit=NOTHING
        )
        for number, body in enumerate(bodies):
            meta = body["metadata"]
            meta["uid"] = f"uid-{number}"
            self.objects[body["kind"], meta["name"]] = body
            if body["kind"] == "NetworkPolicy":
                self.store.network_policies.put(("team", meta["name"]), network_policy_record(body))

    async def get(self, kind: Kind, *, name: str, **_: Any) -> Body | None:
        return self.objects.get((kind.kind, name))

    async def delete(self, kind: Kind, *, name: str, uid: str = "", **_: Any) -> bool:
        found = self.objects.get((kind.kind, name))
        if found is not None and uid not in {"", found["metadata"]["uid"]}:
            raise Conflict(409, "Conflict", "it is another one by now")
        return self.objects.pop((kind.kind, name), None) is not None

    async def tidied(self) -> set[tuple[str, str]]:
        """Have it tidied; return kind and name of what is left."""
        await self.executor.tidy("team")
        return set(self.objects)


def plain_account(name: str) -> Body:
    return {"kind": "ServiceAccount", "metadata": {"name": name, "namespace": "team"}}


async def test_what_a_deleted_skill_left_is_removed() -> None:
    place = Place(policy_of(KEY), account_of(KEY), build_default_deny("team"))
    assert await place.tidied() == set()


async def test_the_policy_of_the_canaries_stays() -> None:
    place = Place(canary_policy("team", owner="operator-0/p-1"))
    assert await place.tidied() == {("NetworkPolicy", POLICY_NAME)}


@pytest.mark.parametrize("labels", [{}, policy_of(KEY)["metadata"]["labels"]], ids=["ours", "a skill's"])
async def test_a_policy_that_somebody_named_after_an_account_does_not_take_it_along(
    labels: dict[str, str],
) -> None:
    policy = canary_policy("team")
    policy["metadata"]["name"] = "builder"
    policy["metadata"]["labels"] |= labels
    place = Place(policy, plain_account("builder"))
    assert ("ServiceAccount", "builder") in await place.tidied()


async def test_another_account_of_ours_is_not_taken_along() -> None:
    account = account_of(SkillKey("team", "demo", "u-2"))
    account["metadata"]["name"] = policy_of(KEY)["metadata"]["name"]
    place = Place(policy_of(KEY), account)
    assert ("ServiceAccount", account["metadata"]["name"]) in await place.tidied()


async def test_what_a_skill_that_stands_needs_stays_though_it_lost_its_owner() -> None:
    place = Place(policy_of(KEY), account_of(KEY))
    body = {"metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": KEY.uid}}
    skill = skill_record(body, name_findings=lambda _: (), source_findings=lambda _: ())
    place.store.skills.put((KEY.namespace, KEY.name), skill)
    assert len(await place.tidied()) == 2


async def test_a_successor_of_the_same_name_is_not_deleted_in_its_place() -> None:
    place = Place(policy_of(KEY))
    [body] = place.objects.values()
    body["metadata"]["uid"] = "another"
    with pytest.raises(Conflict):
        await place.tidied()
    assert len(place.objects) == 1
