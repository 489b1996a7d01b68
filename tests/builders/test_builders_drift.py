"""Drift: what the API server adds is no difference, and everything that weakens is one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders_support import SKILL, make_depot, make_owner, make_request, make_run
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.builders.drift import differences, same_spec
from skillwarden.builders.network_policy import build_default_deny, build_network_policy
from skillwarden.builders.pod import build_pod
from skillwarden.builders.service_account import build_service_account
from skillwarden.domain.skill import EgressPeer

Object = dict[str, Any]
OBSERVED = Path(__file__).parent / "observed"

WANTED: dict[str, Object] = {
    "replica": build_pod(make_request()),
    "run": build_pod(make_run(runtime_class=None)),
    "network-policy": build_network_policy(
        SKILL, owner=make_owner(), depot=make_depot(), egress=(EgressPeer("192.0.2.0/24", 443),)
    ),
    "default-deny": build_default_deny(SKILL.namespace),
    "service-account": build_service_account(SKILL, owner=make_owner()),
}
every_object = pytest.mark.parametrize("name", WANTED)


SHOWN: dict[str, Object] = {name: yaml.safe_load((OBSERVED / f"{name}.yaml").read_text()) for name in WANTED}


def observed(name: str) -> Object:
    """What a real API server made of it."""
    return copy.deepcopy(SHOWN[name])


@every_object
def test_what_a_real_api_server_shows_is_ours(name: str) -> None:
    assert differences(WANTED[name], observed(name)) == ()


@every_object
def test_it_is_the_same_as_itself(name: str) -> None:
    assert same_spec(WANTED[name], copy.deepcopy(WANTED[name]))


def test_quantities_are_compared_by_value() -> None:
    seen = observed("replica")
    limits = seen["spec"]["containers"][0]["resources"]["limits"]
    limits.update({"cpu": "0.5", "memory": "256Mi"})
    seen["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] = "512Mi"
    assert same_spec(WANTED["replica"], seen)
    limits["memory"] = "257Mi"
    assert differences(WANTED["replica"], seen) == ("spec.containers[0].resources.limits.memory",)


TOLERATED: dict[str, Callable[[Object], Any]] = {
    "status": lambda pod: pod.update(status={"phase": "Running"}),
    "labels and annotations of others": lambda pod: pod["metadata"]["labels"].update({"team": "a"}),
    "images pulled always": lambda pod: pod["spec"]["containers"][0].update(imagePullPolicy="Always"),
    "a priority": lambda pod: pod["spec"].update(priority=100, priorityClassName="batch"),
    "pull secrets of the ServiceAccount": lambda pod: pod["spec"].update(imagePullSecrets=[{"name": "x"}]),
    "a user namespace of its own": lambda pod: pod["spec"].update(hostUsers=False),
    "an empty list": lambda pod: pod["spec"].update(hostAliases=[]),
    "the default proc mount": lambda pod: pod["spec"]["containers"][0]["securityContext"].update(
        procMount="Default"
    ),
}


@pytest.mark.parametrize("what", TOLERATED)
def test_what_admission_adds_is_no_difference(what: str) -> None:
    seen = observed("replica")
    TOLERATED[what](seen)
    assert differences(WANTED["replica"], seen) == ()


def main_of(pod: Object) -> Object:
    container: Object = pod["spec"]["containers"][0]
    return container


def init_of(pod: Object) -> Object:
    container: Object = pod["spec"]["initContainers"][0]
    return container


WEAKENED: dict[str, Callable[[Object], Any]] = {
    "another image": lambda pod: main_of(pod).update(image="evil.test/python:3.12"),
    "another image of the init container": lambda pod: init_of(pod).update(image="evil.test/x"),
    "another command": lambda pod: main_of(pod).update(command=["sh"]),
    "arguments": lambda pod: main_of(pod).update(args=["-c", "evil"]),
    "another container": lambda pod: pod["spec"]["containers"].append({"name": "x", "image": "x"}),
    "a container before ours": lambda pod: pod["spec"]["containers"].insert(0, {"name": "x", "image": "x"}),
    "another init container": lambda pod: pod["spec"]["initContainers"].append({"name": "x", "image": "x"}),
    "an ephemeral container": lambda pod: pod["spec"].update(ephemeralContainers=[{"name": "debug"}]),
    "no init container": lambda pod: pod["spec"].pop("initContainers"),
    "privileged": lambda pod: main_of(pod)["securityContext"].update(privileged=True),
    "a writable root": lambda pod: main_of(pod)["securityContext"].update(readOnlyRootFilesystem=False),
    "a root that is writable by default": lambda pod: main_of(pod)["securityContext"].pop(
        "readOnlyRootFilesystem"
    ),
    "escalation": lambda pod: main_of(pod)["securityContext"].update(allowPrivilegeEscalation=True),
    "escalation by default": lambda pod: main_of(pod)["securityContext"].pop("allowPrivilegeEscalation"),
    "an added capability": lambda pod: main_of(pod)["securityContext"]["capabilities"].update(
        add=["NET_ADMIN"]
    ),
    "capabilities kept": lambda pod: main_of(pod)["securityContext"]["capabilities"].pop("drop"),
    "no seccomp": lambda pod: main_of(pod)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "an unmasked proc": lambda pod: main_of(pod)["securityContext"].update(procMount="Unmasked"),
    "no security context": lambda pod: main_of(pod).pop("securityContext"),
    "root": lambda pod: pod["spec"]["securityContext"].update(runAsUser=0),
    "sysctls": lambda pod: pod["spec"]["securityContext"].update(sysctls=[{"name": "a", "value": "b"}]),
    "SELinux options": lambda pod: pod["spec"]["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
    "an unconfined AppArmor": lambda pod: main_of(pod)["securityContext"].update(
        appArmorProfile={"type": "Unconfined"}
    ),
    "the host's network": lambda pod: pod["spec"].update(hostNetwork=True),
    "the host's processes": lambda pod: pod["spec"].update(hostPID=True),
    "the host's IPC": lambda pod: pod["spec"].update(hostIPC=True),
    "one process namespace for all": lambda pod: pod["spec"].update(shareProcessNamespace=True),
    "a host path": lambda pod: pod["spec"]["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
    "a host path in place of a volume": lambda pod: pod["spec"]["volumes"].__setitem__(
        1, {"name": "tmp", "hostPath": {"path": "/"}}
    ),
    "a volume of no size": lambda pod: pod["spec"]["volumes"][0]["emptyDir"].pop("sizeLimit"),
    "a volume in memory": lambda pod: pod["spec"]["volumes"][0]["emptyDir"].update(medium="Memory"),
    "a projected token": lambda pod: pod["spec"]["volumes"].append(
        {"name": "t", "projected": {"sources": [{}]}}
    ),
    "another mount": lambda pod: main_of(pod)["volumeMounts"].append({"name": "skill", "mountPath": "/x"}),
    "a mount that is writable": lambda pod: main_of(pod)["volumeMounts"][0].pop("readOnly"),
    "a mount of the whole volume": lambda pod: main_of(pod)["volumeMounts"][0].pop("subPath"),
    "mount propagation": lambda pod: main_of(pod)["volumeMounts"][0].update(mountPropagation="Bidirectional"),
    "a variable": lambda pod: main_of(pod)["env"].append({"name": "LD_PRELOAD", "value": "/tmp/x"}),
    "a changed variable": lambda pod: main_of(pod)["env"][2].update(value="/tmp"),
    "a variable from a Secret": lambda pod: main_of(pod)["env"][0].update(
        valueFrom={"secretKeyRef": {"name": "s"}}
    ),
    "variables from a Secret": lambda pod: main_of(pod).update(envFrom=[{"secretRef": {"name": "s"}}]),
    "another depot": lambda pod: init_of(pod)["env"][0].update(value="http://192.0.2.1"),
    "another lock": lambda pod: init_of(pod)["env"][2].update(value="sha256:" + "f" * 64),
    "more memory": lambda pod: main_of(pod)["resources"]["limits"].update(memory="1Gi"),
    "no memory limit": lambda pod: main_of(pod)["resources"]["limits"].pop("memory"),
    "a device": lambda pod: main_of(pod)["resources"]["limits"].update({"gpu.test/gpu": "1"}),
    "another account": lambda pod: pod["spec"].update(serviceAccountName="admin"),
    "another account by its old name": lambda pod: pod["spec"].update(serviceAccount="admin"),
    "a mounted token": lambda pod: pod["spec"].update(automountServiceAccountToken=True),
    "a token mounted by default": lambda pod: pod["spec"].pop("automountServiceAccountToken"),
    "service links by default": lambda pod: pod["spec"].pop("enableServiceLinks"),
    "the cluster's DNS": lambda pod: pod["spec"].update(dnsPolicy="ClusterFirst"),
    "another resolver": lambda pod: pod["spec"]["dnsConfig"].update(nameservers=["192.0.2.1"]),
    "search domains": lambda pod: pod["spec"]["dnsConfig"].update(searches=["evil.test"]),
    "host aliases": lambda pod: pod["spec"].update(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["a"]}]),
    "another scheduler": lambda pod: pod["spec"].update(schedulerName="mine"),
    "a runtime class": lambda pod: pod["spec"].update(runtimeClassName="weak"),
    "overhead without a runtime class": lambda pod: pod["spec"].update(overhead={"cpu": "1"}),
    "another architecture": lambda pod: pod["spec"]["nodeSelector"].update({"kubernetes.io/arch": "s390x"}),
    "a node selector": lambda pod: pod["spec"]["nodeSelector"].update({"kubernetes.io/hostname": "mine"}),
    "affinity": lambda pod: pod["spec"].update(affinity={"nodeAffinity": {"x": 1}}),
    "any taint tolerated": lambda pod: pod["spec"].update(tolerations=[{"operator": "Exists"}]),
    "a taint of the control plane tolerated": lambda pod: pod["spec"]["tolerations"].append(
        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    ),
    "a long grace period": lambda pod: pod["spec"].update(terminationGracePeriodSeconds=3600),
    "a lifecycle hook": lambda pod: main_of(pod).update(lifecycle={"preStop": {"exec": {"command": ["x"]}}}),
    "a probe": lambda pod: main_of(pod).update(livenessProbe={"exec": {"command": ["x"]}}),
    "a host port": lambda pod: main_of(pod).update(ports=[{"containerPort": 1, "hostPort": 1}]),
    "an interactive container": lambda pod: main_of(pod).update(stdin=True),
    "another output": lambda pod: main_of(pod).update(terminationMessagePath="/tmp/x"),
    "another restart policy": lambda pod: pod["spec"].update(restartPolicy="OnFailure"),
    "a field that we do not know": lambda pod: pod["spec"].update(somethingNew={"weak": True}),
    "a sidecar's restart policy": lambda pod: init_of(pod).update(restartPolicy="Always"),
    "another owner": lambda pod: pod["metadata"]["ownerReferences"][0].update(uid="other"),
    "a second owner": lambda pod: pod["metadata"]["ownerReferences"].append({"kind": "Job", "uid": "x"}),
    "no owner": lambda pod: pod["metadata"].pop("ownerReferences"),
    "a label that its NetworkPolicy selects": lambda pod: pod["metadata"]["labels"].pop(
        "skillwarden.io/skill-uid"
    ),
    "a changed label of ours": lambda pod: pod["metadata"]["labels"].update(
        {"skillwarden.io/skill": "other"}
    ),
    "a new label under our prefix": lambda pod: pod["metadata"]["labels"].update({"skillwarden.io/x": "y"}),
    "a changed digest": lambda pod: pod["metadata"]["annotations"].update(
        {"skillwarden.io/lock-digest": "x"}
    ),
    "another name": lambda pod: pod["metadata"].update(name="other"),
    "another namespace": lambda pod: pod["metadata"].update(namespace="other"),
    "another kind": lambda pod: pod.update(kind="Job"),
}


@pytest.mark.parametrize("what", WEAKENED)
@pytest.mark.parametrize("name", ["replica", "run"])
def test_a_changed_pod_is_noticed(name: str, what: str) -> None:
    seen = observed(name)
    WEAKENED[what](seen)
    assert not same_spec(WANTED[name], seen)


POLICY_OPENED: dict[str, Callable[[Object], Any]] = {
    "another destination": lambda spec: spec["egress"].append({}),
    "a rule without ports": lambda spec: spec["egress"][0].pop("ports"),
    "a rule without destinations": lambda spec: spec["egress"][0].pop("to"),
    "another port": lambda spec: spec["egress"][0]["ports"].append({"port": 22, "protocol": "TCP"}),
    "a range of ports": lambda spec: spec["egress"][0]["ports"][0].update(endPort=65535),
    "all Pods": lambda spec: spec["egress"][0]["to"][0].update(podSelector={}),
    "all namespaces": lambda spec: spec["egress"][0]["to"][0].update(namespaceSelector={}),
    "a wider block": lambda spec: spec["egress"][1]["to"][0]["ipBlock"].update(cidr="0.0.0.0/0"),
    "ingress": lambda spec: spec.update(ingress=[{}]),
    "egress not judged": lambda spec: spec.update(policyTypes=["Ingress"]),
    "other Pods": lambda spec: spec["podSelector"].update(matchLabels={"x": "y"}),
    "fewer Pods": lambda spec: spec["podSelector"]["matchLabels"].update({"x": "y"}),
    "an expression": lambda spec: spec["podSelector"].update(
        matchExpressions=[{"key": "x", "operator": "Exists"}]
    ),
}


@pytest.mark.parametrize("what", POLICY_OPENED)
def test_an_opened_network_policy_is_noticed(what: str) -> None:
    seen = observed("network-policy")
    POLICY_OPENED[what](seen["spec"])
    assert not same_spec(WANTED["network-policy"], seen)


@pytest.mark.parametrize("opened", [{"egress": [{}]}, {"ingress": [{}]}, {"policyTypes": ["Ingress"]}])
def test_an_opened_default_deny_is_noticed(opened: Object) -> None:
    seen = observed("default-deny")
    seen["spec"].update(opened)
    assert not same_spec(WANTED["default-deny"], seen)


def test_an_account_whose_token_is_mounted_is_noticed() -> None:
    seen = observed("service-account")
    seen["automountServiceAccountToken"] = True
    assert not same_spec(WANTED["service-account"], seen)
    seen.pop("automountServiceAccountToken")
    assert not same_spec(WANTED["service-account"], seen)


def test_a_runtime_class_may_narrow_the_nodes_of_a_pod_that_asks_for_one() -> None:
    wanted = build_pod(make_request(runtime_class="gvisor"))
    seen = copy.deepcopy(wanted)
    seen["spec"]["nodeSelector"]["sandbox.test/gvisor"] = "true"
    seen["spec"]["overhead"] = {"memory": "64Mi"}
    seen["spec"]["tolerations"] = [{"key": "sandbox.test/gvisor", "operator": "Exists"}]
    assert same_spec(wanted, seen)
    seen["spec"]["nodeSelector"]["kubernetes.io/arch"] = "arm64"
    assert not same_spec(wanted, seen)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from leaves(item, (*path, key))
        case list() if value:
            for index, item in enumerate(value):
                yield from leaves(item, (*path, index))
        case _:
            yield path


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "1"
        case _:
            return [{"x": "y"}]


LEAVES = [(name, path) for name, wanted in WANTED.items() for path in leaves(wanted)]


@pytest.mark.parametrize(("name", "path"), LEAVES, ids=lambda value: str(value).replace(" ", ""))
def test_every_single_value_that_changes_is_noticed(name: str, path: tuple[Any, ...]) -> None:
    seen = observed(name)
    parent = at(seen, path[:-1])
    lost = isinstance(parent, dict) and path[-1] not in parent
    parent[path[-1]] = [{"x": "y"}] if lost else other(parent[path[-1]])
    assert not same_spec(WANTED[name], seen)


#: Items of a list have no kind, and no list of rules is an empty one.
LOSSES = [
    (name, path)
    for name, path in LEAVES
    if path not in {("apiVersion",), ("kind",)} and at(WANTED[name], path) != []
]


@pytest.mark.parametrize(("name", "path"), LOSSES, ids=lambda value: str(value).replace(" ", ""))
def test_every_single_value_that_is_lost_is_noticed(name: str, path: tuple[Any, ...]) -> None:
    seen = observed(name)
    at(seen, path[:-1]).pop(path[-1])
    assert not same_spec(WANTED[name], seen)


MAPS = [
    (name, path[:-1])
    for name, path in LEAVES
    if isinstance(path[-1], str) and path[0] == "spec" and isinstance(at(WANTED[name], path[:-1]), dict)
]


@given(
    place=st.sampled_from(sorted(set(MAPS), key=str)),
    key=st.text(alphabet="abcdefghijklmnopqrstuvwxyzABC", min_size=3, max_size=12),
    value=st.one_of(
        st.just(True),
        st.integers(min_value=1),
        st.text(min_size=1, max_size=5),
        st.lists(st.just({"name": "x"}), min_size=1, max_size=2),
        st.dictionaries(st.just("path"), st.just("/"), min_size=1),
    ),
)
def test_no_field_that_we_do_not_know_goes_unnoticed(
    place: tuple[str, tuple[Any, ...]], key: str, value: Any
) -> None:
    name, path = place
    seen = observed(name)
    target = at(seen, path)
    if key in target or key in {"priority", "nodeName", "tty", "stdin"}:
        return
    target[key] = value
    assert not same_spec(WANTED[name], seen)
