"""Planning: what a Pod may not ask, what its limits become, what bwrap is told. Nothing is run here."""

from __future__ import annotations

import platform
import re
import resource
from pathlib import Path
from typing import Any

import pytest
from node_support import PYTHON, SANDBOX_USER, make_container, make_pod

from skillwarden.localcluster.node import DepotEndpoint, LocalImage, seccomp
from skillwarden.localcluster.node.bwrap import (
    HostTools,
    Sources,
    cgroup_memory,
    render_command,
    render_options,
    resource_limits,
)
from skillwarden.localcluster.node.network import egress_of
from skillwarden.localcluster.node.plan import ContainerPlan, NodeFacts, PodPlan, Refusal, plan_pod
from skillwarden.localcluster.node.quantities import parse_bytes, parse_quantity

MIB = 1024 * 1024
DEPOT = DepotEndpoint(labels={"app": "depot"}, port=8080, socket_path=Path("/d.sock"), namespace="system")


def make_facts(*, as_root: bool = True) -> NodeFacts:
    image = LocalImage(name=PYTHON, command=("python3",), python="/usr/bin/python3")
    return NodeFacts(
        name="node",
        as_root=as_root,
        images={PYTHON: image},
        depot=DEPOT,
        pids=100,
        default_volume_bytes=8 * MIB,
    )


def make_policy(*egress: Any, name: str = "policy", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": list(egress), **spec},
    }


def planned(pod: Any, *policies: Any, as_root: bool = True) -> PodPlan:
    pod["metadata"].setdefault("uid", "1")
    outcome = plan_pod(pod, policies, facts=make_facts(as_root=as_root))
    assert isinstance(outcome, PodPlan), outcome
    return outcome


def refused(pod: Any, *policies: Any, as_root: bool = True) -> Refusal:
    pod["metadata"].setdefault("uid", "1")
    outcome = plan_pod(pod, policies, facts=make_facts(as_root=as_root))
    assert isinstance(outcome, Refusal)
    return outcome


def secured(**security: Any) -> dict[str, Any]:
    return make_pod(make_container(securityContext=security))


def with_volume(volume: Any, **mount: Any) -> dict[str, Any]:
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    return make_pod(make_container(volumeMounts=mounts), volumes=[{"name": "v", **volume}])


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param(secured(privileged=True), "privileged", id="privilege"),
        pytest.param(secured(capabilities={"add": ["SYS_ADMIN"]}), "capabilities.add", id="a capability"),
        pytest.param(secured(procMount="Unmasked"), "procMount", id="an unmasked /proc"),
        pytest.param(secured(seccompProfile={"type": "Localhost"}), "Localhost", id="a filter of its own"),
        pytest.param(make_pod(hostNetwork=True), "hostNetwork", id="the host's network"),
        pytest.param(make_pod(hostPID=True), "hostPID", id="the host's processes"),
        pytest.param(make_pod(hostIPC=True), "hostIPC", id="the host's IPC"),
        pytest.param(make_pod(shareProcessNamespace=True), "shareProcess", id="a shared process namespace"),
        pytest.param(make_pod(runtimeClassName="gvisor"), "gvisor", id="a runtime class"),
        pytest.param(with_volume({"hostPath": {"path": "/"}}), "hostPath", id="a folder of the host"),
        pytest.param(with_volume({"projected": {}}), "projected", id="a projected volume"),
        pytest.param(
            make_pod(make_container(ports=[{"containerPort": 1, "hostPort": 1}])),
            "hostPort",
            id="a host port",
        ),
    ],
)
def test_the_node_runs_sandboxes_only(pod: Any, said: str) -> None:
    refusal = refused(pod)

    assert refusal.reason == "SandboxOnly"
    assert said in refusal.message


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param(secured(runAsUser=0), "uid 0", id="root against runAsNonRoot"),
        pytest.param(secured(runAsNonRoot=False, runAsUser=0), "machine's root", id="root"),
        pytest.param(secured(runAsGroup=0), "gid 0", id="root's group"),
        pytest.param(make_pod(make_container(envFrom=[{}])), "envFrom", id="envFrom"),
        pytest.param(make_pod(make_container(lifecycle={"preStop": {}})), "hooks", id="hooks"),
        pytest.param(
            make_pod(initContainers=[make_container(name="side", restartPolicy="Always")]),
            "sidecar",
            id="a sidecar",
        ),
        pytest.param(
            make_pod(make_container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}])),
            "secretKeyRef",
            id="a variable from a Secret",
        ),
        pytest.param(with_volume({"emptyDir": {}}, mountPath="/"), "root", id="a volume over the root"),
        pytest.param(with_volume({"emptyDir": {}}, mountPath="/proc/sys"), "/proc", id="a volume over /proc"),
        pytest.param(
            with_volume({"emptyDir": {}}, mountPath="/a/../etc"), "/etc", id="a path that hides /etc"
        ),
        pytest.param(
            with_volume({"emptyDir": {}}, mountPath="/dev/null"), "/dev/shm", id="a volume over a device"
        ),
        pytest.param(with_volume({"emptyDir": {}}, subPath="../other"), "leaves", id="a subPath that leaves"),
        pytest.param(
            with_volume({"emptyDir": {}}, name="other"), "no volume", id="a volume that is not there"
        ),
        pytest.param(
            with_volume({"configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}),
            "leaves",
            id="an item that leaves",
        ),
    ],
)
def test_a_configuration_that_cannot_be_honoured_is_refused(pod: Any, said: str) -> None:
    refusal = refused(pod)

    assert refusal.reason == "CreateContainerConfigError"
    assert said in refusal.message


def test_a_user_may_be_root_in_a_user_namespace_of_its_own() -> None:
    pod = secured(runAsNonRoot=False, runAsUser=0, runAsGroup=0)

    assert planned(pod, as_root=False).main[0].uid == 0


TO_DEPOT = {"podSelector": {"matchLabels": {"app": "depot"}}, "namespaceSelector": {}}
PORT = {"protocol": "TCP", "port": 8080}


@pytest.mark.parametrize(
    ("policies", "depot"),
    [
        pytest.param(
            [make_policy({"to": [TO_DEPOT], "ports": [PORT]})], True, id="the depot's labels and port"
        ),
        pytest.param(
            [make_policy(), make_policy({"to": [TO_DEPOT], "ports": [PORT]})], True, id="policies add up"
        ),
        pytest.param([make_policy({"to": [TO_DEPOT]})], True, id="all ports of the depot"),
        pytest.param(
            [make_policy({"to": [TO_DEPOT], "ports": [{"port": 8000, "endPort": 9000}]})], True, id="a range"
        ),
        pytest.param([make_policy({"to": [TO_DEPOT], "ports": [{"port": 443}]})], False, id="another port"),
        pytest.param(
            [make_policy({"to": [TO_DEPOT], "ports": [{"port": 8080, "protocol": "UDP"}]})],
            False,
            id="not TCP",
        ),
        pytest.param([make_policy()], False, id="deny all"),
        pytest.param([], False, id="no policy"),
        pytest.param(
            [make_policy({"to": [TO_DEPOT], "ports": [PORT]}, podSelector={"matchLabels": {"app": "other"}})],
            False,
            id="a policy for other Pods",
        ),
        pytest.param(
            [make_policy({"to": [TO_DEPOT], "ports": [PORT]}, policyTypes=["Ingress"])],
            False,
            id="ingress only",
        ),
    ],
)
def test_the_depot_is_opened_by_policy_alone_and_for_init_containers_alone(
    policies: Any, depot: bool
) -> None:
    pod = make_pod(initContainers=[make_container(name="init")])

    plan = planned(pod, *policies)

    assert (plan.init[0].relay is not None) is depot
    assert plan.main[0].relay is None


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        pytest.param([{"ipBlock": {"cidr": "0.0.0.0/0"}}], "0.0.0.0/0", id="a block"),
        pytest.param([], "every destination", id="everything"),
        pytest.param([{"podSelector": {}}], "every Pod", id="every Pod"),
        pytest.param([{"namespaceSelector": {}}], "every Pod", id="every Pod of every namespace"),
        pytest.param([{"podSelector": {"matchLabels": {"app": "db"}}}], "app=db", id="other Pods"),
        pytest.param([{"podSelector": {"matchLabels": {"app": "depot"}}}], "outside", id="a depot elsewhere"),
    ],
)
def test_other_egress_is_refused_and_named(peer: Any, said: str) -> None:
    refusal = refused(make_pod(), make_policy({"to": peer}))

    assert refusal.reason == refusal.event == "EgressUnsupported"
    assert said in refusal.message and "NetworkPolicy policy" in refusal.message


def test_policies_of_other_namespaces_do_not_count() -> None:
    policy = make_policy({"to": [TO_DEPOT], "ports": [PORT]})
    policy["metadata"]["namespace"] = "other"

    assert egress_of(make_pod(), [policy], depot=DEPOT).selected is False


def test_files_on_disk_volumes_do_not_count_as_memory() -> None:
    mounts = [
        {"name": "disk", "mountPath": "/disk"},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "seen", "mountPath": "/seen", "readOnly": True},
    ]
    volumes = [
        {"name": "disk", "emptyDir": {"sizeLimit": "10Mi"}},
        {"name": "memory", "emptyDir": {"sizeLimit": "20Mi", "medium": "Memory"}},
        {"name": "seen", "emptyDir": {"sizeLimit": "40Mi"}},
    ]
    container = make_container(volumeMounts=mounts, resources={"limits": {"memory": "100Mi", "cpu": "250m"}})

    (plan,) = planned(make_pod(container, volumes=volumes)).main

    assert cgroup_memory(plan) == 110 * MIB
    assert (plan.limits.cpu_millis, plan.limits.pids) == (250, 100)


def test_a_volume_without_a_size_takes_the_pods_storage_limit() -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    container = make_container(resources={"limits": {"ephemeral-storage": "3Mi"}})

    assert planned(make_pod(container, volumes=volumes)).volumes[0].size_bytes == 3 * MIB
    assert planned(make_pod(volumes=volumes)).volumes[0].size_bytes == 8 * MIB


def test_inner_mounts_come_after_outer_ones() -> None:
    mounts = [{"name": "v", "mountPath": path} for path in ("/a/b/c", "/a", "/a/b")]

    (plan,) = planned(
        make_pod(make_container(volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}])
    ).main

    assert [mount.path for mount in plan.mounts] == ["/a", "/a/b", "/a/b/c"]


def make_tools(*, as_root: bool, cgroups: bool = True) -> HostTools:
    return HostTools(
        bwrap="bwrap",
        setpriv="/usr/bin/setpriv",
        as_root=as_root,
        root_entries={"/bin": "usr/bin", "/lib32": None},
        cgroups=cgroups,
    )


def rendered(plan: ContainerPlan, *, as_root: bool) -> tuple[list[str], list[str]]:
    tools = make_tools(as_root=as_root)
    sources = Sources(
        etc={"/etc/passwd": "/work/etc/passwd"},
        volumes=[10 + index for index in range(len(plan.mounts))],
        termination_file="/work/term",
        relay_script="/work/relay.py",
        seccomp_fd=3,
        status_fd=4,
        block_fd=5,
    )
    return render_options(plan, tools, sources), render_command(plan, tools)


@pytest.mark.parametrize("as_root", [True, False], ids=["by root", "by a user"])
def test_every_sandbox_has_its_own_namespaces(as_root: bool) -> None:
    options, _ = rendered(planned(make_pod(), as_root=as_root).main[0], as_root=as_root)

    namespaces = {each for each in options if each.startswith("--unshare-")}
    assert namespaces >= {f"--unshare-{kind}" for kind in ("pid", "ipc", "uts", "net", "cgroup")}
    assert {"--die-with-parent", "--new-session", "--clearenv", "--seccomp"} <= set(options)
    assert ("--unshare-user" in namespaces) is not as_root
    assert ("--disable-userns" in options) is not as_root


def test_root_is_left_by_setpriv_before_anything_of_the_container_runs() -> None:
    options, command = rendered(planned(make_pod()).main[0], as_root=True)

    added = [options[index + 1] for index, each in enumerate(options) if each == "--cap-add"]
    assert sorted(added) == ["CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"]
    user = str(SANDBOX_USER)
    assert command[:6] == ["/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
    assert {"--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"} <= set(command[: command.index("--")])


def test_secrets_of_the_environment_are_in_no_command_line() -> None:
    container = make_container(env=[{"name": "TOKEN", "value": "secret"}])

    options, command = rendered(planned(make_pod(container)).main[0], as_root=True)

    assert "secret" in options and not any("secret" in each for each in command)


def test_without_cgroups_the_limits_are_rlimits() -> None:
    container = make_container(resources={"limits": {"memory": "100Mi"}})

    plan = planned(make_pod(container), as_root=False).main[0]

    limited = resource_limits(plan, make_tools(as_root=False, cgroups=False))
    assert limited[resource.RLIMIT_NPROC] == 100
    assert limited[resource.RLIMIT_AS] == (100 + 512) * MIB
    assert limited[resource.RLIMIT_CORE] == 0
    assert resource.RLIMIT_NPROC not in resource_limits(plan, make_tools(as_root=False, cgroups=True))
    crowded = resource_limits(plan, make_tools(as_root=True, cgroups=False), tasks=40)
    assert crowded[resource.RLIMIT_NPROC] == 140


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("256Mi", 256 * MIB),
        ("1k", 1000),
        ("1.5Gi", 1536 * MIB),
        ("1e3", 1000),
        ("100m", 1),
        (7, 7),
        ("1E", 10**18),
    ],
)
def test_quantities_are_bytes(text: str | int, value: int) -> None:
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "1MB", "-", "Mi", "1 Mi", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        parse_quantity(text)


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filters_call_numbers_are_the_kernels(machine: str) -> None:
    header = HEADERS[machine]
    if not header.is_file():
        pytest.skip(f"the kernel's header {header} is not installed")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    architecture = seccomp.ARCHITECTURES[machine]
    named = {
        **architecture.denied,
        **{name: getattr(architecture, name) for name in ("clone", "clone3", "socket", "socketpair")},
    }

    wrong = {name: number for name, number in named.items() if known.get(name, str(number)) != str(number)}
    assert wrong == {}
    # An older header knows not every call, but a misspelt name would never be compared.
    assert len(set(named) - set(known)) <= 4


def test_an_unknown_machine_has_no_filter_and_so_no_sandbox() -> None:
    with pytest.raises(LookupError, match="riscv64"):
        seccomp.compile_filter("riscv64")
    assert len(seccomp.compile_filter(platform.machine())) % 8 == 0
