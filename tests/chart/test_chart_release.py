"""Install, upgrade and uninstall with Helm itself, against the embedded API server."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helm_python import Config

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.transport import Call
from skillwarden.localcluster.apiserver import ThreadedApiServer

NAMESPACE = "skillwarden-system"
Body = dict[str, Any]
HERE = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
POLICIES = "/apis/skillwarden.io/v1alpha1/clusterpackagepolicies"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
Helm = Callable[[], Config]


@pytest.fixture
def kubeconfig(api_server: ThreadedApiServer, tmp_path: Path) -> Path:
    return api_server.server.write_kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def helm(kubeconfig: Path) -> Helm:
    # One a command, as on a command line: it remembers which kinds are served.
    return lambda: Config(kubeconfig_path=str(kubeconfig), namespace=NAMESPACE)


async def names(kubeconfig: Path, path: str) -> dict[str, Body]:
    async with await Gateway.connect(kubeconfig=kubeconfig) as gateway:
        page = await gateway._transport.object(Call("list", "any", path))
    return {item["metadata"]["name"]: item for item in page["items"]}


async def test_a_release_installs_upgrades_goes_back_goes_and_comes_back(
    helm: Helm, kubeconfig: Path, repo_root: Path
) -> None:
    chart = repo_root / "charts" / "skillwarden"
    helm().install(chart, "skillwarden", namespace=NAMESPACE, create_namespace=True)
    assert set(await names(kubeconfig, HERE)) == {"skillwarden-operator", "skillwarden-depot"}
    assert set(await names(kubeconfig, POLICIES)) == {"baseline"}
    key = (await names(kubeconfig, SECRETS))["skillwarden-depot-key"]["data"]["key"]
    assert len(base64.b64decode(key)) >= 32
    baseline = (await names(kubeconfig, POLICIES))["baseline"]["metadata"]["uid"]

    values = {"operator": {"logLevel": "debug"}, "userRoles": {"enabled": False}}
    helm().upgrade(chart, "skillwarden", values, namespace=NAMESPACE)
    operator = (await names(kubeconfig, HERE))["skillwarden-operator"]
    env = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "SKILLWARDEN_LOG_LEVEL", "value": "debug"} in env
    # Neither is made anew: another key would end every sandbox, and a moment without a policy denies all.
    assert (await names(kubeconfig, SECRETS))["skillwarden-depot-key"]["data"]["key"] == key
    assert (await names(kubeconfig, POLICIES))["baseline"]["metadata"]["uid"] == baseline
    assert set(await names(kubeconfig, "/apis/rbac.authorization.k8s.io/v1/clusterroles")) == {
        "skillwarden-operator"
    }

    # In the manifest of the first revision there is no baseline yet.
    helm().rollback("skillwarden", version=1)
    assert (await names(kubeconfig, POLICIES))["baseline"]["metadata"]["uid"] == baseline
    assert (await names(kubeconfig, SECRETS))["skillwarden-depot-key"]["data"]["key"] == key
    helm().upgrade(chart, "skillwarden", namespace=NAMESPACE)
    assert (await names(kubeconfig, POLICIES))["baseline"]["metadata"]["uid"] == baseline

    crds = set(await names(kubeconfig, CRDS))
    helm().uninstall("skillwarden")
    assert set(await names(kubeconfig, CRDS)) == crds
    assert (await names(kubeconfig, POLICIES))["baseline"]["metadata"]["uid"] == baseline
    for path in (
        HERE,
        SECRETS,
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies",
        f"/api/v1/namespaces/{NAMESPACE}/services",
        f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
    ):
        assert await names(kubeconfig, path) == {}, path

    helm().install(chart, "skillwarden", namespace=NAMESPACE)
    assert (await names(kubeconfig, POLICIES))["baseline"]["metadata"]["uid"] == baseline


async def test_an_upgrade_brings_the_charts_crds(helm: Helm, kubeconfig: Path, repo_root: Path) -> None:
    chart = repo_root / "charts" / "skillwarden"
    helm().install(chart, "skillwarden", namespace=NAMESPACE, create_namespace=True)
    async with await Gateway.connect(kubeconfig=kubeconfig) as gateway:
        patch = [{"op": "remove", "path": "/spec/names/shortNames"}]
        path = f"{CRDS}/skills.skillwarden.io"
        await gateway._transport.object(
            Call("patch", "any", path, "PATCH", {}, patch, "application/json-patch+json")
        )
        assert "shortNames" not in (await names(kubeconfig, CRDS))["skills.skillwarden.io"]["spec"]["names"]
    helm().upgrade(chart, "skillwarden", namespace=NAMESPACE)
    definition = (await names(kubeconfig, CRDS))["skills.skillwarden.io"]
    assert definition["spec"]["names"]["shortNames"] == ["skl"]
