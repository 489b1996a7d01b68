"""What users of the product do with kubectl, done with the real kubectl."""

from __future__ import annotations

import asyncio
import json

import pytest
from apiserver_support import (
    API,
    CONFIG_MAPS,
    CRDS,
    GADGETS,
    GDG,
    GROUP,
    PODS,
    SPACE,
    TOYS,
    Client,
    Kubectl,
    fresh_group,
    fresh_name,
    make_config_map,
    make_crd,
    make_gadget,
    make_pod,
    owned_by,
    until,
)


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


async def test_a_definition_is_established_and_served(kubectl: Kubectl) -> None:
    group = fresh_group()
    assert "created" in await kubectl.ok("apply", "-f", "-", manifest=make_crd(group=group))
    waited = await kubectl.ok("wait", "--for=condition=Established", f"crd/gadgets.{group}", "--timeout=20s")
    assert "condition met" in waited

    async def listed() -> bool:
        found = await kubectl.ok("api-resources", f"--api-group={group}", "--no-headers")
        return lines(found) == [["gadgets", f"{group}/v1alpha1", "true", "Gadget"]]

    await until(listed, "the kind is not among those served")


async def test_apply_creates_then_leaves_alone_then_configures(gadgets: Client, kubectl: Kubectl) -> None:
    first = make_gadget(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    assert await kubectl.ok("apply", "-f", "-", manifest=first) == f"gadget.{GROUP}/one created\n"
    assert await kubectl.ok("apply", "-f", "-", manifest=first) == f"gadget.{GROUP}/one unchanged\n"
    second = make_gadget(env=[{"name": "A", "value": "3"}])
    assert await kubectl.ok("apply", "-f", "-", manifest=second) == f"gadget.{GROUP}/one configured\n"
    found = (await gadgets.get(f"{GADGETS}/one")).body
    assert found["spec"]["env"] == [{"name": "A", "value": "3"}]
    assert found["metadata"]["generation"] == 2


async def test_client_side_apply_of_a_pod_merges_lists_by_their_keys(api: Client, kubectl: Kubectl) -> None:
    pod = make_pod(container={"env": [{"name": "A", "value": "1"}]})
    await kubectl.ok("apply", "-f", "-", manifest=pod)
    assert await kubectl.ok("apply", "-f", "-", manifest=pod) == "pod/one unchanged\n"
    changed = make_pod(container={"image": "img:2", "env": [{"name": "A", "value": "1"}]})
    assert await kubectl.ok("apply", "-f", "-", manifest=changed) == "pod/one configured\n"
    containers = (await api.get(f"{PODS}/one")).body["spec"]["containers"]
    assert [(item["name"], item["image"]) for item in containers] == [("main", "img:2")]


async def test_server_side_apply_reports_conflicts_and_can_force_them(
    gadgets: Client, kubectl: Kubectl
) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    await kubectl.ok(*apply, "--field-manager=platform", manifest=make_gadget(mode="Task"))
    refused = await kubectl.fails(*apply, manifest=make_gadget(mode="Service"))
    assert 'conflict with "platform": .spec.mode' in refused
    await kubectl.ok(*apply, "--force-conflicts", manifest=make_gadget(mode="Service"))
    assert (await gadgets.get(f"{GADGETS}/one")).body["spec"]["mode"] == "Service"
    refused = await kubectl.fails(*apply, "--field-manager=platform", manifest=make_gadget(mode="Task"))
    assert 'conflict with "kubectl": .spec.mode' in refused


async def test_server_side_apply_takes_over_from_client_side_apply(gadgets: Client, kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", manifest=make_gadget(mode="Task", tags=["a"]))
    await kubectl.ok("apply", "--server-side", "-f", "-", manifest=make_gadget(mode="Service"))
    found = (await gadgets.get(f"{GADGETS}/one")).body
    assert found["spec"]["mode"] == "Service"
    assert "tags" not in found["spec"]
    managers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert "kubectl-client-side-apply" not in managers


async def test_get_shows_printer_columns(gadgets: Client, kubectl: Kubectl) -> None:
    await kubectl.ok("create", "-f", "-", manifest=make_gadget(replicas=3))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await gadgets.patch(f"{GADGETS}/one/status", ready)
    assert [row[:3] for row in lines(await kubectl.ok("get", GDG))] == [
        ["NAME", "MODE", "READY"],
        ["one", "Task", "True"],
    ]
    wide = lines(await kubectl.ok("get", f"{GDG}/one", "-o", "wide"))
    assert wide[0] == ["NAME", "MODE", "READY", "REPLICAS", "AGE"]
    assert wide[1][:4] == ["one", "Task", "True", "3"]
    assert (await kubectl.ok("get", TOYS, "-o", "name")) == f"gadget.{GROUP}/one\n"
    assert json.loads(await kubectl.ok("get", GDG, "one", "-o", "json"))["spec"]["replicas"] == 3
    assert "mode: Task" in await kubectl.ok("get", GDG, "one", "-o", "yaml")


async def test_get_selects_by_label_and_field(gadgets: Client, kubectl: Kubectl) -> None:
    for name, tier in (("one", "gold"), ("two", "tin"), ("three", "tin")):
        await gadgets.made(GADGETS, make_gadget(name, meta={"labels": {"tier": tier}}))
    names = ("get", GDG, "-o", "name")
    assert lines(await kubectl.ok(*names, "-l", "tier=gold")) == [[f"gadget.{GROUP}/one"]]
    assert len(lines(await kubectl.ok(*names, "-l", "tier in (tin)"))) == 2
    assert lines(await kubectl.ok(*names, "-l", "tier!=tin")) == [[f"gadget.{GROUP}/one"]]
    selected = await kubectl.ok(*names, "--field-selector", "metadata.name=two")
    assert lines(selected) == [[f"gadget.{GROUP}/two"]]


async def test_get_watches(gadgets: Client, kubectl: Kubectl) -> None:
    await gadgets.made(GADGETS, make_gadget("one"))
    process = await kubectl.start("get", GDG, "-w", "--no-headers")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).split()[:2] == [b"one", b"Task"]
        await gadgets.made(GADGETS, make_gadget("two", mode="Service"))
        assert (await process.stdout.readline()).split()[:2] == [b"two", b"Service"]
    process.kill()
    await process.communicate()


async def test_wait_follows_conditions_fields_and_deletion(gadgets: Client, kubectl: Kubectl) -> None:
    await gadgets.made(GADGETS, make_gadget())
    ready = asyncio.create_task(kubectl.ok("wait", f"{GDG}/one", "--for=condition=Ready", "--timeout=30s"))
    phase = asyncio.create_task(
        kubectl.ok("wait", f"{GDG}/one", "--for=jsonpath={.status.phase}=Up", "--timeout=30s")
    )
    status = {"status": {"phase": "Up", "conditions": [{"type": "Ready", "status": "True"}]}}
    await gadgets.patch(f"{GADGETS}/one/status", status)
    assert "condition met" in await ready
    assert "condition met" in await phase
    gone = asyncio.create_task(kubectl.ok("wait", f"{GDG}/one", "--for=delete", "--timeout=30s"))
    await gadgets.delete(f"{GADGETS}/one")
    await gone


async def test_wait_gives_up_on_a_condition_that_stays_false(gadgets: Client, kubectl: Kubectl) -> None:
    await gadgets.made(GADGETS, make_gadget())
    waited = await kubectl.fails("wait", f"{GDG}/one", "--for=condition=Ready", "--timeout=1s")
    assert "timed out" in waited


async def test_describe_shows_the_object_and_its_events(gadgets: Client, kubectl: Kubectl) -> None:
    made = await gadgets.made(GADGETS, make_gadget())
    event = {
        "metadata": {"name": "one.1", "namespace": SPACE},
        "involvedObject": {
            "kind": "Gadget",
            "name": "one",
            "namespace": SPACE,
            "uid": made["metadata"]["uid"],
            "apiVersion": API,
        },
        "reason": "Judged",
        "message": "all is well",
        "type": "Normal",
        "count": 1,
        "lastTimestamp": made["metadata"]["creationTimestamp"],
    }
    await gadgets.made(f"/api/v1/namespaces/{SPACE}/events", event)
    described = await kubectl.ok("describe", GDG, "one")
    assert "Mode:" in described
    assert "Judged" in described
    assert "all is well" in await kubectl.ok("events", "--for", f"{GDG}/one")
    assert "gadget/one" in await kubectl.ok("get", "events")


async def test_explain_reads_the_schema(gadgets: Client, kubectl: Kubectl) -> None:
    explained = await kubectl.ok("explain", f"{GDG}.spec")
    assert "What is wanted of the gadget." in explained
    assert "How it runs." in explained
    assert "enum: Task, Service" in explained
    assert "mode" in await kubectl.ok("explain", f"{GDG}.spec.mode")
    assert "image" in await kubectl.ok("explain", "pod.spec.containers")


async def test_patches_of_three_kinds(gadgets: Client, kubectl: Kubectl) -> None:
    await gadgets.made(GADGETS, make_gadget(tags=["a"]))
    patch = ("patch", GDG, "one")
    await kubectl.ok(*patch, "--type=merge", "-p", '{"spec":{"replicas":2}}')
    await kubectl.ok(*patch, "--type=json", "-p", '[{"op":"add","path":"/spec/tags/-","value":"b"}]')
    await kubectl.ok(
        *patch,
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status":{"phase":"Up"},"spec":{"replicas":9}}',
    )
    found = (await gadgets.get(f"{GADGETS}/one")).body
    assert (found["spec"]["replicas"], found["spec"]["tags"], found["status"]) == (
        2,
        ["a", "b"],
        {"phase": "Up"},
    )
    await gadgets.made(PODS, make_pod())
    strategic = '{"spec":{"containers":[{"name":"main","image":"img:2"}]}}'
    await kubectl.ok("patch", "pod", "one", "-p", strategic)
    assert (await gadgets.get(f"{PODS}/one")).body["spec"]["containers"][0]["image"] == "img:2"


async def test_scale_label_and_annotate(gadgets: Client, kubectl: Kubectl) -> None:
    await gadgets.made(GADGETS, make_gadget())
    await kubectl.ok("scale", f"{GDG}/one", "--replicas=4")
    await kubectl.ok("label", f"{GDG}/one", "team=data")
    await kubectl.ok("annotate", f"{GDG}/one", "why=tests")
    found = (await gadgets.get(f"{GADGETS}/one")).body
    assert found["spec"]["replicas"] == 4
    assert found["metadata"]["labels"] == {"team": "data"}
    assert found["metadata"]["annotations"]["why"] == "tests"
    assert "2" in await kubectl.fails("scale", f"{GDG}/one", "--replicas=5", "--current-replicas=2")


@pytest.mark.embedded_only("a real server asks a kubelet")
async def test_logs_are_the_nodes(api: Client, kubectl: Kubectl) -> None:
    await api.made(PODS, make_pod())
    assert await kubectl.ok("logs", "one") == f"{SPACE}/one/main: first\nsecond\n"
    assert "second" in await kubectl.ok("logs", "pod/one", "-c", "main", "--tail=1", "-f")
    assert "not found" in await kubectl.fails("logs", "two")


@pytest.mark.parametrize(
    ("cascade", "child_stays"), [("background", False), ("foreground", False), ("orphan", True)]
)
async def test_delete_cascades_as_told(
    gadgets: Client, kubectl: Kubectl, cascade: str, child_stays: bool
) -> None:
    owner = await gadgets.made(GADGETS, make_gadget())
    child = make_config_map("child", meta=owned_by(owner, blockOwnerDeletion=True))
    await gadgets.made(CONFIG_MAPS, child)
    await kubectl.ok("delete", GDG, "one", f"--cascade={cascade}")
    assert (await gadgets.get(f"{GADGETS}/one")).status == 404
    if child_stays:
        found = await gadgets.get(f"{CONFIG_MAPS}/child")
        assert "ownerReferences" not in found.body["metadata"]
    else:
        await gadgets.gone(f"{CONFIG_MAPS}/child")


async def test_diff_tells_whether_apply_would_change_anything(gadgets: Client, kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", manifest=make_gadget())
    version = (await gadgets.get(f"{GADGETS}/one")).body["metadata"]["resourceVersion"]
    assert (await kubectl.run("diff", "-f", "-", manifest=make_gadget())).code == 0
    changed = await kubectl.run("diff", "-f", "-", manifest=make_gadget(mode="Service"))
    assert changed.code == 1
    assert "+  mode: Service" in changed.out
    assert (await gadgets.get(f"{GADGETS}/one")).body["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (make_gadget(oops=1), 'unknown field "spec.oops"'),
        (make_gadget(replicas="three"), "spec.replicas in body must be of type integer"),
        (make_gadget(mode="Sometimes"), 'supported values: "Task", "Service"'),
        (make_pod(dnsPolice="None"), 'unknown field "spec.dnsPolice"'),
        (make_pod(serviceAccountName="nobody"), 'serviceaccount "nobody" not found'),
    ],
)
async def test_bad_manifests_are_refused(
    gadgets: Client, kubectl: Kubectl, manifest: object, complaint: str
) -> None:
    assert complaint in await kubectl.fails("apply", "-f", "-", manifest=manifest)
    assert complaint in await kubectl.fails("create", "-f", "-", manifest=manifest)


async def test_commands_that_send_protobuf(api: Client, kubectl: Kubectl) -> None:
    team = fresh_name("team")
    await kubectl.ok("create", "namespace", team)
    await kubectl.ok("create", "configmap", "cm", "-n", team, "--from-literal=key=value")
    await kubectl.ok("create", "secret", "generic", "s", "-n", team, "--from-literal=key=value")
    await kubectl.ok("create", "serviceaccount", "sa", "-n", team)
    await kubectl.ok("create", "quota", "q", "-n", team, "--hard=pods=3")
    assert (await api.get(f"/api/v1/namespaces/{team}/configmaps/cm")).body["data"] == {"key": "value"}
    assert (await api.get(f"/api/v1/namespaces/{team}/secrets/s")).body["data"] == {"key": "dmFsdWU="}
    quota = (await api.get(f"/api/v1/namespaces/{team}/resourcequotas/q")).body
    assert quota["spec"]["hard"] == {"pods": "3"}
    assert await kubectl.ok("auth", "can-i", "create", "pods") == "yes\n"


async def test_a_namespace_goes_with_all_it_holds(api: Client, kubectl: Kubectl) -> None:
    team = fresh_name("team")
    await kubectl.ok("create", "namespace", team)
    await api.made(f"/api/v1/namespaces/{team}/configmaps", make_config_map())
    await kubectl.ok("delete", "namespace", team, "--timeout=40s")
    assert (await api.get(f"/api/v1/namespaces/{team}/configmaps/one")).status == 404


async def test_version_and_the_kinds_served(kubectl: Kubectl) -> None:
    assert json.loads(await kubectl.ok("version", "-o", "json"))["serverVersion"]["major"] == "1"
    names = {line.split()[0] for line in (await kubectl.ok("api-resources", "--no-headers")).splitlines()}
    assert {"pods", "networkpolicies", "runtimeclasses", "leases", "events", "resourcequotas"} <= names


async def test_a_pod_shows_its_state(api: Client, kubectl: Kubectl) -> None:
    await api.made(PODS, make_pod())
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = {
        "phase": "Running",
        "containerStatuses": [{"name": "main", "ready": False, "restartCount": 2, "state": state}],
    }
    await api.patch(f"{PODS}/one/status", {"status": status})
    assert lines(await kubectl.ok("get", "pods"))[1][:4] == ["one", "0/1", "CrashLoopBackOff", "2"]


async def test_deleting_a_definition_deletes_its_objects(gadgets: Client, kubectl: Kubectl) -> None:
    await gadgets.made(GADGETS, make_gadget())
    await kubectl.ok("delete", "crd", f"gadgets.{GROUP}", "--timeout=20s")

    async def withdrawn() -> bool:
        return (await gadgets.get(GADGETS)).status == 404

    await until(withdrawn, "the kind is still served")

    async def anew() -> bool:
        return (await gadgets.post(CRDS, make_crd())).status == 201

    await until(anew, "the definition is still there", 30)
    await gadgets.there(GADGETS)
    assert (await gadgets.get(GADGETS)).body["items"] == []
