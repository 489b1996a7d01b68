"""Creating, changing and deleting objects: identities, versions, isolation, finalizers, ownership."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from apiserver_support import (
    API,
    CONFIG_MAPS,
    CRDS,
    GADGETS,
    GROUP,
    JSON_PATCH,
    MERGE,
    NAMESPACES,
    PODS,
    SECRETS,
    SPACE,
    STRATEGIC,
    Client,
    fresh_name,
    make_config_map,
    make_gadget,
    make_secret,
    owned_by,
    until,
)


def meta_of(body: dict[str, Any]) -> dict[str, Any]:
    return dict(body["metadata"])


async def test_a_new_object_gets_its_identity(gadgets: Client) -> None:
    first = meta_of(await gadgets.made(GADGETS, make_gadget("one")))
    second = meta_of(await gadgets.made(GADGETS, make_gadget("two")))
    assert first["uid"] != second["uid"]
    assert int(second["resourceVersion"]) > int(first["resourceVersion"])
    assert first["generation"] == 1
    assert first["creationTimestamp"].endswith("Z")
    listed = (await gadgets.get(GADGETS)).body
    assert (listed["kind"], listed["apiVersion"]) == ("GadgetList", API)
    assert listed["metadata"]["resourceVersion"] == second["resourceVersion"]


async def test_a_client_cannot_choose_what_the_server_sets(gadgets: Client) -> None:
    forged = {"uid": "mine", "generation": 7, "creationTimestamp": "2000-01-01T00:00:00Z"}
    body = {**make_gadget(meta=forged), "status": {"phase": "Forged"}}
    made = await gadgets.made(GADGETS, body)
    assert meta_of(made)["uid"] != "mine"
    assert meta_of(made)["generation"] == 1
    assert not meta_of(made)["creationTimestamp"].startswith("2000")
    assert "status" not in made


async def test_generate_name(api: Client) -> None:
    made = [await api.made(SECRETS, {"metadata": {"generateName": "cm-"}}) for _ in range(3)]
    names = {meta_of(item)["name"] for item in made}
    assert len(names) == 3
    assert all(name.startswith("cm-") and len(name) == 8 for name in names)


async def test_errors_are_statuses(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())
    again = await gadgets.post(GADGETS, make_gadget())
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")
    assert again.body["details"] == {"name": "one", "group": GROUP, "kind": "gadgets"}
    missing = await gadgets.get(f"{GADGETS}/two")
    assert (missing.status, missing.body["reason"]) == (404, "NotFound")
    assert missing.message == f'gadgets.{GROUP} "two" not found'
    nowhere = await gadgets.post("/api/v1/namespaces/none/configmaps", make_config_map())
    assert (nowhere.status, nowhere.message) == (404, 'namespaces "none" not found')


@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        (b"{nope", 400, "json"),
        (b"[]", 400, "unrecognized (must be of type ConfigMap)"),
        (b'{"metadata": []}', 400, "metadata"),
        (
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}},
            400,
            "cannot be handled as a ConfigMap",
        ),
        ({"metadata": {"name": "A_b"}}, 422, "metadata.name"),
        ({"metadata": {}}, 422, "name or generateName is required"),
        ({"metadata": {"name": "a", "namespace": "other"}}, 400, "does not match the namespace"),
        ({"metadata": {"name": "a", "labels": {"a b": "c"}}}, 422, "metadata.labels"),
        ({"metadata": {"name": "a", "labels": {"a": "$"}}}, 422, "metadata.labels"),
        ({"metadata": {"name": "a", "resourceVersion": "5"}}, 500, "resourceVersion"),
        ({"metadata": {"name": "a"}, "data": {"k": 5}}, 400, "cannot be handled as a ConfigMap"),
    ],
)
async def test_bad_bodies(api: Client, body: Any, status: int, complaint: str) -> None:
    answer = await api.post(CONFIG_MAPS, body)
    assert (answer.status, answer.body["kind"]) == (status, "Status")
    assert complaint.lower() in answer.message.lower()
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 404


async def test_media_types_that_are_not_spoken(api: Client) -> None:
    unspoken = "text/html"
    assert (await api.ask("POST", CONFIG_MAPS, b"x", Content_Type="text/csv")).status == 415
    assert (await api.get(CONFIG_MAPS, Accept=unspoken)).status == 406
    assert (await api.get(CONFIG_MAPS, Accept=f"{unspoken},application/json")).status == 200
    await api.made(CONFIG_MAPS, make_config_map())
    assert (await api.patch(f"{CONFIG_MAPS}/one", {}, "application/json")).status == 415


async def test_yaml_bodies_are_read_with_times_as_text(api: Client) -> None:
    text = b"metadata: {name: one}\ndata: {when: '2026-01-01T00:00:00Z', day: 2026-01-01, y: a, 'n': b}\n"
    answer = await api.ask("POST", CONFIG_MAPS, text, Content_Type="application/yaml")
    assert answer.body["data"] == {"when": "2026-01-01T00:00:00Z", "day": "2026-01-01", "true": "a", "n": "b"}


async def test_an_update_from_a_stale_version_is_a_conflict(gadgets: Client) -> None:
    made = await gadgets.made(GADGETS, make_gadget())
    await gadgets.patch(f"{GADGETS}/one", {"spec": {"replicas": 2}})
    stale = await gadgets.put(f"{GADGETS}/one", made)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in stale.message
    patched = await gadgets.patch(
        f"{GADGETS}/one", {"metadata": {"resourceVersion": meta_of(made)["resourceVersion"]}}
    )
    assert patched.status == 409


async def test_a_custom_resource_is_put_only_with_its_version(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())
    answer = await gadgets.put(f"{GADGETS}/one", make_gadget(mode="Service"))
    assert (answer.status, "must be specified for an update" in answer.message) == (422, True)


async def test_an_update_meant_for_another_object_is_refused(gadgets: Client) -> None:
    made = await gadgets.made(GADGETS, make_gadget())
    other = {**made, "metadata": {**made["metadata"], "uid": "other"}}
    assert (await gadgets.put(f"{GADGETS}/one", other)).status == 409
    assert (await gadgets.patch(f"{GADGETS}/one", {"metadata": {"uid": "other"}})).status == 422


async def test_the_generation_counts_changes_of_the_spec_only(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())

    async def generation(path: str, patch: dict[str, Any]) -> int:
        return int(meta_of((await gadgets.patch(f"{GADGETS}/{path}", patch)).body)["generation"])

    assert await generation("one", {"metadata": {"labels": {"a": "b"}}}) == 1
    assert await generation("one/status", {"status": {"phase": "Up"}}) == 1
    assert await generation("one", {"spec": {"replicas": 5}}) == 2


async def test_a_write_that_changes_nothing_makes_no_version(gadgets: Client) -> None:
    made = await gadgets.made(GADGETS, make_gadget(tags=["a"]))
    same = await gadgets.patch(f"{GADGETS}/one", {"spec": {"tags": ["a"]}})
    assert same.body == made
    assert (await gadgets.put(f"{GADGETS}/one", made)).body == made
    assert (await gadgets.patch(f"{GADGETS}/one", [], JSON_PATCH)).body == made


async def test_spec_and_status_are_written_apart(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())
    both = {"spec": {"replicas": 5}, "status": {"phase": "Up"}, "metadata": {"labels": {"a": "b"}}}
    by_status = (await gadgets.patch(f"{GADGETS}/one/status", both)).body
    assert (by_status["spec"]["replicas"], by_status["status"]) == (1, {"phase": "Up"})
    assert "labels" not in by_status["metadata"]
    other = {"spec": {"replicas": 6}, "status": {"phase": "Down"}}
    by_main = (await gadgets.patch(f"{GADGETS}/one", other)).body
    assert (by_main["spec"]["replicas"], by_main["status"]) == (6, {"phase": "Up"})


async def test_a_dry_run_answers_but_stores_nothing(gadgets: Client) -> None:
    answer = await gadgets.post(f"{GADGETS}?dryRun=All", make_gadget())
    assert (answer.status, answer.body["spec"]["replicas"]) == (201, 1)
    assert (await gadgets.get(f"{GADGETS}/one")).status == 404
    made = await gadgets.made(GADGETS, make_gadget())
    changed = await gadgets.patch(f"{GADGETS}/one?dryRun=All", {"spec": {"replicas": 3}})
    assert changed.body["spec"]["replicas"] == 3
    assert (await gadgets.delete(f"{GADGETS}/one?dryRun=All")).status == 200
    assert (await gadgets.get(f"{GADGETS}/one")).body == made
    assert (await gadgets.post(f"{GADGETS}?dryRun=Some", make_gadget("two"))).status == 422


async def test_strict_warn_and_ignore(gadgets: Client) -> None:
    body = make_gadget(oops=1)
    strict = await gadgets.post(f"{GADGETS}?fieldValidation=Strict", body)
    assert strict.status == 400
    assert 'strict decoding error: unknown field "spec.oops"' in strict.message
    warned = await gadgets.post(f"{GADGETS}?fieldValidation=Warn", body)
    assert warned.status == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.oops\\""'
    assert "oops" not in warned.body["spec"]
    ignored = await gadgets.post(f"{GADGETS}?fieldValidation=Ignore", make_gadget("two", oops=1))
    assert ignored.status == 201
    assert "Warning" not in ignored.headers


async def test_a_repeated_field_is_told_from_a_single_one(api: Client) -> None:
    text = b'{"metadata": {"name": "one"}, "data": {"k": "1", "k": "2"}}'
    strict = await api.post(f"{CONFIG_MAPS}?fieldValidation=Strict", text)
    assert strict.status == 400
    assert 'duplicate field "data.k"' in strict.message
    assert (
        'duplicate field "data.k"'.replace('"', '\\"')
        in (await api.post(CONFIG_MAPS, text)).headers["Warning"]
    )


async def test_finalizers_hold_an_object_back(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget(meta={"finalizers": ["example.io/hold"]}))
    marked = await gadgets.delete(f"{GADGETS}/one")
    assert "deletionTimestamp" in marked.body["metadata"]
    assert marked.body["metadata"]["generation"] == 2
    more = {"metadata": {"finalizers": ["example.io/hold", "example.io/more"]}}
    assert (await gadgets.patch(f"{GADGETS}/one", more)).status == 422
    undeleted = await gadgets.patch(f"{GADGETS}/one", {"metadata": {"deletionTimestamp": None}})
    assert "deletionTimestamp" in undeleted.body["metadata"]
    assert (await gadgets.patch(f"{GADGETS}/one", {"metadata": {"finalizers": None}})).status == 200
    assert (await gadgets.get(f"{GADGETS}/one")).status == 404


async def test_preconditions_of_a_deletion(api: Client) -> None:
    made = meta_of(await api.made(CONFIG_MAPS, make_config_map()))
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        assert (await api.delete(f"{CONFIG_MAPS}/one", {"preconditions": wrong})).status == 409
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    gone = await api.delete(f"{CONFIG_MAPS}/one", {"preconditions": right})
    assert (gone.status, gone.body["status"]) == (200, "Success")
    assert (await api.delete(f"{CONFIG_MAPS}/one")).status == 404


async def test_a_collection_is_deleted_by_selector(api: Client) -> None:
    for name, tier in (("one", "a"), ("two", "b"), ("three", "b")):
        await api.made(SECRETS, make_secret(name, meta={"labels": {"tier": tier}}))
    await api.delete(f"{SECRETS}?labelSelector=tier%3Db")
    left = (await api.get(SECRETS)).body["items"]
    assert [item["metadata"]["name"] for item in left] == ["one"]
    assert (await api.delete("/api/v1/secrets")).status == 405


async def test_children_go_after_their_owner(gadgets: Client) -> None:
    owner = await gadgets.made(GADGETS, make_gadget())
    await gadgets.made(CONFIG_MAPS, make_config_map("child", meta=owned_by(owner)))
    child = (await gadgets.get(f"{CONFIG_MAPS}/child")).body
    await gadgets.made(CONFIG_MAPS, make_config_map("grandchild", meta=owned_by(child)))
    await gadgets.delete(f"{GADGETS}/one")
    await gadgets.gone(f"{CONFIG_MAPS}/child")
    await gadgets.gone(f"{CONFIG_MAPS}/grandchild")


async def test_a_child_of_an_owner_that_never_was_goes(gadgets: Client) -> None:
    owner = await gadgets.made(GADGETS, make_gadget())
    owner["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    await gadgets.post(CONFIG_MAPS, make_config_map("child", meta=owned_by(owner)))
    await gadgets.gone(f"{CONFIG_MAPS}/child")


async def test_a_child_of_an_unknown_kind_stays(gadgets: Client) -> None:
    stranger = {"apiVersion": "x.io/v1", "kind": "X", "metadata": {"name": "x", "uid": "u"}}
    await gadgets.made(CONFIG_MAPS, make_config_map("stays", meta=owned_by(stranger)))
    owner = await gadgets.made(GADGETS, make_gadget())
    await gadgets.made(CONFIG_MAPS, make_config_map("goes", meta=owned_by(owner)))
    await gadgets.delete(f"{GADGETS}/one")
    await gadgets.gone(f"{CONFIG_MAPS}/goes")
    assert (await gadgets.get(f"{CONFIG_MAPS}/stays")).status == 200


async def test_a_child_of_two_owners_outlives_one(gadgets: Client) -> None:
    first = await gadgets.made(GADGETS, make_gadget("one"))
    second = await gadgets.made(GADGETS, make_gadget("two"))
    both = [*owned_by(first)["ownerReferences"], *owned_by(second)["ownerReferences"]]
    await gadgets.made(CONFIG_MAPS, make_config_map("child", meta={"ownerReferences": both}))
    await gadgets.delete(f"{GADGETS}/one")

    async def disowned() -> bool:
        found = (await gadgets.get(f"{CONFIG_MAPS}/child")).body["metadata"]["ownerReferences"]
        return [item["name"] for item in found] == ["two"]

    await until(disowned, "the dead owner is still named")


async def test_foreground_deletion_waits_for_children_that_block(gadgets: Client) -> None:
    owner = await gadgets.made(GADGETS, make_gadget())
    held = {**owned_by(owner, blockOwnerDeletion=True), "finalizers": ["example.io/hold"]}
    await gadgets.made(CONFIG_MAPS, make_config_map("child", meta=held))
    marked = await gadgets.delete(f"{GADGETS}/one", {"propagationPolicy": "Foreground"})
    assert "foregroundDeletion" in marked.body["metadata"]["finalizers"]

    async def child_marked() -> bool:
        found = await gadgets.get(f"{CONFIG_MAPS}/child")
        return "deletionTimestamp" in found.body["metadata"]

    await until(child_marked, "the child is not being deleted")
    assert (await gadgets.get(f"{GADGETS}/one")).status == 200
    await gadgets.patch(f"{CONFIG_MAPS}/child", {"metadata": {"finalizers": None}})
    await gadgets.gone(f"{GADGETS}/one")


async def test_a_namespace_waits_for_what_it_holds(gadgets: Client) -> None:
    team = fresh_name("team")
    await gadgets.made(NAMESPACES, {"metadata": {"name": team}})
    space = f"{NAMESPACES}/{team}/configmaps"
    await gadgets.made(space, make_config_map(meta={"finalizers": ["example.io/hold"]}))
    marked = await gadgets.delete(f"{NAMESPACES}/{team}")
    assert marked.body["status"]["phase"] == "Terminating"
    late = await gadgets.post(space, make_config_map("late"))
    assert (late.status, late.body["reason"]) == (403, "Forbidden")
    assert "is being terminated" in late.message
    await gadgets.patch(f"{space}/one", {"metadata": {"finalizers": None}})
    await gadgets.gone(f"{NAMESPACES}/{team}")


async def test_a_namespace_has_a_default_account_and_keeps_it(api: Client) -> None:
    team = fresh_name("team")
    await api.made(NAMESPACES, {"metadata": {"name": team}})
    account = f"{NAMESPACES}/{team}/serviceaccounts/default"

    async def there() -> bool:
        return (await api.get(account)).status == 200

    await until(there, "there is no default account")
    old = (await api.get(account)).body["metadata"]["uid"]
    await api.delete(account)

    async def anew() -> bool:
        found = await api.get(account)
        return found.status == 200 and found.body["metadata"]["uid"] != old

    await until(anew, "the default account does not come back")
    names = {item["metadata"]["name"] for item in (await api.get(NAMESPACES)).body["items"]}
    assert {"default", "kube-system", team} <= names


async def test_lists_come_in_pages_of_one_moment(api: Client) -> None:
    for index in range(5):
        await api.made(SECRETS, make_secret(f"cm-{index}"))
    first = (await api.get(f"{SECRETS}?limit=2")).body
    await api.delete(f"{SECRETS}/cm-3")
    names, page = [], first
    while True:
        names += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        token = page["metadata"].get("continue")
        if not token:
            break
        page = (await api.get(f"{SECRETS}?limit=2&continue={token}")).body
    assert names == [f"cm-{index}" for index in range(5)]
    assert first["metadata"]["remainingItemCount"] == 3
    assert (await api.get(f"{SECRETS}?limit=2&continue=nonsense")).status == 400


async def test_the_scale_of_an_object(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget(replicas=2))
    await gadgets.patch(f"{GADGETS}/one/status", {"status": {"replicas": 1, "selector": "app=one"}})
    scale = (await gadgets.get(f"{GADGETS}/one/scale")).body
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 1, "selector": "app=one"}
    scale["spec"]["replicas"] = 5
    assert (await gadgets.put(f"{GADGETS}/one/scale", scale)).body["spec"]["replicas"] == 5
    assert (await gadgets.put(f"{GADGETS}/one/scale", scale)).status == 409
    patched = await gadgets.patch(f"{GADGETS}/one/scale", {"spec": {"replicas": 6}})
    assert patched.body["spec"]["replicas"] == 6
    assert (await gadgets.patch(f"{GADGETS}/one/scale", {"spec": {"replicas": -1}})).status == 422
    meant = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "one"}}
    applied = await gadgets.apply(f"{GADGETS}/one/scale", {**meant, "spec": {"replicas": 7}}, force=True)
    # No real server can apply the scale of a custom resource.
    assert (applied.status, "failed to convert new object" in applied.message) == (500, True)
    assert (await gadgets.get(f"{GADGETS}/one")).body["spec"]["replicas"] == 6


async def test_immutable_fields_by_rule_and_by_kind(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget(owner="a"))
    refused = await gadgets.patch(f"{GADGETS}/one", {"spec": {"owner": "b"}})
    assert (refused.status, "owner is immutable" in refused.message) == (422, True)
    assert (await gadgets.patch(f"{GADGETS}/one", {"spec": {"replicas": 3}})).status == 200
    await gadgets.made(CONFIG_MAPS, {**make_config_map(k="v"), "immutable": True})
    assert (await gadgets.patch(f"{CONFIG_MAPS}/one", {"data": {"k": "w"}})).status == 422


async def test_a_definition_can_change_while_it_serves(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())
    path = f"{CRDS}/gadgets.{GROUP}"
    crd = (await gadgets.get(path)).body
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["colour"] = {"type": "string", "default": "red"}
    assert (await gadgets.put(path, crd)).status == 200

    async def defaulted() -> bool:
        made = await gadgets.post(f"{GADGETS}?dryRun=All", make_gadget("two"))
        return bool(made.body["spec"].get("colour") == "red")

    await until(defaulted, "the new field gets no default")
    touched = await gadgets.patch(f"{GADGETS}/one", {"metadata": {"labels": {"a": "b"}}})
    assert touched.body["spec"]["colour"] == "red"
    # Nobody has asked for anything else than before.
    assert touched.body["metadata"]["generation"] == 1
    assert (await gadgets.patch(path, {"spec": {"scope": "Cluster"}})).status == 422


@pytest.mark.parametrize("kind", [MERGE, JSON_PATCH, STRATEGIC])
async def test_patches_that_fit_no_object(api: Client, kind: str) -> None:
    await api.made(CONFIG_MAPS, make_config_map())
    wrong: Any = {"a": 1} if kind == JSON_PATCH else []
    assert (await api.patch(f"{CONFIG_MAPS}/one", wrong, kind)).status == 400
    renamed: Any = {"metadata": {"name": "two"}}
    if kind == JSON_PATCH:
        renamed = [{"op": "replace", "path": "/metadata/name", "value": "two"}]
    assert (await api.patch(f"{CONFIG_MAPS}/one", renamed, kind)).status == 400


async def test_both_groups_of_events_are_one_collection(api: Client) -> None:
    new = f"/apis/events.k8s.io/v1/namespaces/{SPACE}/events"
    old = f"/api/v1/namespaces/{SPACE}/events"
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "one"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": SPACE},
        "note": "hello",
        "reason": "Said",
        "type": "Normal",
        "action": "Saying",
        "reportingController": "tests",
        "reportingInstance": "tests-1",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }
    made = await api.made(new, body)
    assert (made["apiVersion"], made["note"], made["regarding"]["name"]) == ("events.k8s.io/v1", "hello", "p")
    core = (await api.get(f"{old}/one")).body
    assert (core["apiVersion"], core["message"], core["involvedObject"]["name"]) == ("v1", "hello", "p")
    assert core["reportingComponent"] == "tests"
    selected = (await api.get(f"{old}?fieldSelector=involvedObject.name%3Dp")).body["items"]
    assert len(selected) == 1
    assert (await api.get(new)).body["items"][0]["note"] == "hello"


async def test_many_writers_lose_no_update(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget(replicas=0))

    async def add_one() -> None:
        while True:
            found = (await gadgets.get(f"{GADGETS}/one")).body
            found["spec"]["replicas"] += 1
            answer = await gadgets.put(f"{GADGETS}/one", found)
            if answer.status == 200:
                return
            assert answer.status == 409

    await asyncio.gather(*(add_one() for _ in range(20)))
    assert (await gadgets.get(f"{GADGETS}/one")).body["spec"]["replicas"] == 20


async def test_paths_that_serve_nothing(api: Client) -> None:
    assert (await api.get("/api/v1/nothings")).body["reason"] == "NotFound"
    assert (await api.get("/apis/nothing.io/v1/things")).status == 404
    assert (await api.get(f"{PODS}/one/nothing")).status == 404
    assert (await api.ask("PUT", CONFIG_MAPS, {})).status == 405
    assert (await api.post("/api/v1/configmaps", make_config_map())).status == 405
