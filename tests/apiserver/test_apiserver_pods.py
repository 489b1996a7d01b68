"""Pods: what is refused, what is filled in, binding, graceful deletion, logs, quotas, admission."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from apiserver_support import (
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    QUOTAS,
    RUNTIME_CLASSES,
    SECRETS,
    SPACE,
    STRATEGIC,
    Client,
    FakeLogs,
    fresh_name,
    make_pod,
    make_secret,
    until,
)


def resources(**kinds: dict[str, str]) -> dict[str, Any]:
    return {"resources": kinds}


def binding(name: str, node: str = "n1") -> dict[str, Any]:
    return {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}


REFUSED = {
    "no containers": (make_pod(containers=[]), 422, "spec.containers"),
    "an unknown restart policy": (make_pod(restartPolicy="Nope"), 422, "spec.restartPolicy"),
    "a number that is text": (make_pod(activeDeadlineSeconds="x"), 400, "activeDeadlineSeconds"),
    "a deadline of zero": (make_pod(activeDeadlineSeconds=0), 422, "spec.activeDeadlineSeconds"),
    "DNS by nobody": (make_pod(dnsPolicy="None"), 422, "spec.dnsConfig"),
    "DNS by an empty list": (
        make_pod(dnsPolicy="None", dnsConfig={"nameservers": []}),
        422,
        "at least one DNS nameserver",
    ),
    "a container name in capitals": (make_pod(container={"name": "X"}), 422, "spec.containers[0].name"),
    "no image": (make_pod(container={"image": ""}), 422, "spec.containers[0].image"),
    "two containers of a name": (
        make_pod(containers=[{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]),
        422,
        "Duplicate value",
    ),
    "a mount of no volume": (
        make_pod(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        422,
        'Not found: "v"',
    ),
    "a volume of two sources": (
        make_pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
        422,
        "more than 1 volume type",
    ),
    "a request above its limit": (
        make_pod(container=resources(requests={"cpu": "2"}, limits={"cpu": "1"})),
        422,
        "must be less than or equal to cpu limit",
    ),
    "no quantity": (make_pod(container=resources(requests={"cpu": "2x"})), 400, "quantities must match"),
    "an unknown resource": (make_pod(container=resources(requests={"cpux": "2"})), 422, "standard resource"),
    "a privileged container that may not escalate": (
        make_pod(container={"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}),
        422,
        "allowPrivilegeEscalation",
    ),
    "a negative user": (make_pod(container={"securityContext": {"runAsUser": -1}}), 422, "runAsUser"),
    "a user namespace on the host's network": (
        make_pod(hostUsers=False, hostNetwork=True),
        422,
        "when `hostUsers` is false",
    ),
    "an environment variable with an equals sign": (
        make_pod(container={"env": [{"name": "a=b"}]}),
        422,
        "environment variable name",
    ),
    "an account that is not there": (make_pod(serviceAccountName="nobody"), 403, '"nobody" not found'),
    "a runtime class that is not there": (
        make_pod(runtimeClassName="gvisor"),
        403,
        'pod rejected: RuntimeClass "gvisor" not found',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refuses(api: Client, case: str) -> None:
    pod, status, complaint = REFUSED[case]
    answer = await api.post(PODS, pod)
    assert (answer.status, answer.body["kind"]) == (status, "Status")
    assert complaint in answer.message
    assert (await api.get(PODS)).body["items"] == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (PODS, make_pod(hostPIDs=True), "spec.hostPIDs"),
        (PODS, make_pod(container={"comand": []}), "spec.containers[0].comand"),
        (NETWORK_POLICIES, {"metadata": {"name": "n"}, "spec": {"egres": []}}, "spec.egres"),
    ],
    # The paths have the run's namespace, and the same tests must be found by every process.
    ids=["a pod", "a container", "a network policy"],
)
async def test_a_typing_error_is_an_error(api: Client, path: str, body: Any, field: str) -> None:
    answer = await api.post(f"{path}?fieldValidation=Strict", body)
    assert (answer.status, f'unknown field "{field}"' in answer.message) == (400, True)


async def test_fills_in_what_clients_see_on_a_real_cluster(api: Client) -> None:
    limits = {"cpu": "1000m", "memory": "1024Mi"}
    pod = make_pod(container=resources(limits=limits))
    del pod["spec"]["schedulerName"]
    made = await api.made(PODS, pod)
    spec, container = made["spec"], made["spec"]["containers"][0]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["schedulerName"]) == (
        "Always",
        "ClusterFirst",
        "default-scheduler",
    )
    assert (spec["serviceAccountName"], spec["terminationGracePeriodSeconds"]) == ("default", 30)
    assert {item["key"] for item in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert (container["terminationMessagePolicy"], container["imagePullPolicy"]) == ("File", "IfNotPresent")
    assert made["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


async def test_only_the_image_and_a_few_limits_may_change(api: Client) -> None:
    await api.made(PODS, make_pod())
    assert (await api.patch(f"{PODS}/one", {"spec": {"restartPolicy": "Never"}})).status == 422
    assert (await api.patch(f"{PODS}/one", {"spec": {"activeDeadlineSeconds": 50}})).status == 200
    assert (await api.patch(f"{PODS}/one", {"spec": {"activeDeadlineSeconds": 60}})).status == 422
    image = {"spec": {"containers": [{"name": "main", "image": "img:2"}]}}
    assert (await api.patch(f"{PODS}/one", image, STRATEGIC)).status == 200
    command = {"spec": {"containers": [{"name": "main", "command": ["sh"]}]}}
    assert (await api.patch(f"{PODS}/one", command, STRATEGIC)).status == 422


async def test_binding_ties_a_pod_to_one_node(api: Client) -> None:
    await api.made(PODS, make_pod())
    assert (await api.post(f"{PODS}/one/binding", binding("two"))).status == 400
    assert (await api.post(f"{PODS}/one/binding", binding("one"))).status == 201
    found = (await api.get(f"{PODS}/one")).body
    assert found["spec"]["nodeName"] == "n1"
    assert found["status"]["conditions"][0]["type"] == "PodScheduled"
    assert (await api.post(f"{PODS}/one/binding", binding("one", "n2"))).status == 409
    listed = (await api.get(f"{PODS}?fieldSelector=spec.nodeName%3Dn1,status.phase%21%3DFailed")).body[
        "items"
    ]
    assert len(listed) == 1
    assert (await api.get(f"{PODS}?fieldSelector=spec.nodeName%3D")).body["items"] == []


async def test_a_bound_pod_stays_until_its_node_lets_it_go(api: Client) -> None:
    await api.made(PODS, make_pod())
    await api.post(f"{PODS}/one/binding", binding("one"))
    marked = (await api.delete(f"{PODS}/one")).body["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30
    shorter = (await api.delete(f"{PODS}/one?gracePeriodSeconds=5")).body["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    longer = (await api.delete(f"{PODS}/one", {"gracePeriodSeconds": 60})).body["metadata"]
    assert longer["deletionGracePeriodSeconds"] == 5
    status = {"status": {"phase": "Succeeded"}}
    assert (await api.patch(f"{PODS}/one/status", status)).status == 200
    assert (await api.get(f"{PODS}/one")).status == 200
    await api.delete(f"{PODS}/one", {"gracePeriodSeconds": 0})
    assert (await api.get(f"{PODS}/one")).status == 404


async def test_a_pod_that_no_node_took_goes_at_once(api: Client) -> None:
    await api.made(PODS, make_pod())
    await api.delete(f"{PODS}/one")
    assert (await api.get(f"{PODS}/one")).status == 404


async def test_an_eviction_is_a_deletion(api: Client) -> None:
    await api.made(PODS, make_pod())
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}}
    assert (await api.post(f"{PODS}/one/eviction", eviction)).status == 201
    assert (await api.get(f"{PODS}/one")).status == 404


async def test_the_status_of_a_pod_is_apart_from_its_spec(api: Client) -> None:
    await api.made(PODS, make_pod())
    both = {"status": {"phase": "Running"}, "spec": {"nodeName": "n9"}}
    found = (await api.patch(f"{PODS}/one/status", both, STRATEGIC)).body
    assert found["status"]["phase"] == "Running"
    assert "nodeName" not in found["spec"]
    main = (await api.patch(f"{PODS}/one", {"status": {"phase": "Failed"}})).body
    assert main["status"]["phase"] == "Running"


@pytest.mark.embedded_only("a real server asks a kubelet")
async def test_logs(api: Client, logs: FakeLogs) -> None:
    two = [{"name": "a", "image": "i"}, {"name": "waiting", "image": "i"}]
    await api.made(PODS, make_pod(containers=two))
    unnamed = await api.get(f"{PODS}/one/log")
    assert (unnamed.status, "choose one of: [a waiting]" in unnamed.message) == (400, True)
    assert (await api.get(f"{PODS}/one/log?container=b")).status == 400
    waiting = await api.get(f"{PODS}/one/log?container=waiting")
    assert (waiting.status, "waiting to start" in waiting.message) == (400, True)
    asked = "container=a&follow=true&tailLines=5&sinceSeconds=9&timestamps=true&previous=true&limitBytes=7"
    answer = await api.get(f"{PODS}/one/log?{asked}")
    assert answer.body == f"{SPACE}/one/a: first\nsecond\n"
    assert logs.asked[-1] == {
        "follow": True,
        "tail_lines": 5,
        "since_seconds": 9,
        "timestamps": True,
        "previous": True,
        "limit_bytes": 7,
    }
    assert (await api.get(f"{PODS}/one/log?container=a&tailLines=x")).status == 400


async def quota_used(api: Client) -> dict[str, str]:
    status = (await api.get(f"{QUOTAS}/q")).body.get("status") or {}
    return dict(status.get("used") or {})


async def test_a_quota_refuses_what_exceeds_it_and_says_what_is_used(api: Client) -> None:
    hard = {"pods": "2", "requests.cpu": "1", "count/secrets": "1"}
    await api.made(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})

    async def counted() -> bool:
        return bool(await quota_used(api))

    await until(counted, "the quota's use is not counted")
    unsaid = await api.post(PODS, make_pod())
    assert (unsaid.status, "failed quota: q: must specify requests.cpu" in unsaid.message) == (403, True)
    too_much = await api.post(PODS, make_pod(container=resources(requests={"cpu": "1500m"})))
    assert "exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=0" in too_much.message
    half = resources(requests={"cpu": "500m"})
    for name in ("one", "two"):
        await api.made(PODS, make_pod(name, container=half))
    third = await api.post(PODS, make_pod("three", container=half))
    assert "requested: pods=1,requests.cpu=500m, used: pods=2,requests.cpu=1" in third.message
    await api.patch(f"{PODS}/one/status", {"status": {"phase": "Succeeded"}})

    async def let_in() -> bool:
        return (await api.post(PODS, make_pod("three", container=half))).status == 201

    await until(let_in, "what has ended still counts", 30)
    await api.made(SECRETS, make_secret("one"))
    assert (await api.post(SECRETS, make_secret("two"))).status == 403
    wanted = {"pods": "2", "requests.cpu": "1", "count/secrets": "1"}

    async def told() -> bool:
        return await quota_used(api) == wanted

    await until(told, "the quota does not say what is used", 30)


async def test_a_runtime_class_lets_its_pods_in(api: Client) -> None:
    name = fresh_name("gvisor")
    overhead = {"podFixed": {"cpu": "50m"}}
    await api.made(RUNTIME_CLASSES, {"metadata": {"name": name}, "handler": "runsc", "overhead": overhead})
    made = await api.made(PODS, make_pod(runtimeClassName=name))
    assert made["spec"]["overhead"] == {"cpu": "50m"}
    assert (await api.patch(f"{RUNTIME_CLASSES}/{name}", {"handler": "kata"})).status == 422


async def test_network_policies_get_their_types(api: Client) -> None:
    made = await api.made(NETWORK_POLICIES, {"metadata": {"name": "in"}, "spec": {"podSelector": {}}})
    assert made["spec"]["policyTypes"] == ["Ingress"]
    both = await api.made(
        NETWORK_POLICIES, {"metadata": {"name": "b"}, "spec": {"podSelector": {}, "egress": [{}]}}
    )
    assert both["spec"]["policyTypes"] == ["Ingress", "Egress"]
    # No rules for egress do not close it: whoever means that says so.
    none = await api.made(
        NETWORK_POLICIES, {"metadata": {"name": "none"}, "spec": {"podSelector": {}, "egress": []}}
    )
    assert none["spec"]["policyTypes"] == ["Ingress"]


@pytest.mark.parametrize(
    ("peer", "complaint"),
    [
        ({}, "must specify a peer"),
        ({"ipBlock": {"cidr": "nonsense"}}, "cidr"),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}, "may not specify both ipBlock"),
    ],
)
async def test_network_policy_peers(api: Client, peer: Any, complaint: str) -> None:
    spec = {"podSelector": {}, "egress": [{"to": [peer]}]}
    answer = await api.post(NETWORK_POLICIES, {"metadata": {"name": "n"}, "spec": spec})
    assert (answer.status, complaint in answer.message) == (422, True)


HARDENED = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "container": {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}},
}


def softened(change: str) -> dict[str, Any]:
    """Give a Pod that passes ``restricted`` but for one thing."""
    pod = make_pod(**copy.deepcopy(HARDENED))
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    match change:
        case "escalates":
            del container["securityContext"]["allowPrivilegeEscalation"]
        case "keeps capabilities":
            container["securityContext"] = {"allowPrivilegeEscalation": False}
        case "adds a capability":
            capabilities = {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
            container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": capabilities}
        case "may be root":
            spec["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}}
        case "is root":
            spec["securityContext"] = {**spec["securityContext"], "runAsUser": 0}
        case "has no seccomp profile":
            spec["securityContext"] = {"runAsNonRoot": True}
        case "mounts the host":
            spec["volumes"] = [{"name": "v", "hostPath": {"path": "/"}}]
        case "shares the host's processes":
            spec["hostPID"] = True
        case "is privileged in an init container":
            first = {"name": "first", "image": "i", "securityContext": {"privileged": True}}
            spec["initContainers"] = [first]
        case "listens on the host":
            container["ports"] = [{"containerPort": 80, "hostPort": 80}]
    return pod


@pytest.mark.parametrize(
    ("change", "reason", "baseline"),
    [
        ("escalates", "allowPrivilegeEscalation != false", True),
        ("keeps capabilities", "unrestricted capabilities", True),
        ("adds a capability", "unrestricted capabilities", False),
        ("may be root", "runAsNonRoot != true", True),
        ("is root", "runAsUser=0", True),
        ("has no seccomp profile", "seccompProfile", True),
        ("mounts the host", 'uses restricted volume type "hostPath"', False),
        ("shares the host's processes", "host namespaces", False),
        ("is privileged in an init container", "privileged", False),
        ("listens on the host", "hostPort", False),
    ],
)
async def test_pod_security_levels(api: Client, change: str, reason: str, baseline: bool) -> None:
    pods = {}
    for level in ("restricted", "baseline"):
        name = fresh_name(level)
        labels = {"pod-security.kubernetes.io/enforce": level}
        await api.made(NAMESPACES, {"metadata": {"name": name, "labels": labels}})
        await api.there(f"{NAMESPACES}/{name}/serviceaccounts/default")
        pods[level] = f"{NAMESPACES}/{name}/pods"
    refused = await api.post(pods["restricted"], softened(change))
    assert refused.status == 403
    assert 'violates PodSecurity "restricted:latest"' in refused.message
    assert reason in refused.message
    assert (await api.post(pods["restricted"], make_pod(**HARDENED))).status == 201
    lenient = await api.post(pods["baseline"], softened(change))
    assert lenient.status == (201 if baseline else 403)
    assert (await api.post(PODS, softened(change))).status == 201
