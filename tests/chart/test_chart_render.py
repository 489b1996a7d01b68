"""What the chart renders to: pinned, valid, restricted, and refused in words where it makes no sense."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from helm_python.errors import HelmError

from skillwarden.api.v1alpha1.quantity import whole_bytes
from skillwarden.builders.pod import USER_ID
from skillwarden.domain.finding import ScanState
from skillwarden.localcluster.apiserver.pod_security import admit
from skillwarden.runtime.metrics import Metrics
from skillwarden.runtime.settings import Settings

Body = dict[str, Any]
SETS = ("defaults", "production", "namespaced", "private-index", "external-depot", "values-airgap")
#: Kinds of other projects, whose schemas do not ship with Kubernetes; ours have tests of their own.
FOREIGN = ("monitoring.coreos.com/v1", "cert-manager.io/v1", "skillwarden.io/v1alpha1")
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def rendered(generate: ModuleType) -> dict[str, list[Body]]:
    return {name: generate.objects(generate.render(values)) for name, values in generate.value_sets().items()}


def of_kind(bodies: list[Body], kind: str, name: str = "") -> list[Body]:
    return [body for body in bodies if body["kind"] == kind and body["metadata"]["name"].endswith(name)]


def pod_specs(bodies: list[Body]) -> list[Body]:
    return [body["spec"]["template"] for body in of_kind(bodies, "Deployment")]


def environment(bodies: list[Body], name: str = "-operator") -> dict[str, str]:
    (deployment,) = of_kind(bodies, "Deployment", name)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    known: dict[str, str] = {}
    for item in container.get("env") or ():
        # As the kubelet: what stands earlier is put in, and a field of the Pod has some value.
        text = item.get("value", "some-value")
        known[item["name"]] = re.sub(r"\$\((\w+)\)", lambda found: known.get(found[1], found[0]), text)
    return known


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Body:
    both = dict(base)
    for key, value in over.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def test_the_six_value_sets_are_the_ones_that_are_pinned(generate: ModuleType) -> None:
    assert set(generate.value_sets()) == set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_a_value_set_renders_to_its_golden(name: str, generate: ModuleType, repo_root: Path) -> None:
    golden = (repo_root / "tests" / "chart" / "golden" / f"{name}.yaml").read_text()
    assert generate.golden(name, generate.value_sets()[name]) == golden, "run `make chart` and read the diff"


@pytest.mark.parametrize("name", SETS)
def test_every_object_is_one_that_kubernetes_takes(name: str, rendered: dict[str, list[Body]]) -> None:
    assert rendered[name]
    for body in rendered[name]:
        if body["apiVersion"] not in FOREIGN:
            kubernetes_validate.validate(body, "1.34", strict=body["kind"] != "CustomResourceDefinition")


@pytest.mark.parametrize("name", SETS)
def test_every_pod_passes_pod_security_restricted(name: str, rendered: dict[str, list[Body]]) -> None:
    templates = pod_specs(rendered[name])
    assert templates
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"metadata": {"name": "here", "labels": enforced}}
    for template in templates:
        admit(namespace, template | {"metadata": {**template["metadata"], "name": "x"}})
        assert template["spec"]["securityContext"]["runAsUser"] == USER_ID
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert "limits" in container["resources"]


@pytest.mark.parametrize("name", SETS)
def test_every_setting_that_is_passed_exists_and_is_read(name: str, rendered: dict[str, list[Body]]) -> None:
    known = {f"SKILLWARDEN_{field.upper()}" for field in Settings.model_fields}
    variables = {key.split("__")[0] for key in environment(rendered[name]) if key.startswith("SKILLWARDEN_")}
    assert variables <= known


def test_operator_settings_read_back_what_the_values_say(
    rendered: dict[str, list[Body]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environment(rendered["production"]).items():
        monkeypatch.setenv(key, value)
    settings = Settings()
    assert settings.runtimes["3.12"].startswith("registry.example/runtime-python@sha256:")
    assert settings.host_users is False
    assert settings.network_enforced is True
    assert settings.pull_secrets == ("registry",)
    assert settings.canary_owner == "some-value/some-value"
    assert settings.depot.sandbox_address() == "10.96.7.7"
    (depot,) = of_kind(rendered["production"], "Deployment", "-depot")
    labels = depot["spec"]["template"]["metadata"]["labels"]
    assert settings.depot.selector.items() <= labels.items()


@pytest.mark.parametrize(
    ("replicas", "claim", "strategy"),
    [(1, "audit", "Recreate"), (2, "audit", "RollingUpdate"), (1, "", "RollingUpdate")],
)
def test_one_operator_gives_its_volume_up_before_the_next_asks_for_it(
    replicas: int, claim: str, strategy: str, generate: ModuleType
) -> None:
    audit = {"file": {"enabled": True, "existingClaim": claim}}
    values = {"operator": {"replicas": replicas}, "audit": audit}
    (deployment,) = of_kind(generate.objects(generate.render(values)), "Deployment", "-operator")
    assert deployment["spec"]["strategy"]["type"] == strategy


def affinity_to(name: str) -> Body:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": name}}}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_operators_that_say_what_sandboxes_run_on_run_on_the_same(generate: ModuleType) -> None:
    """The term selects the operator's own Pods: where there are none, the scheduler puts one anywhere."""
    preferred = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    bodies = generate.objects(generate.render({"operator": {"affinity": preferred}}))
    (deployment,) = of_kind(bodies, "Deployment", "-operator")
    template = deployment["spec"]["template"]
    affinity = template["spec"]["affinity"]
    (term,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term.keys() == {"topologyKey", "labelSelector"}, "of their own namespace"
    assert term["topologyKey"] == "kubernetes.io/arch"
    assert term["labelSelector"]["matchLabels"] == _labels(bodies, "-operator")
    assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert affinity["nodeAffinity"] == preferred["nodeAffinity"]
    assert {rule["whenUnsatisfiable"] for rule in template["spec"]["topologySpreadConstraints"]} == {
        "ScheduleAnyway"
    }


def test_where_the_architecture_is_named_operators_go_where_they_are_sent(generate: ModuleType) -> None:
    wanted = affinity_to("cache")
    values = {"sandbox": {"arch": "arm64"}, "operator": {"affinity": wanted}}
    (deployment,) = of_kind(generate.objects(generate.render(values)), "Deployment", "-operator")
    assert deployment["spec"]["template"]["spec"]["affinity"] == wanted


def test_namespaces_to_watch_reach_the_operator_and_its_roles(rendered: dict[str, list[Body]]) -> None:
    bodies = rendered["namespaced"]
    assert environment(bodies)["SKILLWARDEN_WATCH_NAMESPACES"] == "team-a,team-b"
    (role,) = of_kind(bodies, "ClusterRole", "teams-operator")
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {
        "clusterpackagepolicies", "namespaces"
    }  # fmt: skip
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    roles = {body["metadata"]["namespace"] for body in of_kind(bodies, "Role", "teams-operator")}
    assert roles >= {"team-a", "team-b"}


def test_roles_together_grant_the_same_in_one_namespace_as_everywhere(
    rendered: dict[str, list[Body]],
) -> None:
    def grants(roles: list[Body]) -> set[tuple[str, str, str]]:
        return {
            (group, resource, verb)
            for role in roles
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    whole = grants(of_kind(rendered["defaults"], "ClusterRole", "skillwarden-operator"))
    split = of_kind(rendered["namespaced"], "ClusterRole", "-operator")
    split += [
        role for role in of_kind(rendered["namespaced"], "Role") if role["metadata"]["namespace"] == "team-a"
    ]
    above = {("skillwarden.io", "clusterpackagepolicies/status", "patch")}
    assert whole - grants(split) == above
    assert grants(split) <= whole


def test_admission_policies_name_the_account_that_the_operator_has(rendered: dict[str, list[Body]]) -> None:
    bodies = rendered["namespaced"]
    named = {
        variable["expression"]
        for body in of_kind(bodies, "ValidatingAdmissionPolicy")
        for variable in body["spec"].get("variables") or ()
        if variable["name"] == "operator"
    }
    assert named == {"'system:serviceaccount:skillwarden-system:warden'"}
    (deployment,) = of_kind(bodies, "Deployment", "-operator")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "warden"


def test_admission_policies_of_named_namespaces_bind_there_only(rendered: dict[str, list[Body]]) -> None:
    bindings = of_kind(rendered["namespaced"], "ValidatingAdmissionPolicyBinding")
    assert bindings
    for body in bindings:
        (rule,) = body["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert rule["values"] == ["team-a", "team-b"]
    policies = {
        body["metadata"]["name"] for body in of_kind(rendered["namespaced"], "ValidatingAdmissionPolicy")
    }
    assert {body["spec"]["policyName"] for body in bindings} == policies


def test_by_default_admission_policies_are_the_manifests(
    rendered: dict[str, list[Body]], repo_root: Path
) -> None:
    shown = {
        (body["kind"], body["metadata"]["name"]): body["spec"]
        for body in rendered["defaults"]
        if body["kind"].startswith("ValidatingAdmissionPolicy")
    }
    wanted = {
        (body["kind"], body["metadata"]["name"]): body["spec"]
        for path in (repo_root / "manifests" / "admission").glob("*.yaml")
        for body in yaml.safe_load_all(path.read_text())
    }
    assert shown == wanted


def test_crds_are_kept_when_the_release_goes(rendered: dict[str, list[Body]], repo_root: Path) -> None:
    crds = of_kind(rendered["defaults"], "CustomResourceDefinition")
    assert len(crds) == len(list((repo_root / "crds").glob("*.yaml")))
    assert all(body["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for body in crds)
    assert not of_kind(rendered["external-depot"], "CustomResourceDefinition")


def test_the_baseline_is_kept_from_the_first_revision_on(rendered: dict[str, list[Body]]) -> None:
    """Rendered without a cluster it is what a first install has: a hook, for its kind is not known yet."""
    (baseline,) = of_kind(rendered["defaults"], "ClusterPackagePolicy")
    annotations = baseline["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "post-install,post-upgrade"
    assert annotations["helm.sh/resource-policy"] == "keep"


def test_private_networks_reach_operator_and_depot_alike(rendered: dict[str, list[Body]]) -> None:
    bodies = rendered["private-index"]
    for name in ("-operator", "-depot"):
        env = environment(bodies, name)
        assert env["SSL_CERT_FILE"] == "/etc/skillwarden/ca/bundle.pem"
        assert env["HTTPS_PROXY"] == "http://proxy:3128"
        assert "skillwarden-depot.skillwarden-system" in env["NO_PROXY"].split(",")
        assert env["NETRC"] == "/etc/skillwarden/index/netrc"
        assert env["SKILLWARDEN_INDEX_URL"] == "https://pypi.example/simple"
        (deployment,) = of_kind(bodies, "Deployment", name)
        spec = deployment["spec"]["template"]["spec"]
        mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        assert {"ca", "index"} <= mounted


@pytest.mark.parametrize("size", ["5Gi", "1.5Ti", "500M", "10485760Ki", "1073741824"])
def test_a_full_depot_stays_below_what_its_pod_is_evicted_for(size: str, generate: ModuleType) -> None:
    values = {"depot": {"storage": {"emptyDir": True, "size": size}}}
    (deployment,) = of_kind(generate.objects(generate.render(values)), "Deployment", "-depot")
    spec = deployment["spec"]["template"]["spec"]
    (limit,) = [volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] == "state"]
    assert f"--max-size={size}" in spec["containers"][0]["args"]
    assert isinstance(limit, str)
    assert whole_bytes(limit) == pytest.approx(1.25 * whole_bytes(size), rel=0.01)


def test_nothing_but_the_operator_canaries_and_sandboxes_reaches_the_depot(
    rendered: dict[str, list[Body]],
) -> None:
    (policy,) = of_kind(rendered["defaults"], "NetworkPolicy", "-depot")
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [
        {"podSelector": {"matchLabels": _labels(rendered["defaults"], "-operator")}},
        {"podSelector": {"matchLabels": {"skillwarden.io/component": "canary"}}},
        {
            "namespaceSelector": {},
            "podSelector": {"matchLabels": {"skillwarden.io/component": "sandbox"}},
        },
    ]
    assert policy["spec"]["podSelector"]["matchLabels"] == _labels(rendered["defaults"], "-depot")


def test_an_advisory_server_is_whom_the_operator_syncs_from(rendered: dict[str, list[Body]]) -> None:
    bodies = rendered["production"]
    source = environment(bodies)["SKILLWARDEN_ADVISORIES_SOURCE"]
    (service,) = of_kind(bodies, "Service", "-advisories")
    (deployment,) = of_kind(bodies, "Deployment", "-advisories")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    arguments = dict(item.split("=", 1) for item in container["args"] if "=" in item)
    (port,) = service["spec"]["ports"]
    assert (
        source
        == f"http://{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{port['port']}"
    )
    assert service["spec"]["selector"] == _labels(bodies, "-advisories")
    assert arguments["--listen"].endswith(f":{container['ports'][0]['containerPort']}")
    assert arguments["--from"] == environment(rendered["defaults"])["SKILLWARDEN_ADVISORIES_SOURCE"]
    assert not of_kind(rendered["defaults"], "Deployment", "-advisories")


def test_nobody_asks_the_advisory_server_but_who_may(rendered: dict[str, list[Body]]) -> None:
    (policy,) = of_kind(rendered["production"], "NetworkPolicy", "-advisories")
    (rule,) = policy["spec"]["ingress"]
    assert policy["spec"]["podSelector"]["matchLabels"] == _labels(rendered["production"], "-advisories")
    assert [peer.get("podSelector", {}).get("matchLabels") for peer in rule["from"]] == [
        _labels(rendered["production"], "-operator"), None, None
    ]  # fmt: skip
    named = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"][1:]]
    assert [labels["kubernetes.io/metadata.name"] for labels in named] == ["ci", "monitoring"]


def _labels(bodies: list[Body], name: str) -> dict[str, str]:
    (deployment,) = of_kind(bodies, "Deployment", name)
    return dict(deployment["spec"]["selector"]["matchLabels"])


def test_with_digests_required_no_image_has_a_tag(rendered: dict[str, list[Body]]) -> None:
    for name in ("production", "values-airgap"):
        env = environment(rendered[name])
        images = [env["SKILLWARDEN_OPERATOR_IMAGE"], *json.loads(env["SKILLWARDEN_RUNTIMES"]).values()]
        images += [spec["spec"]["containers"][0]["image"] for spec in pod_specs(rendered[name])]
        assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images)


@pytest.mark.parametrize("name", SETS)
def test_a_webhook_that_does_not_answer_is_in_nobodys_way(name: str, rendered: dict[str, list[Body]]) -> None:
    """The operator decides whether it was asked at `kubectl apply` or not."""
    found = of_kind(rendered[name], "ValidatingWebhookConfiguration")
    assert bool(found) is (name != "external-depot")
    assert {hook["failurePolicy"] for body in found for hook in body["webhooks"]} <= {"Ignore"}


def test_the_charts_own_certificate_is_for_the_name_that_the_api_server_calls(
    rendered: dict[str, list[Body]],
) -> None:
    bodies = rendered["defaults"]
    (hooks,) = of_kind(bodies, "ValidatingWebhookConfiguration")
    (secret,) = of_kind(bodies, "Secret", "-webhook-tls")
    (service,) = of_kind(bodies, "Service", "-webhook")
    authority = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["ca.crt"]))
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for hook in hooks["webhooks"]:
        client = hook["clientConfig"]
        assert client["caBundle"] == secret["data"]["ca.crt"]
        assert client["service"]["name"] == service["metadata"]["name"]
        called = f"{client['service']['name']}.{client['service']['namespace']}.svc"
        assert called in names.get_values_for_type(x509.DNSName)


def test_the_charts_certificate_and_cert_managers_are_two_secrets(rendered: dict[str, list[Body]]) -> None:
    """Helm takes over no object that somebody else made, so that of one name there would be no way back."""
    (made,) = of_kind(rendered["defaults"], "Secret", "-tls")
    (issued,) = of_kind(rendered["production"], "Certificate")
    assert issued["spec"]["secretName"] != made["metadata"]["name"]
    (deployment,) = of_kind(rendered["production"], "Deployment", "-operator")
    mounted = [volume.get("secret", {}) for volume in deployment["spec"]["template"]["spec"]["volumes"]]
    assert issued["spec"]["secretName"] in {secret.get("secretName") for secret in mounted}


REFUSED: dict[str, tuple[Body, str]] = {
    "an affinity that no Pod could meet": (
        {"operator": {"affinity": affinity_to("cache")}},
        "set sandbox.arch",
    ),
    "a name that is misspelt": ({"opertor": {}}, "additional properties 'opertor' not allowed"),
    "a value of the wrong type": (
        {"metrics": {"port": "http"}},
        "at '/metrics/port': got string, want integer",
    ),
    "a digest that is none": ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    "an index with credentials in its URL": (
        {"index": {"url": "https://me:secret@pypi.example/simple"}},
        "at '/index/url'",
    ),
    "a default version without an image": (
        {"sandbox": {"defaultPython": "3.11"}},
        "sandbox.defaultPython is 3.11, but sandbox.runtimes.python has only 3.12",
    ),
    "a tag where digests are required": (
        {"requireDigests": True},
        "requireDigests is on, but image.digest is empty",
    ),
    "a runtime's tag where digests are required": (
        {"requireDigests": True, "image": {"digest": DIGEST}},
        "requireDigests is on, but sandbox.runtimes.python has skillwarden-runtime-python:0.1.0 for 3.12",
    ),
    "no account": (
        {"operator": {"serviceAccount": {"create": False}}},
        "operator.serviceAccount.name must name the account that exists",
    ),
    "a server of nothing": (
        {"advisories": {"source": "", "server": {"enabled": True}}},
        "say where the server syncs from",
    ),
    "two priority classes": (
        {"priorityClass": {"create": True}, "operator": {"priorityClassName": "high"}},
        "leave operator.priorityClassName empty",
    ),
    "a claim for no file": ({"audit": {"file": {"existingClaim": "audit"}}}, "audit.file.enabled is off"),
    "nothing on record": ({"audit": {"stdout": False}}, "nothing that is decided would be on record"),
    "two volumes of the depot": (
        {"depot": {"storage": {"existingClaim": "disk", "emptyDir": True}}},
        "exclude each other",
    ),
    "two depots": (
        {"depot": {"external": {"url": "http://10.0.0.1:8480"}}},
        "turn depot.enabled off, or leave depot.external empty",
    ),
    "no depot": ({"depot": {"enabled": False}}, "depot.enabled is off, so depot.external needs url"),
    "a depot elsewhere without its key": (
        {
            "depot": {
                "enabled": False,
                "external": {"url": "http://10.0.0.1:8480", "host": "10.0.0.1", "cidr": "10.0.0.1/32"},
            }
        },
        "depot.key.existingSecret must name the Secret",
    ),
    "an air gap with the public index": ({"airGapped": True}, "airGapped is on, but index.url is empty"),
    "an air gap with the public npm registry": (
        {"airGapped": True, "index": {"url": "https://pypi.internal/simple"}},
        "airGapped is on, but index.npmRegistry is empty",
    ),
    "a default version of Node without an image": (
        {"sandbox": {"defaultNode": "22"}},
        "sandbox.defaultNode is 22, but sandbox.runtimes.node has only 24",
    ),
    "an image of both without both versions": (
        {"sandbox": {"runtimes": {"mixed": {"3.12": "x"}}}},
        "invalid propertyName '3.12'",
    ),
    "an air gap with public advisories": (
        {
            "airGapped": True,
            "index": {"url": "https://pypi.internal/simple", "npmRegistry": "https://npm.internal"},
        },
        "airGapped is on, but advisories.source is OSV's own server",
    ),
    "an air gap with an image of the public registry": (
        {
            "airGapped": True,
            "index": {"url": "https://pypi.internal/simple", "npmRegistry": "https://npm.internal"},
            "advisories": {"source": "https://osv.internal"},
        },
        "the image skillwarden names no registry",
    ),
    "two makers of one certificate": (
        {"webhook": {"certificate": {"existingSecret": "x", "certManager": {"enabled": True}}}},
        "leave existingSecret and caBundle empty",
    ),
    "a certificate that nobody vouches for": (
        {"webhook": {"certificate": {"existingSecret": "x"}}},
        "webhook.certificate.caBundle must hold its authority",
    ),
    "an authority of nothing": (
        {"webhook": {"certificate": {"caBundle": "eA=="}}},
        "name the Secret that it vouches for",
    ),
    "an issuer that nobody asks": (
        {"webhook": {"certificate": {"certManager": {"issuerRef": {"name": "x"}}}}},
        "certManager.enabled is off",
    ),
    "one port for two": ({"webhook": {"port": 8481}}, "webhook.port and metrics.port are both 8481"),
    "more operators than help": ({"operator": {"replicas": 6}}, "at '/operator/replicas'"),
}


@pytest.mark.parametrize("without_node", [False, True])
def test_the_values_that_the_install_page_begins_with_are_taken(
    without_node: bool, generate: ModuleType, repo_root: Path
) -> None:
    page = (repo_root / "docs" / "operations" / "install.md").read_text()
    text = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)[0]
    values = yaml.safe_load(text.replace("sha256:…", DIGEST))
    assert values["requireDigests"] is True
    if without_node:
        assert '{"24": null}' in text
        values["sandbox"]["runtimes"]["node"] = {"24": None}
    settings = environment(generate.objects(generate.render(values)))
    assert settings["SKILLWARDEN_OPERATOR_IMAGE"].endswith(DIGEST)


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_in_words(case: str, generate: ModuleType) -> None:
    values, words = REFUSED[case]
    with pytest.raises(HelmError) as refusal:
        generate.render(values)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        ({}, False),
        ({"canary": {"enabled": False}}, True),
        ({"canary": {"enabled": False}, "sandbox": {"networkEnforced": False}}, False),
    ],
)
def test_the_notes_say_where_nobody_finds_out_about_the_network(
    values: Body, unknown: bool, generate: ModuleType
) -> None:
    assert ("NetworkIsolated stays Unknown" in generate.render(values)["NOTES.txt"]) is unknown


def test_every_value_has_a_schema_and_every_schema_a_value(generate: ModuleType) -> None:
    schema = json.loads((generate.CHART / "values.schema.json").read_text())
    values = yaml.safe_load((generate.CHART / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)

    def compare(part: Body, value: Body, path: str) -> None:
        properties = part.get("properties")
        if properties is None:
            return
        assert part["additionalProperties"] is False, path
        assert set(properties) - {"global"} == set(value), path
        for name, below in properties.items():
            if isinstance(value.get(name), dict):
                compare(below, value[name], f"{path}.{name}")

    compare(schema, values, "")


def test_helm_lint_finds_nothing(generate: ModuleType) -> None:
    for values in generate.value_sets().values():
        result = helm_python.lint(generate.CHART, values)
        worst = [item for item in result["messages"] if item["severity"] > 1]
        assert worst == []
        assert result["errors"] == []


def test_what_the_chart_takes_from_elsewhere_is_not_behind(generate: ModuleType) -> None:
    wanted = generate.outputs()
    behind = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    assert behind == [], "run `make chart`"
    assert set((generate.CHART / "files").rglob("*.yaml")) <= set(wanted)


def test_the_rendered_manifest_is_not_behind(generate: ModuleType) -> None:
    assert generate.INSTALL.read_text() == generate.install_manifest(), "run `make chart`"


def test_every_value_is_in_the_docs(generate: ModuleType) -> None:
    page = (generate.ROOT / "docs" / "operations" / "chart-values.md").read_text()

    def paths(value: Any, path: str) -> list[str]:
        if f"| `{path}` |" in page:
            return []
        if isinstance(value, dict) and value:
            return [
                found for key, below in value.items() for found in paths(below, f"{path}.{key}".strip("."))
            ]
        return [path]

    assert paths(yaml.safe_load((generate.CHART / "values.yaml").read_text()), "") == []


def metric_names(text: str) -> set[str]:
    return set(re.findall(r"\bskillwarden_[a-z_]+", text))


def test_alerts_and_dashboard_ask_for_metrics_that_exist(
    generate: ModuleType, watched_metrics: Metrics
) -> None:
    known = {
        name
        for family in watched_metrics.registry.collect()
        for name in (family.name, *(f"{family.name}_{end}" for end in ("bucket", "count", "sum", "total")))
    }
    for file in ("alerts.yaml", "dashboard.json"):
        asked = metric_names((generate.CHART / "monitoring" / file).read_text())
        assert asked
        assert asked <= known


def test_every_alert_has_its_runbook(generate: ModuleType) -> None:
    groups = yaml.safe_load((generate.CHART / "monitoring" / "alerts.yaml").read_text())["groups"]
    page = (generate.ROOT / "docs" / "operations" / "alerts.md").read_text()
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    assert alerts
    assert re.findall(r"^## (\w+)$", page, flags=re.MULTILINE) == alerts


def test_alerts_ask_for_label_values_that_exist(generate: ModuleType) -> None:
    known = {
        "state": set(ScanState),
        "outcome": {"ok", "retry", "timeout", "error", "failed"},
        "status": {"403"},
    }
    text = (generate.CHART / "monitoring" / "alerts.yaml").read_text()
    asked = re.findall(r'\{(\w+)="([^"]*)"\}', text)
    assert asked
    assert [pair for pair in asked if pair[1] not in known[pair[0]]] == []
