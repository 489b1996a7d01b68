"""The gateway's verbs against an API server: the embedded one, or a real one with --kubeconfig."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_support import SPACE

from skillwarden.kube import errors
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind


def make_config_map(name: str = "a", *, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": SPACE, "labels": labels or {}}, "data": data}


async def test_created_objects_are_read_back(gateway: Gateway) -> None:
    made = await gateway.create(Kind.CONFIG_MAP, make_config_map(k="v"))
    assert made["metadata"]["uid"]
    found = await gateway.get(Kind.CONFIG_MAP, name="a", namespace=SPACE)
    assert found is not None
    assert found["data"] == {"k": "v"}
    assert found["kind"] == "ConfigMap"


async def test_a_dry_run_leaves_nothing(gateway: Gateway) -> None:
    await gateway.create(Kind.CONFIG_MAP, make_config_map(), dry_run=True)
    assert await gateway.get(Kind.CONFIG_MAP, name="a", namespace=SPACE) is None


async def test_a_second_create_says_that_it_exists(gateway: Gateway) -> None:
    await gateway.create(Kind.CONFIG_MAP, make_config_map())
    with pytest.raises(errors.AlreadyExists):
        await gateway.create(Kind.CONFIG_MAP, make_config_map())


async def test_an_absent_object_is_none(gateway: Gateway) -> None:
    assert await gateway.get(Kind.POD, name="nope", namespace=SPACE) is None
    assert await gateway.get(Kind.POD, name="nope", namespace="nowhere") is None
    assert await gateway.delete(Kind.POD, name="nope", namespace=SPACE) is False


@pytest.mark.embedded_only("a real cluster may serve our kinds")
async def test_an_absent_kind_is_an_error(gateway: Gateway) -> None:
    with pytest.raises(errors.KindMissing) as caught:
        await gateway.get(Kind.SKILL, name="nope", namespace=SPACE)
    assert "CRD" in caught.value.fix
    with pytest.raises(errors.KindMissing):
        await gateway.list(Kind.SKILL)
    with pytest.raises(errors.KindMissing):
        await gateway.delete(Kind.SKILL, name="nope", namespace=SPACE)


async def test_all_pages_of_a_list_are_read(gateway: Gateway, seen: list[tuple[str, str, int]]) -> None:
    for number in range(501):
        await gateway.create(
            Kind.CONFIG_MAP, make_config_map(f"c{number:03}", labels={"even": str(number % 2 == 0)})
        )
    seen.clear()
    listing = await gateway.list(Kind.CONFIG_MAP, namespace=SPACE, label_selector="even")
    assert len({item["metadata"]["name"] for item in listing.items}) == 501
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("v1", "ConfigMap")}
    # Who owns which field would be the larger part of what a list keeps in memory.
    assert not any("managedFields" in item["metadata"] for item in listing.items)
    assert int(listing.resource_version) > 0
    assert len(seen) == 2
    some = await gateway.list(
        Kind.CONFIG_MAP, label_selector="even=True", field_selector="metadata.name!=c000"
    )
    assert len(some.items) == 250


async def test_apply_makes_changes_and_needs_none_twice(gateway: Gateway) -> None:
    first = await gateway.apply(Kind.CONFIG_MAP, make_config_map(k="v"))
    again = await gateway.apply(Kind.CONFIG_MAP, make_config_map(k="v"))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    changed = await gateway.apply(Kind.CONFIG_MAP, make_config_map(k="w"))
    assert changed["data"] == {"k": "w"}
    assert {row["manager"] for row in changed["metadata"]["managedFields"]} == {"skillwarden"}


async def test_an_object_that_was_read_can_be_applied(gateway: Gateway) -> None:
    made = await gateway.apply(Kind.CONFIG_MAP, make_config_map(k="v"))
    assert "managedFields" in made["metadata"]
    changed = await gateway.apply(Kind.CONFIG_MAP, {**made, "data": {"k": "w"}})
    assert changed["data"] == {"k": "w"}


async def test_apply_at_an_old_version_conflicts(gateway: Gateway) -> None:
    made = await gateway.create(Kind.CONFIG_MAP, make_config_map(k="v"))
    await gateway.apply(Kind.CONFIG_MAP, make_config_map(k="w"))
    stale = make_config_map(k="x")
    stale["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    with pytest.raises(errors.Conflict):
        await gateway.apply(Kind.CONFIG_MAP, stale)


async def test_delete_means_the_object_that_was_seen(gateway: Gateway) -> None:
    made = await gateway.create(Kind.CONFIG_MAP, make_config_map())
    meta = made["metadata"]
    target = {"name": "a", "namespace": SPACE}
    with pytest.raises(errors.Conflict):
        await gateway.delete(Kind.CONFIG_MAP, **target, uid="another")
    with pytest.raises(errors.Conflict):
        await gateway.delete(Kind.CONFIG_MAP, **target, resource_version="1")
    seen = {"uid": meta["uid"], "resource_version": meta["resourceVersion"]}
    assert await gateway.delete(Kind.CONFIG_MAP, **target, **seen, grace_seconds=0) is True
    assert await gateway.delete(Kind.CONFIG_MAP, **target) is False


async def test_an_invalid_object_is_refused_with_the_field(gateway: Gateway) -> None:
    pod = {"metadata": {"name": "p", "namespace": SPACE}, "spec": {"containers": "none"}}
    with pytest.raises(errors.Invalid) as caught:
        await gateway.create(Kind.POD, pod)
    assert "containers" in caught.value.message


async def test_an_apply_that_fits_no_schema_is_refused_and_not_unavailable(gateway: Gateway) -> None:
    body = {"metadata": {"name": "a", "namespace": SPACE}, "data": {"k": 5}}
    with pytest.raises(errors.Invalid) as caught:
        await gateway.apply(Kind.CONFIG_MAP, body)
    assert ".data.k" in caught.value.message


async def test_a_watch_tells_of_one_object_only(gateway: Gateway) -> None:
    made = await gateway.create(Kind.CONFIG_MAP, make_config_map(k="v"))
    await gateway.create(Kind.CONFIG_MAP, make_config_map("b"))
    await gateway.apply(Kind.CONFIG_MAP, make_config_map(k="w"))
    await gateway.delete(Kind.CONFIG_MAP, name="a", namespace=SPACE)
    events = gateway.watch(
        Kind.CONFIG_MAP, namespace=SPACE, name="a", resource_version=made["metadata"]["resourceVersion"]
    )
    found = []
    async for type_, body in events:
        found.append((type_, body["metadata"]["name"]))
        if type_ == "DELETED":
            break
    assert found == [("MODIFIED", "a"), ("DELETED", "a")]


@pytest.mark.parametrize(
    "call",
    [
        lambda gateway: gateway.get(Kind.POD, name="p"),
        lambda gateway: gateway.get(Kind.POD, name="", namespace=SPACE),
        lambda gateway: gateway.delete(Kind.POD, name="..", namespace=SPACE),
        lambda gateway: gateway.get(Kind.NAMESPACE, name="n", namespace=SPACE),
        lambda gateway: gateway.create(Kind.POD, {"metadata": {"name": "p"}}),
    ],
    ids=["no namespace", "no name", "dots", "a namespace too many", "no namespace in the body"],
)
async def test_a_path_that_means_something_else_is_never_asked(
    gateway: Gateway, seen: list[tuple[str, str, int]], call: Any
) -> None:
    with pytest.raises(ValueError, match="n"):
        await call(gateway)
    assert not seen


def test_a_name_cannot_leave_its_place() -> None:
    path = Kind.POD.path(namespace="n", name="../../secrets?x=1#y")
    assert path == "/api/v1/namespaces/n/pods/..%2F..%2Fsecrets%3Fx%3D1%23y"
