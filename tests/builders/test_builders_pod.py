"""The Pod's protections, one by one: each of these fails when its protection is taken out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders_support import (
    CONTENT,
    INPUT,
    LOCK,
    SKILL,
    TOKEN,
    make_depot,
    make_owner,
    make_request,
    make_run,
    make_spec,
)
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.builders.env import reserved_names
from skillwarden.builders.metadata import ANNOTATION_SPEC
from skillwarden.builders.network_policy import build_default_deny, build_network_policy
from skillwarden.builders.pod import Images, PodRequest, build_pod, nameservers
from skillwarden.builders.quantity import quantity
from skillwarden.builders.service_account import build_service_account
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.lock import Platform
from skillwarden.domain.policy import Resources
from skillwarden.domain.skill import EgressPeer, SkillKey
from skillwarden.localcluster.node.environment import expand

Pod = dict[str, Any]
REQUESTS = [pytest.param(make_request(), id="replica"), pytest.param(make_run(), id="run")]
every_pod = pytest.mark.parametrize("request_", REQUESTS)


def containers(pod: Pod) -> list[dict[str, Any]]:
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def skill_container(pod: Pod) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    return dict(container)


def env_of(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


#: https://kubernetes.io/docs/concepts/security/pod-security-standards/, Restricted with Baseline.
def restricted_violations(pod: Pod) -> list[str]:
    spec = pod["spec"]
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [volume["name"] for volume in spec["volumes"] if not {*volume} - {"name"} <= allowed]
    inherited = spec.get("securityContext", {})
    if inherited.get("sysctls") or inherited.get("runAsUser") == 0:
        found.append("securityContext")
    for container in containers(pod):
        security = {**inherited, **container.get("securityContext", {})}
        checks = {
            "privileged": not security.get("privileged", False),
            "allowPrivilegeEscalation": security.get("allowPrivilegeEscalation") is False,
            "capabilities": security.get("capabilities") == {"drop": ["ALL"]},
            "runAsNonRoot": security.get("runAsNonRoot") is True,
            "runAsUser": security.get("runAsUser", 1) != 0,
            "seccompProfile": security.get("seccompProfile", {}).get("type")
            in {"RuntimeDefault", "Localhost"},
            "procMount": security.get("procMount", "Default") == "Default",
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        }
        found += [f"{container['name']}.{name}" for name, holds in checks.items() if not holds]
    return found


def test_a_kubelet_expands_nothing_that_the_author_wrote() -> None:
    """It would put the value of a variable in the place of ``$(NAME)``: what runs is what was looked at."""
    texts = ("$(F)", "$$(F)", "${F} $F $", "a$(F)b$$")
    spec = replace(
        make_spec(env=(("F", "data.csv"), *((f"T{n}", text) for n, text in enumerate(texts)))), command=texts
    )
    [container] = build_pod(make_request(spec=spec))["spec"]["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert tuple(expand(word, env) for word in container["command"]) == texts
    assert tuple(expand(env[f"T{n}"], env) for n in range(len(texts))) == texts


@pytest.mark.parametrize(
    ("sentence", "changes", "same"),
    [
        ("the operator's image", {"operator": "skillwarden:next"}, True),
        ("how images are pulled", {"pull_policy": "Always", "pull_secrets": ("other",)}, True),
        ("the image that it runs in", {"runtime": "python:next"}, False),
    ],
)
def test_a_running_pod_is_still_the_wanted_one_after_a_change_of(
    sentence: str, changes: dict[str, Any], same: bool
) -> None:
    request = make_request()
    other = replace(request, images=replace(request.images, **changes))
    one, two = (build_pod(item)["metadata"]["annotations"][ANNOTATION_SPEC] for item in (request, other))
    assert (one == two) is same


@every_pod
def test_it_passes_pod_security_restricted(request_: PodRequest) -> None:
    assert restricted_violations(build_pod(request_)) == []


@every_pod
def test_no_process_is_root_and_all_have_one_high_user(request_: PodRequest) -> None:
    pod = build_pod(request_)
    for security in [pod["spec"]["securityContext"], *(item["securityContext"] for item in containers(pod))]:
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] == 65532
    assert pod["spec"]["securityContext"]["fsGroup"] == 65532


@every_pod
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("readOnlyRootFilesystem", True),
        ("allowPrivilegeEscalation", False),
        ("privileged", False),
        ("capabilities", {"drop": ["ALL"]}),
        ("seccompProfile", {"type": "RuntimeDefault"}),
    ],
)
def test_every_container_is_confined(request_: PodRequest, field: str, value: object) -> None:
    for container in containers(build_pod(request_)):
        assert container["securityContext"][field] == value


@every_pod
@pytest.mark.parametrize("field", ["automountServiceAccountToken", "enableServiceLinks"])
def test_nothing_of_the_cluster_is_put_into_it(request_: PodRequest, field: str) -> None:
    assert build_pod(request_)["spec"][field] is False


@every_pod
def test_it_runs_as_the_skills_own_service_account(request_: PodRequest) -> None:
    account = build_service_account(SKILL, owner=make_owner())
    assert build_pod(request_)["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["name"] != "default"


@every_pod
def test_requests_are_limits_for_cpu_memory_and_ephemeral_storage(request_: PodRequest) -> None:
    for container in containers(build_pod(request_)):
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert resources["limits"] == {"cpu": "500m", "memory": "268435456", "ephemeral-storage": "536870912"}


@every_pod
def test_every_volume_is_a_sized_empty_dir(request_: PodRequest) -> None:
    for volume in build_pod(request_)["spec"]["volumes"]:
        assert set(volume) == {"name", "emptyDir"}
        assert volume["emptyDir"] == {"sizeLimit": "536870912"}


@every_pod
def test_the_skill_writes_to_tmp_and_nowhere_else(request_: PodRequest) -> None:
    mounts = skill_container(build_pod(request_))["volumeMounts"]
    writable = [mount["mountPath"] for mount in mounts if mount.get("readOnly") is not True]
    assert writable == ["/tmp"]
    assert {mount["mountPath"]: mount["subPath"] for mount in mounts if mount.get("readOnly")}[
        "/skill/env"
    ] == "env"


def test_the_scratch_folder_is_not_where_the_code_lies() -> None:
    mounts = {
        mount["mountPath"]: mount["name"] for mount in skill_container(build_pod(make_run()))["volumeMounts"]
    }
    assert mounts["/tmp"] != mounts["/skill/src"]


def test_the_input_is_shown_only_where_there_is_one() -> None:
    with_input = skill_container(build_pod(make_run()))["volumeMounts"]
    without = skill_container(build_pod(make_run(input_digest=None)))["volumeMounts"]
    assert [mount["mountPath"] for mount in with_input if mount not in without] == ["/skill/input.json"]


@every_pod
def test_the_token_is_the_init_containers_alone(request_: PodRequest) -> None:
    pod = build_pod(request_)
    (prepare,) = pod["spec"]["initContainers"]
    assert env_of(prepare)["SKILLWARDEN_TOKEN"] == TOKEN
    assert TOKEN not in str(pod["spec"]["containers"])
    assert TOKEN not in str(pod["metadata"])
    assert TOKEN not in str(prepare["command"])
    assert TOKEN not in repr(request_)


def test_the_init_container_is_told_every_digest_and_runs_our_image() -> None:
    pod = build_pod(make_run())
    (prepare,) = pod["spec"]["initContainers"]
    env = env_of(prepare)
    assert prepare["image"] == "example.test/skillwarden:1"
    assert prepare["command"] == ["python", "-I", "-m", "skillwarden.sandbox"]
    assert env["SKILLWARDEN_LOCK_DIGEST"] == LOCK
    assert env["SKILLWARDEN_CONTENT_DIGEST"] == CONTENT
    assert env["SKILLWARDEN_INPUT_DIGEST"] == INPUT
    assert env["SKILLWARDEN_DEPOT_URL"] == "http://10.96.0.17:80"


@pytest.mark.parametrize(
    ("isolated", "egress", "waits"),
    [(True, (), True), (False, (), False), (True, (EgressPeer("10.0.0.0/8", 443),), False)],
)
def test_a_policy_is_waited_for_where_it_is_enforced_and_denies_the_api_server(
    isolated: bool, egress: tuple[EgressPeer, ...], waits: bool
) -> None:
    request = make_request(spec=make_spec(egress=egress), isolated=isolated)
    pod = build_pod(request)
    [container] = pod["spec"]["initContainers"]
    told = {entry["name"]: entry["value"] for entry in container["env"]}
    assert (told.get("SKILLWARDEN_ISOLATED") == "true") is waits
    # What a canary sees later ends nothing that runs.
    seen = [build_pod(replace(request, isolated=known))["metadata"]["annotations"] for known in (True, False)]
    assert seen[0] == seen[1]


def test_a_skill_that_reaches_nothing_has_a_resolver_that_does_not_answer() -> None:
    spec = build_pod(make_request())["spec"]
    assert spec["dnsPolicy"] == "None"
    assert spec["dnsConfig"] == {"nameservers": ["127.0.0.1"]}


@pytest.mark.parametrize(
    ("peers", "servers"),
    [
        ([], ["127.0.0.1"]),
        ([EgressPeer("192.0.2.0/24", 443)], ["127.0.0.1"]),
        ([EgressPeer("192.0.2.0/24", 53, "UDP")], ["127.0.0.1"]),
        ([EgressPeer("192.0.2.53/32", 53, "UDP")], ["192.0.2.53"]),
        ([EgressPeer("192.0.2.53/32", 53, "UDP"), EgressPeer("192.0.2.53/32", 53, "TCP")], ["192.0.2.53"]),
        ([EgressPeer("2001:db8::53/128", 53, "UDP")], ["2001:db8::53"]),
        (
            [EgressPeer(f"192.0.2.{last}/32", 53, "UDP") for last in range(5)],
            ["192.0.2.0", "192.0.2.1", "192.0.2.2"],
        ),
    ],
)
def test_only_a_declared_resolver_is_a_resolver(peers: list[EgressPeer], servers: list[str]) -> None:
    assert nameservers(peers) == servers


def test_a_run_ends_and_a_replica_stands() -> None:
    assert build_pod(make_run())["spec"]["restartPolicy"] == "Never"
    assert build_pod(make_run())["spec"]["activeDeadlineSeconds"] == 300
    assert build_pod(make_request())["spec"]["restartPolicy"] == "Always"
    assert "activeDeadlineSeconds" not in build_pod(make_request())["spec"]


@every_pod
def test_it_is_gone_within_five_seconds(request_: PodRequest) -> None:
    assert build_pod(request_)["spec"]["terminationGracePeriodSeconds"] <= 5


def test_it_is_pinned_to_the_architecture_of_its_lock() -> None:
    pod = build_pod(make_request(platform=Platform("3.12", arch="arm64")))
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}


@pytest.mark.parametrize(("asked", "wanted"), [(False, False), (None, None), (True, None)])
def test_a_user_namespace_is_asked_for_where_the_cluster_can(asked: bool | None, wanted: bool | None) -> None:
    assert build_pod(make_request(host_users=asked))["spec"].get("hostUsers") is wanted


def test_the_runtime_class_is_the_one_asked_for() -> None:
    assert build_pod(make_request(runtime_class="gvisor"))["spec"]["runtimeClassName"] == "gvisor"
    assert "runtimeClassName" not in build_pod(make_request())["spec"]


@every_pod
def test_output_is_the_termination_message(request_: PodRequest) -> None:
    container = skill_container(build_pod(request_))
    assert container["terminationMessagePath"] == "/skill/output.json"
    assert container["terminationMessagePolicy"] == "File"


@every_pod
def test_whole_digests_stand_in_annotations_and_labels_are_valid(request_: PodRequest) -> None:
    metadata = build_pod(request_)["metadata"]
    assert metadata["annotations"]["skillwarden.io/lock-digest"] == LOCK
    assert metadata["annotations"]["skillwarden.io/content-digest"] == CONTENT
    assert all(len(value) <= 63 and ":" not in value for value in metadata["labels"].values())
    assert metadata["labels"]["skillwarden.io/skill-uid"] == SKILL.uid


@every_pod
def test_its_owner_controls_it_and_does_not_wait_for_it(request_: PodRequest) -> None:
    (reference,) = build_pod(request_)["metadata"]["ownerReferences"]
    assert reference["uid"] == request_.owner.uid
    assert reference["controller"] is True
    assert reference["blockOwnerDeletion"] is False


@pytest.mark.parametrize(
    "changes",
    [
        {"lock_digest": CONTENT},
        {"content_digest": LOCK},
        {"input_digest": INPUT},
        {"ordinal": 1},
        {"owner": make_owner("SkillRun")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_lock_content_input_ordinal_or_owner_is_another_pod(changes: dict[str, Any]) -> None:
    assert (
        build_pod(make_request(**changes))["metadata"]["name"]
        != build_pod(make_request())["metadata"]["name"]
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "swd1.other.token"},
        {"spec": make_spec(env=())},
        {"images": Images(runtime="example.test/python:new", operator="example.test/skillwarden:1")},
        {"runtime_class": "gvisor"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_change_that_keeps_the_name_shows_in_the_spec_hash(changes: dict[str, Any]) -> None:
    before, after = (build_pod(item)["metadata"] for item in (make_request(), make_request(**changes)))
    assert before["name"] == after["name"]
    assert before["annotations"][ANNOTATION_SPEC] != after["annotations"][ANNOTATION_SPEC]


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "TMPDIR", "BASH_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "SKILLWARDEN_TOKEN", "SKILLWARDEN_ANYTHING"),
    ],
)
def test_a_skill_cannot_set_what_decides_which_code_runs(name: str) -> None:
    assert reserved_names([("A", "1"), (name, "/tmp/evil")]) == (name,)
    with pytest.raises(InvalidInputError, match=name):
        build_pod(make_request(spec=make_spec(env=((name, "/tmp/evil"),))))


def test_other_names_reach_the_skill_in_order() -> None:
    env = (("LEVEL", "debug"), ("PYTHONHASHSEED", "0"))
    assert reserved_names(env) == ()
    built = list(env_of(skill_container(build_pod(make_request(spec=make_spec(env=env))))).items())
    assert built[-2:] == list(env)


@pytest.mark.parametrize("missing", ["cpu", "memory", "ephemeral_storage"])
def test_a_pod_without_a_limit_is_never_built(missing: str) -> None:
    amounts = {"cpu": 1, "memory": 1, "ephemeral_storage": 1, missing: None}
    with pytest.raises(ValueError, match="limits"):
        build_pod(make_request(spec=make_spec(resources=Resources(**amounts))))


def test_network_policies_deny_everything_but_the_depot() -> None:
    spec = build_network_policy(SKILL, owner=make_owner(), depot=make_depot())["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == []
    (opening,) = spec["egress"]
    (peer,) = opening["to"]
    assert peer["podSelector"]["matchLabels"] == {"skillwarden.io/component": "depot"}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "skillwarden"}
    assert opening["ports"] == [{"protocol": "TCP", "port": 8480}], "the Pods' port, not the Service's"
    assert "ipBlock" not in str(spec)


def test_a_network_policy_selects_exactly_the_pods_of_its_skill() -> None:
    selector = build_network_policy(SKILL, owner=make_owner(), depot=make_depot())["spec"]["podSelector"]
    labels = build_pod(make_run())["metadata"]["labels"]
    assert selector["matchLabels"].items() <= labels.items()
    assert selector["matchLabels"]["skillwarden.io/skill-uid"] == SKILL.uid


def test_the_default_deny_selects_every_sandbox_and_opens_nothing() -> None:
    spec = build_default_deny("analytics")["spec"]
    assert (
        spec["podSelector"]["matchLabels"].items() <= build_pod(make_request())["metadata"]["labels"].items()
    )
    assert "skillwarden.io/skill-uid" not in spec["podSelector"]["matchLabels"]
    assert (spec["policyTypes"], spec["ingress"], spec["egress"]) == (["Ingress", "Egress"], [], [])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"selector": {}}, id="an empty selector would open every Pod"),
        pytest.param({"namespace_labels": {}}, id="no namespace would open every namespace"),
        pytest.param({"in_cluster": False}, id="outside without a block"),
        pytest.param({"host": "depot.skillwarden.svc"}, id="a name needs DNS"),
        pytest.param({"in_cluster": False, "cidr": "10.0.0.1/8"}, id="a block with host bits"),
    ],
)
def test_a_depot_that_would_open_more_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        make_depot(**changes)


def test_names_that_are_too_long_stay_apart_and_valid() -> None:
    skills = [SkillKey("n", "x" * 100 + end, "u") for end in ("a", "b")]
    names = {build_service_account(skill, owner=make_owner())["metadata"]["name"] for skill in skills}
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1000m", 1),
        ("1Gi", 2**30),
        ("1e3", 1000),
        ("1.5k", 1500),
        ("100n", None),
        ("", None),
        ("x", None),
    ],
)
def test_quantities_are_read_by_value(text: str, value: int | None) -> None:
    if text == "100n":
        assert quantity(text) == quantity("0.1u")
    else:
        assert quantity(text) == value


@given(st.text(max_size=20))
def test_no_text_crashes_the_reading_of_quantities(text: str) -> None:
    quantity(text)
