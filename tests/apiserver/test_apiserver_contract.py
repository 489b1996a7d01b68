"""What an API server refuses, kind by kind: found by asking a real one and the embedded one the same.

Each row was answered otherwise by the embedded server once, or is what the product relies on. All of it runs
against a real server, too (``--kubeconfig``), and the answers are the same.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiserver_support import (
    APPLY,
    CONFIG_MAPS,
    GADGETS,
    JSON_PATCH,
    MERGE,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    QUOTAS,
    SECRETS,
    SPACE,
    STRATEGIC,
    Answer,
    Client,
    make_config_map,
    make_gadget,
    make_pod,
    make_secret,
)

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SPACE}/leases"
NEW_EVENTS = f"/apis/events.k8s.io/v1/namespaces/{SPACE}/events"
MAKERS: dict[str, Any] = {PODS: make_pod, CONFIG_MAPS: make_config_map, GADGETS: make_gadget}
KINDS = pytest.mark.parametrize("path", MAKERS, ids=["pods", "configmaps", "gadgets"])


def refused(answer: Answer, status: int, complaint: str) -> None:
    assert (answer.status, answer.body["kind"]) == (status, "Status"), answer.body
    assert complaint in answer.message


# Pods


def main(**container: Any) -> dict[str, Any]:
    return make_pod(container=container)


def volume(**source: Any) -> dict[str, Any]:
    return make_pod(volumes=[{"name": "v", **source}])


def mount(**fields: Any) -> dict[str, Any]:
    mounts = [{"name": "v", "mountPath": "/v", **fields}]
    return make_pod(container={"volumeMounts": mounts}, volumes=[{"name": "v", "emptyDir": {}}])


def asks(**amounts: str) -> dict[str, Any]:
    return main(resources={"requests": {name.replace("_", "/"): text for name, text in amounts.items()}})


PROBE = {"exec": {"command": ["true"]}}
POD_REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a resource that is no container's": (asks(storage="1"), "resources.requests[storage]"),
    "a negative amount": (asks(cpu="-1"), "resources.requests[cpu]"),
    "a device without a limit": (asks(**{"example.io_gpu": "1"}), "resources.limits"),
    "half a device": (main(resources={"limits": {"example.io/gpu": "500m"}}), "must be an integer"),
    "a volume of a negative size": (volume(emptyDir={"sizeLimit": "-1"}), "emptyDir.sizeLimit"),
    "a volume of no ConfigMap": (volume(configMap={}), "volumes[0].configMap.name"),
    "a volume of no Secret": (volume(secret={}), "volumes[0].secret.secretName"),
    "a mode that is none": (volume(configMap={"name": "a", "defaultMode": 4096}), "configMap.defaultMode"),
    "an item above its volume": (
        volume(configMap={"name": "a", "items": [{"key": "k", "path": "../x"}]}),
        "configMap.items[0].path",
    ),
    "an item with an absolute path": (
        volume(configMap={"name": "a", "items": [{"key": "k", "path": "/x"}]}),
        "configMap.items[0].path",
    ),
    "a folder of the host above itself": (volume(hostPath={"path": "/a/../b"}), "hostPath.path"),
    "a folder of the host of a made-up type": (volume(hostPath={"path": "/a", "type": "X"}), "hostPath.type"),
    "a mount at nothing": (mount(mountPath=""), "volumeMounts[0].mountPath"),
    "a mount from above the volume": (mount(subPath="../x"), "must not contain '..'"),
    "a mount from an absolute path": (mount(subPath="/x"), "must be a relative path"),
    "a mount propagated in a made-up way": (mount(mountPropagation="X"), "mountPropagation"),
    "a host port below zero": (main(ports=[{"containerPort": 1, "hostPort": -1}]), "ports[0].hostPort"),
    "a port's name in capitals": (main(ports=[{"containerPort": 1, "name": "A"}]), "ports[0].name"),
    "a port's name that is too long": (
        main(ports=[{"containerPort": 1, "name": "a" * 16}]),
        "must be no more than 15 characters",
    ),
    "two ports of a name": (
        main(ports=[{"containerPort": port, "name": "a"} for port in (1, 2)]),
        "ports[1].name",
    ),
    "a user beyond the last": (main(securityContext={"runAsUser": 2**31}), "securityContext.runAsUser"),
    "a negative group": (make_pod(securityContext={"runAsGroup": -1}), "securityContext.runAsGroup"),
    "a negative group of volumes": (make_pod(securityContext={"fsGroup": -1}), "securityContext.fsGroup"),
    "a negative further group": (
        make_pod(securityContext={"supplementalGroups": [-1]}),
        "securityContext.supplementalGroups[0]",
    ),
    "a local seccomp profile without its file": (
        make_pod(securityContext={"seccompProfile": {"type": "Localhost"}}),
        "seccompProfile.localhostProfile",
    ),
    "a seccomp file of another type": (
        make_pod(securityContext={"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}}),
        "seccompProfile.localhostProfile",
    ),
    "an AppArmor profile of a made-up type": (
        make_pod(securityContext={"appArmorProfile": {"type": "X"}}),
        "appArmorProfile.type",
    ),
    "a made-up view of /proc": (main(securityContext={"procMount": "X"}), "securityContext.procMount"),
    "a variable with two values": (
        main(env=[{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        "env[0].valueFrom",
    ),
    "a variable from nowhere": (main(env=[{"name": "A", "valueFrom": {}}]), "env[0].valueFrom"),
    "a variable from a field that is none": (
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]),
        "fieldRef.fieldPath",
    ),
    "a variable from an unnamed Secret": (
        main(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}]),
        "secretKeyRef.name",
    ),
    "a variable without a name": (main(env=[{"name": ""}]), "env[0].name: Required value"),
    "an image with a space before it": (main(image=" img"), "containers[0].image"),
    "a container without a name": (main(name=""), "containers[0].name: Required value"),
    "a probe of nothing": (main(livenessProbe={}), "livenessProbe: Required value"),
    "a probe of two things": (
        main(livenessProbe={**PROBE, "tcpSocket": {"port": 1}}),
        "livenessProbe.tcpSocket",
    ),
    "a probe without a command": (main(livenessProbe={"exec": {}}), "livenessProbe.exec.command"),
    "a probe at a negative pace": (main(livenessProbe={**PROBE, "periodSeconds": -1}), "periodSeconds"),
    "a liveness that takes two successes": (
        main(livenessProbe={**PROBE, "successThreshold": 2}),
        "must be 1",
    ),
    "a handler of nothing": (main(lifecycle={"preStop": {}}), "lifecycle.preStop: Required value"),
    "an init container with a probe": (
        make_pod(initContainers=[{"name": "i", "image": "i:1", "livenessProbe": PROBE}]),
        "initContainers[0].livenessProbe",
    ),
    "an ephemeral container": (
        make_pod(ephemeralContainers=[{"name": "e", "image": "i:1"}]),
        "spec.ephemeralContainers",
    ),
    "a deadline beyond the last": (make_pod(activeDeadlineSeconds=2**31), "spec.activeDeadlineSeconds"),
    "a node that no name can be": (make_pod(nodeName="A_B"), "spec.nodeName"),
    "a host name that is none": (make_pod(hostname="A_B"), "spec.hostname"),
    "a subdomain that is none": (make_pod(subdomain="A_B"), "spec.subdomain"),
    "a selector of nodes by what is no label": (make_pod(nodeSelector={"a": "b c"}), "spec.nodeSelector"),
    "a gate that is no name": (
        make_pod(readinessGates=[{"conditionType": "a b"}]),
        "readinessGates[0].conditionType",
    ),
    "a toleration of nothing": (make_pod(tolerations=[{}]), "tolerations[0].operator"),
    "a toleration of a made-up effect": (
        make_pod(tolerations=[{"operator": "Exists", "effect": "X"}]),
        "tolerations[0].effect",
    ),
    "a toleration of a value that need not be": (
        make_pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
        "tolerations[0].operator",
    ),
    "a name server that is none": (make_pod(dnsConfig={"nameservers": ["x"]}), "dnsConfig.nameservers[0]"),
    "four name servers": (make_pod(dnsConfig={"nameservers": ["1.1.1.1"] * 4}), "dnsConfig.nameservers"),
    "an affinity to no term": (
        make_pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
        "nodeSelectorTerms",
    ),
    "a null for a container": (make_pod(containers=[None]), "containers[0].name: Required value"),
    "the host's processes and the Pod's": (
        make_pod(hostPID=True, shareProcessNamespace=True),
        "cannot both be enabled",
    ),
}


@pytest.mark.parametrize("case", POD_REFUSALS)
async def test_a_pod_is_refused_for(api: Client, case: str) -> None:
    pod, complaint = POD_REFUSALS[case]
    refused(await api.post(PODS, pod), 422, complaint)
    assert (await api.get(PODS)).body["items"] == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"priorityClassName": "no-such-class"}, "no PriorityClass with name no-such-class was found"),
        ({"priority": 5}, "must not be provided in pod spec"),
        ({"overhead": {"cpu": "1"}}, "Pod Overhead set without corresponding RuntimeClass"),
    ],
)
async def test_admission_refuses_a_pod(api: Client, spec: dict[str, Any], complaint: str) -> None:
    refused(await api.post(PODS, make_pod(**spec)), 403, complaint)


async def test_a_negative_grace_period_becomes_a_second(api: Client) -> None:
    made = await api.made(PODS, make_pod(terminationGracePeriodSeconds=-1))
    assert made["spec"]["terminationGracePeriodSeconds"] == 1


FIXED = (
    {"nodeName": "n1"},
    {"volumes": [{"name": "v", "emptyDir": {}}]},
    {"serviceAccountName": "other"},
    {"terminationGracePeriodSeconds": 1},
    {"restartPolicy": "Never"},
    {"hostNetwork": True},
    {"hostUsers": False},
    {"securityContext": {"runAsUser": 5}},
    {"runtimeClassName": "x"},
    {"dnsPolicy": "Default"},
    {"schedulerName": "x"},
    {"enableServiceLinks": False},
    {"automountServiceAccountToken": False},
    {"nodeSelector": {"a": "b"}},
    {"priority": 5},
)


@pytest.mark.parametrize("change", FIXED, ids=lambda change: next(iter(change)))
async def test_what_stands_fast_in_a_pod(api: Client, change: dict[str, Any]) -> None:
    made = await api.made(PODS, make_pod())
    refused(
        await api.patch(f"{PODS}/one", {"spec": change}), 422, "pod updates may not change fields other than"
    )
    assert (await api.get(f"{PODS}/one")).body["spec"] == made["spec"]


@pytest.mark.parametrize(
    "change",
    [
        {"command": ["sh"]},
        {"args": ["x"]},
        {"env": [{"name": "A", "value": "1"}]},
        {"resources": {"limits": {"cpu": "1"}}},
        {"securityContext": {"runAsUser": 1}},
        {"imagePullPolicy": "Always"},
        {"tty": True},
        {"livenessProbe": PROBE},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_stands_fast_in_a_container(api: Client, change: dict[str, Any]) -> None:
    await api.made(PODS, make_pod())
    patch = {"spec": {"containers": [{"name": "main", **change}]}}
    refused(await api.patch(f"{PODS}/one", patch, STRATEGIC), 422, "pod updates may not change")


@pytest.mark.parametrize("image", ["", None, " x"])
async def test_a_container_keeps_an_image(api: Client, image: str | None) -> None:
    await api.made(PODS, make_pod())
    patch = {"spec": {"containers": [{"name": "main", "image": image}]}}
    refused(await api.patch(f"{PODS}/one", patch, STRATEGIC), 422, "containers[0].image")


def state(**what: Any) -> dict[str, Any]:
    status = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    return {"status": {"containerStatuses": [{**status, "state": what}]}}


async def test_what_has_ended_does_not_run_again(api: Client) -> None:
    await api.made(PODS, make_pod(restartPolicy="Never"))
    assert (await api.patch(f"{PODS}/one/status", state(terminated={"exitCode": 0}))).status == 200
    again = await api.patch(f"{PODS}/one/status", state(running={}))
    refused(again, 422, "may not be transitioned to non-terminated state")
    refused(await api.patch(f"{PODS}/one/status", {"status": {"qosClass": "X"}}), 422, "status.qosClass")


@pytest.mark.parametrize("body", [{}, {"metadata": {"name": "two"}}])
async def test_an_eviction_names_its_pod(api: Client, body: dict[str, Any]) -> None:
    await api.made(PODS, make_pod())
    refused(await api.post(f"{PODS}/one/eviction", body), 400, "name in URL does not match")
    assert (await api.get(f"{PODS}/one")).status == 200


async def test_a_binding_means_the_pod_that_was_seen(api: Client) -> None:
    await api.made(PODS, make_pod())
    body = {"metadata": {"name": "one", "uid": "another"}, "target": {"kind": "Node", "name": "n1"}}
    refused(await api.post(f"{PODS}/one/binding", body), 409, "on pods")
    assert "nodeName" not in (await api.get(f"{PODS}/one")).body["spec"]


# Metadata of any kind

OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}
METADATA: dict[str, tuple[dict[str, Any], int, str]] = {
    "a name in capitals": ({"name": "A"}, 422, "metadata.name"),
    "a name of 254 characters": ({"name": "a" * 254}, 422, "metadata.name"),
    "a name with a slash": ({"name": "a/b"}, 422, "metadata.name"),
    "a number for a name": ({"name": 5}, 400, ""),
    "a label of 64 characters": ({"labels": {"a": "b" * 64}}, 422, "metadata.labels"),
    "a label's key of two slashes": ({"labels": {"a/b/c": "d"}}, 422, "metadata.labels"),
    "a label's key under no domain": ({"labels": {"A_B/c": "d"}}, 422, "metadata.labels"),
    "a number for a label": ({"labels": {"a": 1}}, 400, ""),
    "an annotation's key with a space": ({"annotations": {"a b": "c"}}, 422, "metadata.annotations"),
    "a name to generate that cannot be one": ({"generateName": "A_"}, 422, "metadata.generateName"),
    "a name to generate that is too long": ({"generateName": "a" * 300}, 422, "metadata.generateName"),
    "two ways to hold dependents": (
        {"finalizers": ["orphan", "foregroundDeletion"]},
        422,
        "metadata.finalizers",
    ),
    "a finalizer that is no name": ({"finalizers": ["a b/c"]}, 422, "metadata.finalizers"),
    "an owner without a name": ({"ownerReferences": [{**OWNER, "name": ""}]}, 422, "ownerReferences.name"),
    "an owner without a version": (
        {"ownerReferences": [{**OWNER, "apiVersion": ""}]},
        422,
        "ownerReferences.apiVersion",
    ),
    "an owner without a UID": ({"ownerReferences": [{**OWNER, "uid": ""}]}, 422, "ownerReferences.uid"),
    "an Event for an owner": ({"ownerReferences": [{**OWNER, "kind": "Event"}]}, 422, "ownerReferences"),
    "two owners that control": (
        {"ownerReferences": [{**OWNER, "uid": uid, "controller": True} for uid in "uw"]},
        422,
        "Only one reference can have Controller set to true",
    ),
    "another namespace": ({"namespace": "other"}, 400, "namespace"),
    "a time that is none": ({"creationTimestamp": "yesterday"}, 400, "cannot be handled as a"),
    "a generation that is no number": ({"generation": "x"}, 400, "cannot be handled as a"),
    "a version": ({"resourceVersion": "5"}, 500, "resourceVersion should not be set"),
}


@KINDS
@pytest.mark.parametrize("case", METADATA)
async def test_metadata_is_refused_for(gadgets: Client, path: str, case: str) -> None:
    given, status, complaint = METADATA[case]
    body = MAKERS[path]()
    body["metadata"].update(given)
    answer = await gadgets.post(path, body)
    assert (answer.status, answer.body["kind"]) == (status, "Status"), answer.body
    assert complaint.lower() in answer.message.lower()


@pytest.mark.parametrize("path", [PODS, CONFIG_MAPS], ids=["pods", "configmaps"])
async def test_finalizers_of_built_in_kinds_are_qualified(api: Client, path: str) -> None:
    body = MAKERS[path]()
    body["metadata"]["finalizers"] = ["hold"]
    refused(await api.post(path, body), 422, "nor is it fully qualified")
    await api.made(path, MAKERS[path]())
    patched = await api.patch(f"{path}/one", {"metadata": {"finalizers": ["hold"]}})
    refused(patched, 422, "nor is it fully qualified")


@KINDS
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": "two"}, 400),
        ({"namespace": "other"}, 400),
        ({"uid": "another"}, 422),
        ({"deletionTimestamp": "2000-01-01T00:00:00Z"}, 422),
        ({"labels": {"a b": "c"}}, 422),
        ({"resourceVersion": "1"}, 409),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
async def test_a_patch_changes_no_identity(
    gadgets: Client, path: str, change: dict[str, Any], status: int
) -> None:
    made = await gadgets.made(path, MAKERS[path]())
    assert (await gadgets.patch(f"{path}/one", {"metadata": change})).status == status
    assert (await gadgets.get(f"{path}/one")).body == made


@KINDS
async def test_an_update_names_its_object(gadgets: Client, path: str) -> None:
    made = await gadgets.made(path, MAKERS[path]())
    unnamed = {**made, "metadata": {key: item for key, item in made["metadata"].items() if key != "name"}}
    refused(await gadgets.put(f"{path}/one", unnamed), 400, "name must be provided")
    refused(await gadgets.put(f"{path}/two", made), 400, "does not match the name on the URL")


async def test_an_object_of_another_kind(gadgets: Client) -> None:
    other = {**make_config_map(), "kind": "Secret"}
    refused(await gadgets.post(CONFIG_MAPS, other), 400, "cannot be handled as a ConfigMap")
    refused(await gadgets.post(GADGETS, {**make_gadget(), "kind": "Widget"}), 422, "must be Gadget")


# Unknown fields


async def write(api: Client, how: str, validation: str) -> Answer:
    """Write a Gadget with a field that its kind does not have, one way or another."""
    query = f"?fieldValidation={validation}"
    patch: Any = {"spec": {"oops": 1}}
    if how == "create":
        return await api.post(f"{GADGETS}{query}", make_gadget(oops=1))
    made = await api.made(GADGETS, make_gadget())
    match how:
        case "update":
            made["spec"]["oops"] = 1
            return await api.put(f"{GADGETS}/one{query}", made)
        case "JSON patch":
            operations = [{"op": "add", "path": "/spec/oops", "value": 1}]
            return await api.patch(f"{GADGETS}/one{query}", operations, JSON_PATCH)
        case "status":
            patch = {"status": {"oops": 1}}
            return await api.patch(f"{GADGETS}/one/status{query}", patch, MERGE)
        case _:
            return await api.patch(f"{GADGETS}/one{query}", patch, MERGE)


WAYS = pytest.mark.parametrize("how", ["create", "update", "merge patch", "JSON patch", "status"])


@WAYS
async def test_strict_validation_refuses_an_unknown_field(gadgets: Client, how: str) -> None:
    answer = await write(gadgets, how, "Strict")
    refused(answer, 422 if how in {"merge patch", "JSON patch", "status"} else 400, "unknown field")
    assert "oops" in answer.message


@WAYS
@pytest.mark.parametrize("validation", ["Warn", "Ignore"])
async def test_an_unknown_field_is_dropped(gadgets: Client, how: str, validation: str) -> None:
    answer = await write(gadgets, how, validation)
    assert answer.status in {200, 201}
    assert ("Warning" in answer.headers) == (validation == "Warn")
    assert "oops" not in {**answer.body["spec"], **answer.body.get("status", {})}


async def test_unknown_fields_of_a_pod_at_any_depth(api: Client) -> None:
    deep = {"securityContext": {"oops": 1}, "env": [{"name": "A", "oops": 1}], "oops": 1}
    strict = await api.post(f"{PODS}?fieldValidation=Strict", make_pod(oops=1, container=deep))
    assert strict.status == 400
    where = "spec.containers[0]"
    for path in ("spec.oops", f"{where}.oops", f"{where}.securityContext.oops", f"{where}.env[0].oops"):
        assert f'unknown field "{path}"' in strict.message


@pytest.mark.parametrize("value", ["Foo", "strict"])
async def test_a_validation_that_is_none(api: Client, value: str) -> None:
    refused(
        await api.post(f"{CONFIG_MAPS}?fieldValidation={value}", make_config_map()), 422, "fieldValidation"
    )


# Server-side apply


@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        ({"apiVersion": "v1", "metadata": {"name": "one"}}, 400, "invalid object type"),
        ({"kind": "ConfigMap", "metadata": {"name": "one"}}, 400, "invalid object type"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, 400, "name must be provided"),
        (make_config_map("two"), 400, "does not match the name on the URL"),
        (make_config_map(meta={"managedFields": []}), 400, "metadata.managedFields must be nil"),
        (make_config_map(meta={"uid": "another"}), 409, "uid mismatch"),
        ({**make_config_map(), "oops": 1}, 500, ".oops: field not declared in schema"),
        ({**make_config_map(), "data": {"k": 1}}, 500, ".data.k"),
        (make_config_map(meta={"labels": {"a": 1}}), 500, ".metadata.labels.a"),
        (make_config_map(meta={"labels": {"a b": "c"}}), 422, "metadata.labels"),
    ],
)
async def test_an_apply_is_refused(api: Client, body: Any, status: int, complaint: str) -> None:
    refused(await api.apply(f"{CONFIG_MAPS}/one", body), status, complaint)
    assert (await api.get(f"{CONFIG_MAPS}/one")).status == 404


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"env": [{"name": "A"}, {"name": "A"}]}, ".spec.env"),
        ({"tags": ["a", "a"]}, ".spec.tags"),
        ({"replicas": "x"}, ".spec.replicas"),
        ({"labels": []}, ".spec.labels"),
    ],
)
async def test_what_cannot_be_owned_cannot_be_applied(
    gadgets: Client, spec: dict[str, Any], complaint: str
) -> None:
    answer = await gadgets.apply(f"{GADGETS}/one", make_gadget(**spec))
    refused(answer, 500, complaint)
    assert "failed to create typed patch object" in answer.message


@pytest.mark.parametrize("manager", ["a" * 129, "a%07b"])
async def test_a_field_manager_has_a_short_printable_name(api: Client, manager: str) -> None:
    asked = f"{CONFIG_MAPS}?fieldManager={manager}"
    refused(await api.post(asked, make_config_map()), 422, "fieldManager")


async def test_a_conflict_tells_who_else_owns_the_field(api: Client) -> None:
    one = f"{CONFIG_MAPS}/one"
    await api.apply(one, make_config_map(k="v"), "first")
    await api.patch(f"{one}?fieldManager=editor", {"data": {"k": "w"}})
    answer = await api.apply(one, make_config_map(k="v"), "first")
    refused(answer, 409, 'conflict with "editor"')
    [cause] = answer.body["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".data.k")


# Status and other subresources


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ({"phase": 5}, "status.phase"),
        ({"replicas": "x"}, "status.replicas"),
        ({"conditions": [{"type": "A"}]}, "status.conditions[0].status"),
        ({"conditions": [{"type": "A", "status": "True"}] * 2}, "status.conditions[1]"),
        ("x", "status"),
    ],
)
async def test_a_status_is_held_against_its_schema(gadgets: Client, status: Any, field: str) -> None:
    await gadgets.made(GADGETS, make_gadget())
    answer = await gadgets.patch(f"{GADGETS}/one/status", {"status": status})
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert field in {cause["field"] for cause in answer.body["details"]["causes"]}


async def test_a_status_only_by_its_own_path(gadgets: Client) -> None:
    made = await gadgets.made(GADGETS, {**make_gadget(), "status": {"phase": "Up"}})
    assert "status" not in made
    assert "status" not in (await gadgets.patch(f"{GADGETS}/one", {"status": {"phase": "Up"}})).body
    whole = {**make_gadget(), "status": {"phase": "Up"}}
    assert "status" not in (await gadgets.apply(f"{GADGETS}/one", whole, force=True)).body
    assert (await gadgets.put(f"{GADGETS}/one/status", whole)).status == 422
    stale = {**whole, "metadata": {"name": "one", "resourceVersion": "1"}}
    assert (await gadgets.put(f"{GADGETS}/one/status", stale)).status == 409


async def test_paths_below_objects_that_are_not_there(gadgets: Client) -> None:
    await gadgets.made(CONFIG_MAPS, make_config_map())
    for path in (f"{CONFIG_MAPS}/one/status", f"{CONFIG_MAPS}/one/scale", f"{GADGETS}/none/status"):
        assert (await gadgets.get(path)).status == 404
        assert (await gadgets.patch(path, {})).status == 404
    assert (await gadgets.apply(f"{GADGETS}/none/status", make_gadget("none"))).status == 404
    await gadgets.made(GADGETS, make_gadget())
    assert (await gadgets.post(f"{GADGETS}/one/status", make_gadget())).status == 405
    assert (await gadgets.delete(f"{GADGETS}/one/status")).status == 405


# Namespaces


async def test_a_namespace_that_is_not_there(gadgets: Client) -> None:
    for path, body in ((CONFIG_MAPS, make_config_map()), (GADGETS, make_gadget())):
        nowhere = path.replace(SPACE, f"{SPACE}-none")
        refused(await gadgets.post(nowhere, body), 404, f'namespaces "{SPACE}-none" not found')
        assert (await gadgets.post(f"{nowhere}?dryRun=All", body)).status == 404
        assert (await gadgets.apply(f"{nowhere}/one", body)).status == 404
        assert (await gadgets.patch(f"{nowhere}/one", {})).status == 404
        assert (await gadgets.get(f"{nowhere}/one")).status == 404
        assert (await gadgets.delete(f"{nowhere}/one")).status == 404
        assert (await gadgets.get(nowhere)).body["items"] == []


@pytest.mark.parametrize("name", ["A", "a.b", "a" * 64, "-a"])
async def test_a_name_that_is_no_namespaces(api: Client, name: str) -> None:
    refused(await api.post(NAMESPACES, {"metadata": {"name": name}}), 422, "metadata.name")


# Deletions and lists


@KINDS
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"preconditions": {"uid": "another"}}, 409),
        ({"preconditions": {"uid": ""}}, 409),
        ({"preconditions": {"resourceVersion": "1"}}, 409),
        ({"propagationPolicy": "Sideways"}, 422),
        ({"propagationPolicy": "Background", "orphanDependents": True}, 422),
        ({"gracePeriodSeconds": "x"}, 400),
        ({"dryRun": ["Some"]}, 422),
        ({"kind": "ConfigMap", "apiVersion": "v1"}, 400),
    ],
)
async def test_a_deletion_is_refused(
    gadgets: Client, path: str, options: dict[str, Any], status: int
) -> None:
    await gadgets.made(path, MAKERS[path]())
    assert (await gadgets.delete(f"{path}/one", options)).status == status
    found = await gadgets.get(f"{path}/one")
    assert (found.status, "deletionTimestamp" in found.body["metadata"]) == (200, False)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=abc", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Foo", 422),
        ("sendInitialEvents=true", 422),
        ("timeoutSeconds=x", 400),
        ("continue=nonsense&limit=1", 400),
        ("labelSelector=a%20b", 400),
        ("fieldSelector=spec.foo%3Dbar", 400),
        ("watch=1&timeoutSeconds=1&resourceVersionMatch=NotOlderThan", 422),
        ("watch=1&timeoutSeconds=1&fieldSelector=spec.foo%3Dbar", 400),
    ],
)
async def test_a_list_is_refused(api: Client, query: str, status: int) -> None:
    answer = await api.get(f"{SECRETS}?{query}")
    assert (answer.status, answer.body["kind"]) == (status, "Status")


# Other kinds


RULE: dict[str, Any] = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"ports": [{"port": 0}]}, "ports[0].port"),
        ({"ports": [{"port": 70000}]}, "ports[0].port"),
        ({"ports": [{"port": "A_B"}]}, "ports[0].port"),
        ({"ports": [{"port": 10, "endPort": 5}]}, "ports[0].endPort"),
        ({"ports": [{"port": "http", "endPort": 5}]}, "ports[0].endPort"),
        ({"ports": [{"endPort": 5}]}, "ports[0].endPort"),
        ({"ports": [{"protocol": "ICMP"}]}, "ports[0].protocol"),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}, "ipBlock.cidr"),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}, "ipBlock.except[0]"),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}, "ipBlock.except[0]"),
        ({"to": [{"namespaceSelector": {"matchLabels": {"a b": "c"}}}]}, "namespaceSelector.matchLabels"),
        ({"to": [{"podSelector": {"matchLabels": {"a": "b c"}}}]}, "podSelector.matchLabels"),
        (
            {"to": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]},
            "matchExpressions[0].values",
        ),
        (
            {"to": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "X"}]}}]},
            "matchExpressions[0].operator",
        ),
    ],
)
async def test_a_rule_for_egress_is_refused(api: Client, rule: dict[str, Any], field: str) -> None:
    body = {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "egress": [RULE, rule]}}
    refused(await api.post(NETWORK_POLICIES, body), 422, field)


async def test_a_network_policy_selects_by_labels(api: Client) -> None:
    body = {"metadata": {"name": "n"}, "spec": {"podSelector": {"matchLabels": {"a": "b c"}}}}
    refused(await api.post(NETWORK_POLICIES, body), 422, "spec.podSelector.matchLabels")
    types = {"podSelector": {}, "policyTypes": ["Ingress", "Egress", "Ingress"]}
    refused(await api.post(NETWORK_POLICIES, {**body, "spec": types}), 422, "spec.policyTypes")


@pytest.mark.parametrize(
    ("fields", "status", "complaint"),
    [
        ({"data": {"a b": "c"}}, 422, "data[a b]"),
        ({"data": {"..": "c"}}, 422, "data[..]"),
        ({"data": {"": "c"}}, 422, "data[]"),
        ({"data": {"a" * 254: "b"}}, 422, "must be no more than 253 characters"),
        ({"data": {"a": "b"}, "binaryData": {"a": "Yg=="}}, 422, "data[a]"),
        ({"binaryData": {"a": "Yg"}}, 400, "illegal base64 data"),
        ({"data": {"a": "x" * (2**20 + 1)}}, 422, "Too long"),
    ],
)
async def test_a_config_map_is_refused(
    api: Client, fields: dict[str, Any], status: int, complaint: str
) -> None:
    refused(await api.post(CONFIG_MAPS, {**make_config_map(), **fields}), status, complaint)


@pytest.mark.parametrize(
    ("fields", "status", "complaint"),
    [
        ({"data": {"a b": "Yg=="}}, 422, "data[a b]"),
        ({"stringData": {"a b": "c"}}, 422, "data[a b]"),
        ({"data": {"a": "%%%"}}, 400, "illegal base64 data"),
        ({"type": "kubernetes.io/tls"}, 422, "data[tls.crt]"),
        ({"type": "kubernetes.io/dockerconfigjson"}, 422, "data[.dockerconfigjson]"),
    ],
)
async def test_a_secret_is_refused(api: Client, fields: dict[str, Any], status: int, complaint: str) -> None:
    refused(await api.post(SECRETS, {**make_secret(), **fields}), status, complaint)


async def test_the_type_of_a_secret_stands_fast(api: Client) -> None:
    await api.made(SECRETS, make_secret(a="b"))
    refused(await api.patch(f"{SECRETS}/one", {"type": "example.io/other"}), 422, "type: Invalid value")


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"renewTime": "2026-01-01T00:00:00.123456Z"}, 201),
        ({"renewTime": "2026-01-01T00:00:00Z"}, 400),
        ({"renewTime": "2026-01-01T00:00:00.123Z"}, 400),
        ({"renewTime": "yesterday"}, 400),
        ({"leaseDurationSeconds": 0}, 422),
        ({"leaseTransitions": -1}, 422),
        ({"leaseDurationSeconds": "15"}, 400),
    ],
)
async def test_the_times_of_a_lease(api: Client, spec: dict[str, Any], status: int) -> None:
    assert (await api.post(LEASES, {"metadata": {"name": "one"}, "spec": spec})).status == status
    if status == 201:
        # A holder that has not seen another's write does not overwrite it.
        blind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "one"}}
        assert (await api.put(f"{LEASES}/one", blind)).status == 422
        blind["metadata"] = {"name": "one", "resourceVersion": "1"}
        assert (await api.put(f"{LEASES}/one", blind)).status == 409


EVENT = {
    "metadata": {"name": "e"},
    "regarding": {"kind": "Pod", "name": "p", "namespace": SPACE},
    "type": "Normal",
    "reason": "Said",
    "action": "Saying",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "example.io/tests",
    "reportingInstance": "tests-1",
}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Odd"},
        {"reason": ""},
        {"action": ""},
        {"reportingController": ""},
        {"reportingInstance": ""},
        {"note": "x" * 1025},
        {"reason": "x" * 129},
    ],
    ids=str,
)
async def test_an_event_is_refused(api: Client, change: dict[str, Any]) -> None:
    answer = await api.post(NEW_EVENTS, {**copy.deepcopy(EVENT), **change})
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert (await api.post(NEW_EVENTS, EVENT)).status == 201


@pytest.mark.parametrize("hard", [{"foo": "1"}, {"pods": "-1"}, {"pods": "0.5"}])
async def test_a_quota_is_refused(api: Client, hard: dict[str, str]) -> None:
    [name] = hard
    body = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    refused(await api.post(QUOTAS, body), 422, f"spec.hard[{name}]")


async def test_patches_speak_their_own_types(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())
    assert (await gadgets.patch(f"{GADGETS}/one", {}, STRATEGIC)).status == 415
    unforced = await gadgets.patch(f"{GADGETS}/one?force=true", {})
    refused(unforced, 422, "force")
    refused(await gadgets.patch(f"{GADGETS}/one", make_gadget(), APPLY), 422, "fieldManager")
