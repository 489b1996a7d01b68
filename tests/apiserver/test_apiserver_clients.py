"""The two client libraries that the operator uses, against this server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kopf
import pytest
from apiserver_support import (
    CRDS,
    GADGETS,
    TOKEN,
    Client,
    make_config_map,
    make_crd,
    make_gadget,
    make_pod,
    until,
)
from kubernetes.aio import client, config, watch

from skillwarden.localcluster.apiserver import ApiServer, ThreadedApiServer, TlsFiles


@pytest.fixture
async def official(server: ApiServer, tmp_path: Path) -> AsyncIterator[client.ApiClient]:
    path = server.write_kubeconfig(tmp_path / "kubeconfig")
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(path), client_configuration=configuration)
    async with client.ApiClient(configuration) as made:
        yield made


async def test_the_official_client_on_built_in_kinds(official: client.ApiClient) -> None:
    core = client.CoreV1Api(official)
    made = await core.create_namespaced_config_map("default", make_config_map(k="v"))
    assert made.metadata.uid
    await core.patch_namespaced_config_map("one", "default", {"data": {"k": "w"}})
    assert (await core.read_namespaced_config_map("one", "default")).data == {"k": "w"}
    with pytest.raises(client.ApiException) as caught:
        await core.create_namespaced_config_map("default", make_config_map())
    assert caught.value.status == 409
    await core.create_namespaced_pod("default", make_pod())
    assert "first" in await core.read_namespaced_pod_log("one", "default")
    pods = await core.list_namespaced_pod("default", field_selector="spec.nodeName=")
    assert [pod.metadata.name for pod in pods.items] == ["one"]
    await core.delete_namespaced_pod("one", "default", grace_period_seconds=0)
    assert (await core.list_namespaced_pod("default")).items == []


async def test_the_official_client_on_custom_resources(gadgets: Client, official: client.ApiClient) -> None:
    custom = client.CustomObjectsApi(official)
    place = ("example.io", "v1alpha1", "default", "gadgets")
    await custom.create_namespaced_custom_object(*place, make_gadget())
    status = {**make_gadget(), "status": {"phase": "Up"}}
    applied = await custom.patch_namespaced_custom_object_status(
        *place,
        "one",
        status,
        field_manager="skillwarden",
        force=True,
        _content_type="application/apply-patch+yaml",
    )
    assert applied["status"] == {"phase": "Up"}
    listed = await custom.list_namespaced_custom_object(*place)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]


async def test_the_official_client_watches(api: Client, official: client.ApiClient) -> None:
    core = client.CoreV1Api(official)
    seen: list[tuple[str, str]] = []
    stream = watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=20)
    async with stream:
        await core.create_namespaced_config_map("default", make_config_map())
        async for event in stream:
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "ADDED":
                await core.delete_namespaced_config_map("one", "default")
            else:
                break
    assert seen == [("ADDED", "one"), ("DELETED", "one")]


class KopfThread:
    """kopf in a thread and loop of its own, told of gadgets only."""

    def __init__(self, url: str, certificate: TlsFiles) -> None:
        self.seen: list[tuple[Any, str]] = []
        self.error: BaseException | None = None
        self._login = kopf.ConnectionInfo(
            server=url,
            ca_data=base64.b64encode(certificate.certificate.read_bytes()).decode(),
            scheme="Bearer",
            token=TOKEN,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> KopfThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=15)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except BaseException as error:
            self.error = error
            raise

    async def _operate(self) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**_: Any) -> kopf.ConnectionInfo:
            return self._login

        @kopf.on.event("example.io", "v1alpha1", "gadgets", registry=registry)
        def note(event: Any, name: str | None, **_: Any) -> None:
            self.seen.append((event["type"], str(name)))

        stop = asyncio.Event()
        tasks = await kopf.spawn_tasks(
            registry=registry, standalone=True, clusterwide=True, stop_flag=stop, settings=_settings()
        )
        while not self._stop.is_set():
            done, _pending = await asyncio.wait(tasks, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
        stop.set()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    return settings


async def test_kopf_sees_what_is_there_and_what_happens(certificate: TlsFiles, api: Client) -> None:
    # The server stands in a thread of its own too, as kopf would take its tasks for its own.
    server = ApiServer(token=TOKEN, certificate=certificate, bookmark_seconds=0.2)
    with ThreadedApiServer(server) as threaded:
        apart = Client(api.session, threaded.url)
        await apart.made(CRDS, make_crd())
        await apart.made(GADGETS, make_gadget("before"))
        with KopfThread(threaded.url, certificate) as operator:

            def saw(*events: tuple[Any, str]) -> Any:
                async def check() -> bool:
                    assert operator.error is None
                    return operator.seen[-len(events) :] == list(events)

                return check

            await until(saw((None, "before")), "kopf did not list what was there", 20)
            await apart.made(GADGETS, make_gadget("after"))
            await until(saw(("ADDED", "after")), "kopf did not see an addition", 20)
            await apart.patch(f"{GADGETS}/after", {"spec": {"replicas": 2}})
            await apart.delete(f"{GADGETS}/after")
            await until(saw(("MODIFIED", "after"), ("DELETED", "after")), "kopf did not see the end", 20)
        writes = [record for record in server.requests if record.is_write and "kopf" in record.user_agent]
        assert writes == []
        assert any("kopf" in record.user_agent for record in server.requests)
