"""Server-side apply and field ownership."""

from __future__ import annotations

import json
from typing import Any

from apiserver_support import (
    API,
    APPLY,
    CONFIG_MAPS,
    GADGETS,
    PODS,
    Client,
    make_config_map,
    make_gadget,
    make_pod,
    make_schema,
)
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.localcluster.apiserver import fieldsets
from skillwarden.localcluster.apiserver.apply import Writer, apply_manifest

ONE = f"{GADGETS}/one"


def owners(body: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in body["metadata"]["managedFields"]
    }


async def test_apply_makes_then_changes_then_leaves_alone(gadgets: Client) -> None:
    made = await gadgets.apply(ONE, make_gadget(replicas=2))
    assert made.status == 201
    assert (await gadgets.apply(ONE, make_gadget(replicas=2))).body == made.body
    changed = await gadgets.apply(ONE, make_gadget(replicas=3))
    assert (changed.status, changed.body["spec"]["replicas"]) == (200, 3)
    assert changed.body["metadata"]["generation"] == 2


async def test_ownership_is_kept_in_the_form_of_real_servers(gadgets: Client) -> None:
    manifest = make_gadget(
        meta={"labels": {"a": "b"}}, env=[{"name": "A", "value": "1"}], tags=["x"], args=["y"]
    )
    body = (await gadgets.apply(ONE, manifest)).body
    assert owners(body)["tests", "Apply", ""] == {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {
            "f:mode": {},
            "f:args": {},
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:tags": {'v:"x"': {}},
        },
    }
    patched = (await gadgets.patch(ONE, {"spec": {"replicas": 5}})).body
    assert owners(patched)["tests", "Update", ""] == {"f:spec": {"f:replicas": {}}}


async def test_what_a_manager_no_longer_applies_is_removed(gadgets: Client) -> None:
    full = make_gadget(
        meta={"labels": {"a": "1", "b": "2"}},
        replicas=4,
        env=[{"name": "A", "value": "1"}, {"name": "B"}],
        tags=["x", "y"],
        limits={"cpu": "1"},
    )
    await gadgets.apply(ONE, full)
    less = make_gadget(meta={"labels": {"a": "1"}}, env=[{"name": "A"}], tags=["y"])
    body = (await gadgets.apply(ONE, less)).body
    assert body["metadata"]["labels"] == {"a": "1"}
    assert body["spec"]["env"] == [{"name": "A"}]
    assert body["spec"]["tags"] == ["y"]
    # Defaults come back in place of what was given up.
    assert body["spec"]["replicas"] == 1
    assert body["spec"]["limits"] == {"cpu": "500m"}


async def test_what_others_own_stays(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget(tags=["x"], env=[{"name": "A"}]), "first")
    await gadgets.apply(ONE, make_gadget(tags=["x", "y"], env=[{"name": "B"}]), "second")
    body = (await gadgets.apply(ONE, make_gadget(), "first")).body
    assert body["spec"]["tags"] == ["x", "y"]
    assert body["spec"]["env"] == [{"name": "B"}]


async def test_a_conflict_names_manager_and_field(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget(mode="Task"), "first")
    refused = await gadgets.apply(ONE, make_gadget(mode="Service"), "second")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".spec.mode"}
    ]
    forced = await gadgets.apply(ONE, make_gadget(mode="Service"), "second", force=True)
    assert forced.body["spec"]["mode"] == "Service"
    assert ("first", "Apply", "") not in owners(forced.body)


async def test_agreeing_managers_share_a_field(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget(mode="Task"), "first")
    shared = await gadgets.apply(ONE, make_gadget(mode="Task"), "second")
    assert shared.status == 200
    assert len(owners(shared.body)) == 2


async def test_an_ordinary_update_takes_ownership(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget(replicas=2), "first")
    await gadgets.patch(f"{ONE}?fieldManager=editor", {"spec": {"replicas": 3}})
    refused = await gadgets.apply(ONE, make_gadget(replicas=2), "first")
    assert refused.status == 409
    assert f'conflict with "editor" using {API}' in refused.message


async def test_status_and_spec_are_owned_apart(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget(), "user")
    status = {
        "phase": "Up",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Seen", "status": "True"}],
    }
    manifest = {**make_gadget(mode="Service", replicas=9), "status": status}
    body = (await gadgets.apply(f"{ONE}/status", manifest, "operator")).body
    assert (body["spec"]["mode"], body["spec"]["replicas"], body["status"]) == ("Task", 1, status)
    assert set(owners(body)["operator", "Apply", "status"]) == {"f:status"}
    again = await gadgets.apply(f"{ONE}/status", manifest, "operator")
    assert again.body["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
    shorter = {**make_gadget(), "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    left = (await gadgets.apply(f"{ONE}/status", shorter, "operator")).body["status"]
    assert left == {"conditions": [{"type": "Ready", "status": "False"}]}
    assert (await gadgets.apply(f"{GADGETS}/two/status", make_gadget("two"), "operator")).status == 404


async def test_two_managers_each_keep_their_condition(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget())
    for manager in ("first", "second"):
        condition = {"type": manager, "status": "True"}
        await gadgets.apply(
            f"{ONE}/status", {**make_gadget(), "status": {"conditions": [condition]}}, manager
        )
    conditions = (await gadgets.get(ONE)).body["status"]["conditions"]
    assert [item["type"] for item in conditions] == ["first", "second"]


async def test_versions_and_identities_are_preconditions(gadgets: Client) -> None:
    made = (await gadgets.apply(ONE, make_gadget())).body["metadata"]
    await gadgets.patch(f"{ONE}/status", {"status": {"phase": "Up"}})
    stale = {"resourceVersion": made["resourceVersion"]}
    assert (await gadgets.apply(ONE, make_gadget(meta=stale))).status == 409
    status = {**make_gadget(meta=stale), "status": {"phase": "Down"}}
    assert (await gadgets.apply(f"{ONE}/status", status, force=True)).status == 409
    assert (await gadgets.apply(ONE, make_gadget(meta={"uid": "other"}))).status == 422
    # As on real servers, the status path does not look at the UID: only the version protects it.
    other = {**make_gadget(meta={"uid": "other"}), "status": {"phase": "Down"}}
    assert (await gadgets.apply(f"{ONE}/status", other, force=True)).status == 200
    assert (await gadgets.apply(f"{GADGETS}/two", make_gadget("two", meta={"uid": "x"}))).status == 409


async def test_what_an_apply_must_and_must_not_carry(gadgets: Client) -> None:
    unnamed = await gadgets.patch(ONE, make_gadget(), APPLY)
    assert (unnamed.status, "fieldManager" in unnamed.message) == (422, True)
    fields = make_gadget(meta={"managedFields": [{}]})
    assert (await gadgets.apply(ONE, fields)).status == 400
    unknown = await gadgets.apply(ONE, make_gadget(oops=1))
    assert (unknown.status, ".spec.oops: field not declared in schema" in unknown.message) == (500, True)
    assert (await gadgets.apply(f"{GADGETS}/two", make_gadget("one"))).status == 400
    assert (await gadgets.patch(f"{ONE}?force=true", {})).status == 422


async def test_yaml_is_applied(gadgets: Client) -> None:
    text = f"apiVersion: {API}\nkind: Gadget\nmetadata: {{name: one}}\nspec: {{mode: Task}}\n"
    answer = await gadgets.patch(f"{ONE}?fieldManager=tests", text.encode(), APPLY)
    assert (answer.status, answer.body["spec"]["mode"]) == (201, "Task")


async def test_a_dry_run_of_apply(gadgets: Client) -> None:
    assert (await gadgets.apply(f"{ONE}?dryRun=All", make_gadget())).status == 201
    assert (await gadgets.get(ONE)).status == 404


async def test_lists_of_pods_merge_by_their_keys(api: Client) -> None:
    port = {"containerPort": 80}
    pod = make_pod(container={"ports": [port], "env": [{"name": "A", "value": "1"}]})
    first = (await api.apply(f"{PODS}/one", pod, "first")).body
    assert (await api.apply(f"{PODS}/one", pod, "first")).body == first
    assert 'k:{"containerPort":80,"protocol":"TCP"}' in str(owners(first))
    label = {**make_pod(), "metadata": {"name": "one", "labels": {"a": "b"}}}
    del label["spec"]
    both = (await api.apply(f"{PODS}/one", label, "second")).body
    assert both["spec"] == first["spec"]
    assert both["metadata"]["labels"] == {"a": "b"}


async def test_keyed_lists_take_the_applied_order(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget())

    async def order(*types: str, manager: str = "operator") -> list[str]:
        conditions = [{"type": kind, "status": "True"} for kind in types]
        body = {**make_gadget(), "status": {"conditions": conditions}}
        answer = await gadgets.apply(f"{ONE}/status", body, manager)
        return [item["type"] for item in answer.body["status"]["conditions"]]

    assert await order("A", "B") == ["A", "B"]
    assert await order("B", "A") == ["B", "A"]
    assert await order("C", "B", "A") == ["C", "B", "A"]
    assert await order("X", manager="other") == ["C", "B", "A", "X"]
    # What only others own stays where it stood among what is shared; a real server answers the same.
    assert await order("A", "B") == ["A", "X", "B"]


async def test_applying_an_empty_keyed_list_gives_up_its_items(gadgets: Client) -> None:
    await gadgets.apply(ONE, make_gadget())
    condition = {"type": "Ready", "status": "True"}
    await gadgets.apply(f"{ONE}/status", {**make_gadget(), "status": {"conditions": [condition]}})
    emptied = {**make_gadget(), "status": {"phase": "Up", "conditions": []}}
    body = (await gadgets.apply(f"{ONE}/status", emptied)).body
    assert body["status"] == {"phase": "Up"}
    assert owners(body)["tests", "Apply", "status"] == {"f:status": {"f:phase": {}}}


async def test_a_null_cannot_be_applied_where_a_value_belongs(gadgets: Client) -> None:
    refused = await gadgets.apply(ONE, make_gadget(tags=None))
    assert (refused.status, "spec.tags" in refused.message) == (422, True)
    made = (await gadgets.apply(ONE, make_gadget(note=None, replicas=None))).body["spec"]
    # A null gives way to a default.
    assert (made["note"], made["replicas"]) == (None, 1)


async def test_owners_of_fields_can_be_reset(api: Client) -> None:
    await api.apply(f"{CONFIG_MAPS}/one", make_config_map(k="v"), "first")
    reset = await api.patch(f"{CONFIG_MAPS}/one", {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in reset.body["metadata"]


VALUES = st.text("ab", max_size=2)
SPECS = st.fixed_dictionaries(
    {"mode": st.sampled_from(["Task", "Service"])},
    optional={
        "replicas": st.integers(0, 3),
        "note": VALUES,
        "tags": st.lists(st.sampled_from("xyz"), unique=True),
        "args": st.lists(VALUES, max_size=2),
        "env": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("ABC")}, optional={"value": VALUES}),
            unique_by=lambda item: item["name"],
        ),
        "labels": st.dictionaries(st.sampled_from("kl"), VALUES),
    },
)


def applied(live: dict[str, Any], spec: dict[str, Any], manager: str = "m") -> dict[str, Any]:
    manifest = make_gadget(**spec)
    writer = Writer(manager, API)
    return apply_manifest(live, manifest, make_schema(), writer, force=True, status_apart=True)


def shell() -> dict[str, Any]:
    return {"apiVersion": API, "kind": "Gadget", "metadata": {"name": "one"}}


def canonical(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def as_sets(spec: dict[str, Any]) -> dict[str, Any]:
    """Give a spec without what apply does not promise: the order of keyed lists, and empty containers."""
    ordered = {**spec}
    for name in ("tags", "env"):
        if name in ordered:
            ordered[name] = sorted(ordered[name], key=canonical)
    return {name: value for name, value in ordered.items() if value not in ([], {})}


@given(SPECS)
def test_applying_twice_is_applying_once(spec: dict[str, Any]) -> None:
    once = applied(shell(), spec)
    assert applied(once, spec) == once


@given(SPECS, SPECS)
def test_a_sole_manager_gets_what_it_applies_whatever_was_before(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    result = applied(applied(shell(), before), after)
    assert as_sets(result["spec"]) == as_sets(after)


@given(SPECS, SPECS)
def test_a_second_manager_leaves_the_first_ones_items(one: dict[str, Any], two: dict[str, Any]) -> None:
    both = applied(applied(shell(), one, "one"), two, "two")
    assert set(one.get("tags", [])) | set(two.get("tags", [])) == set(both["spec"].get("tags", []))
    names = {item["name"] for spec in (one, two) for item in spec.get("env", [])}
    assert names == {item["name"] for item in both["spec"].get("env", [])}


@given(SPECS)
def test_field_sets_survive_being_written_and_read(spec: dict[str, Any]) -> None:
    fields = fieldsets.field_set(make_gadget(**spec), make_schema())
    assert fieldsets.decode(fieldsets.encode(fields)) == fields


@given(SPECS, SPECS)
def test_two_manifests_differ_exactly_where_they_are_compared_to(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    found = fieldsets.compare(make_gadget(**one), make_gadget(**two), make_schema())
    same = not (found.added or found.modified or found.removed)
    assert same == (as_sets_keep_empty(one) == as_sets_keep_empty(two))


def as_sets_keep_empty(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        name: sorted(value, key=canonical) if name in {"tags", "env"} else value
        for name, value in spec.items()
    }
