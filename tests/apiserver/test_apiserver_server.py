"""The server around the API: TLS, the token, discovery, the log of requests, the thread it can live in."""

from __future__ import annotations

import json
import ssl
import stat
import urllib.request
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web
from apiserver_support import (
    API,
    CONFIG_MAPS,
    CRDS,
    GADGETS,
    GDG,
    GROUP,
    PODS,
    SPACE,
    TOKEN,
    Client,
    fresh_group,
    make_config_map,
    make_crd,
    make_gadget,
    until,
)
from real_server import prepare

from skillwarden.localcluster.apiserver import ApiServer, ThreadedApiServer, TlsFiles, make_certificate


@pytest.mark.embedded_only("a real one knows anonymous users, and the certificate that clients show")
@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic dTpw", f"Bearer {TOKEN}x", TOKEN])
async def test_nothing_is_answered_without_the_token(api: Client, authorization: str) -> None:
    for path in (CONFIG_MAPS, "/api", "/apis", "/openapi/v3"):
        answer = await api.get(path, Authorization=authorization)
        assert (answer.status, answer.body["reason"]) == (401, "Unauthorized")
    made = await api.ask("POST", CONFIG_MAPS, make_config_map(), Authorization=authorization)
    assert made.status == 401
    assert (await api.get(f"{CONFIG_MAPS}/one")).status == 404


async def test_health_and_version_need_no_token(api: Client) -> None:
    for path in ("/healthz", "/readyz", "/livez"):
        answer = await api.get(path, Authorization="")
        assert (answer.status, answer.body) == (200, "ok")
    major, minor, *_ = (await api.get("/version", Authorization="")).body["gitVersion"].split(".")
    assert (major, int(minor) >= 30) == ("v1", True)


@pytest.mark.embedded_only("its own certificate")
async def test_the_certificate_is_good_for_loopback_and_must_be_trusted(server: ApiServer) -> None:
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await stranger.get(f"{server.url}/healthz")


@pytest.mark.embedded_only("its own key and kubeconfig")
def test_keys_and_kubeconfigs_are_their_owners_alone(server: ApiServer, tmp_path: Path) -> None:
    files = make_certificate(tmp_path / "tls")
    config = server.write_kubeconfig(tmp_path / "sub" / "kubeconfig")
    for path in (files.key, config):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    parsed = yaml.safe_load(config.read_text())
    assert parsed["clusters"][0]["cluster"]["server"] == server.url
    assert parsed["users"][0]["user"] == {"token": TOKEN}
    assert "insecure-skip-tls-verify" not in config.read_text()


@pytest.mark.embedded_only("its log of requests")
async def test_requests_are_logged_for_tests_to_count(api: Client, server: ApiServer) -> None:
    server.requests.clear()
    await api.made(CONFIG_MAPS, make_config_map())
    await api.get(f"{CONFIG_MAPS}?limit=5")
    await api.get(f"{CONFIG_MAPS}/none")
    seen = [(item.method, item.path, item.query, item.status) for item in server.requests]
    assert seen == [
        ("POST", CONFIG_MAPS, "", 201),
        ("GET", CONFIG_MAPS, "limit=5", 200),
        ("GET", f"{CONFIG_MAPS}/none", "", 404),
    ]
    assert {item.user_agent for item in server.requests} == {"tests/1.0"}
    assert [item.is_write for item in server.requests] == [True, False, False]


@pytest.mark.embedded_only("its interceptor")
async def test_an_interceptor_can_answer_in_the_servers_stead(api: Client, server: ApiServer) -> None:
    async def refuse_writes(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if request.method == "POST" else None

    server.interceptor = refuse_writes
    assert (await api.post(CONFIG_MAPS, make_config_map())).status == 503
    assert (await api.get(f"{CONFIG_MAPS}/one")).status == 404
    server.interceptor = None
    await api.made(CONFIG_MAPS, make_config_map())


@pytest.mark.embedded_only("its interceptor")
async def test_a_fault_in_the_server_is_a_status_and_no_more(api: Client, server: ApiServer) -> None:
    async def fail(request: web.Request) -> web.StreamResponse | None:
        raise RuntimeError("a secret detail")

    server.interceptor = fail
    answer = await api.get(CONFIG_MAPS)
    assert (answer.status, answer.body["reason"]) == (500, "InternalError")
    assert "secret" not in answer.message


async def test_a_body_that_is_too_large(api: Client) -> None:
    answer = await api.post(CONFIG_MAPS, make_config_map(k="x" * 4 * 1024 * 1024))
    assert (answer.status, answer.body["reason"]) == (413, "RequestEntityTooLarge")


async def test_both_forms_of_discovery_tell_the_same(gadgets: Client) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    old = (await gadgets.get(f"/apis/{API}")).body["resources"]
    assert {item["name"] for item in old} == {"gadgets", "gadgets/status", "gadgets/scale"}
    answer = await gadgets.get("/apis", Accept=accept)
    assert "as=APIGroupDiscoveryList" in answer.headers["Content-Type"]
    new = {item["metadata"]["name"]: item for item in answer.body["items"]}
    assert set(new) == {item["name"] for item in (await gadgets.get("/apis")).body["groups"]}
    resource = new[GROUP]["versions"][0]["resources"][0]
    assert (resource["resource"], resource["scope"], resource["shortNames"]) == (
        "gadgets",
        "Namespaced",
        [GDG],
    )
    assert {item["subresource"] for item in resource["subresources"]} == {"status", "scale"}
    core = (await gadgets.get("/api", Accept=accept)).body["items"][0]["versions"][0]["resources"]
    assert {"pods", "namespaces"} <= {item["resource"] for item in core}


async def openapi_paths(api: Client, *, until_there: str = "") -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}

    async def read() -> bool:
        found.update((await api.get("/openapi/v3")).body["paths"])
        return not until_there or until_there in found

    await until(read, f"{until_there} is not described", 20)
    return found


async def test_openapi_follows_what_is_served(api: Client) -> None:
    group = fresh_group()
    own, definition = f"apis/{group}/v1alpha1", f"{CRDS}/gadgets.{group}"
    before = await openapi_paths(api)
    assert own not in before
    await api.made(CRDS, make_crd(group=group))
    after = await openapi_paths(api, until_there=own)
    document = (await api.get(after[own]["serverRelativeURL"])).body
    schema = document["components"]["schemas"][".".join([*reversed(group.split(".")), "v1alpha1.Gadget"])]
    gvk = {"group": group, "version": "v1alpha1", "kind": "Gadget"}
    assert schema["x-kubernetes-group-version-kind"] == [gvk]
    assert schema["properties"]["spec"]["properties"]["mode"]["description"] == "How it runs."
    patch = document["paths"][f"/{own}/namespaces/{{namespace}}/gadgets/{{name}}"]["patch"]
    assert "fieldValidation" in {item["name"] for item in patch["parameters"]}
    assert after["api/v1"] == before["api/v1"]
    crd = (await api.get(definition)).body
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "Another text."
    assert (await api.put(definition, crd)).status == 200

    async def changed() -> bool:
        return bool((await openapi_paths(api))[own] != after[own])

    await until(changed, "the schema that is served does not follow")


async def test_tables_of_built_in_and_custom_kinds(gadgets: Client) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    await gadgets.made(GADGETS, make_gadget(replicas=3))
    table = (await gadgets.get(GADGETS, Accept=accept)).body
    assert [item["name"] for item in table["columnDefinitions"]] == [
        "Name",
        "Mode",
        "Ready",
        "Replicas",
        "Age",
    ]
    assert table["rows"][0]["cells"][:4] == ["one", "Task", None, 3]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = (await gadgets.get(f"{GADGETS}/one?includeObject=Object", Accept=accept)).body
    assert whole["rows"][0]["object"]["spec"]["mode"] == "Task"
    served = [
        (group, item)
        for group in ("/api/v1", "/apis/networking.k8s.io/v1", "/apis/node.k8s.io/v1")
        for item in (await gadgets.get(group)).body["resources"]
        if "/" not in item["name"] and "list" in item["verbs"]
    ]
    for group, item in served:
        space = f"/namespaces/{SPACE}" if item["namespaced"] else ""
        path = f"{group}{space}/{item['name']}"
        assert (await gadgets.get(path, Accept=accept)).body["kind"] == "Table"


async def test_metadata_only(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget(meta={"labels": {"a": "b"}}))
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    listed = (await gadgets.get(GADGETS, Accept=accept)).body
    assert listed["kind"] == "PartialObjectMetadataList"
    assert "spec" not in listed["items"][0]
    assert listed["items"][0]["metadata"]["labels"] == {"a": "b"}


async def test_whoever_has_the_token_may_do_all(api: Client) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    asked = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    assert (await api.post(reviews, asked)).body["status"] == {"allowed": True}
    assert (await api.get(reviews)).status == 405


@pytest.mark.embedded_only("a server without a node")
async def test_logs_without_a_node(certificate: TlsFiles, api: Client) -> None:
    server = ApiServer(token=TOKEN, certificate=certificate)
    url = await server.start()
    try:
        lone = Client(api.session, url)
        await prepare(lone)
        await lone.made(
            PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        )
        answer = await lone.get(f"{PODS}/p/log")
        assert (answer.status, "without a node" in answer.message) == (400, True)
    finally:
        await server.stop()


@pytest.mark.embedded_only("how a process holds it")
def test_in_a_thread_of_its_own(certificate: TlsFiles) -> None:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    with ThreadedApiServer(ApiServer(token=TOKEN, certificate=certificate)) as threaded:
        request = urllib.request.Request(
            f"{threaded.url}/api/v1/namespaces", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, context=context, timeout=10) as response:
            assert json.load(response)["kind"] == "NamespaceList"
        assert threaded.call(lambda: len(threaded.server.requests)) == 1
        url = threaded.url
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/healthz", context=context, timeout=2)


@pytest.mark.embedded_only("it is stopped")
async def test_a_stopped_server_can_be_started_again_with_its_state(api: Client, server: ApiServer) -> None:
    await api.made(CONFIG_MAPS, make_config_map(k="v"))
    url = server.url
    await server.stop()
    assert await server.start() == url
    assert (await api.get(f"{CONFIG_MAPS}/one")).body["data"] == {"k": "v"}
