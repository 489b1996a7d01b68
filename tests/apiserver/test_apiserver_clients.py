"""The two client libraries that the operator uses, against this server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import kopf
import pytest
from apiserver_support import (
    GADGETS,
    GROUP,
    SPACE,
    TOKEN,
    Client,
    make_config_map,
    make_gadget,
    make_pod,
    make_secret,
    until,
)
from kubernetes.aio import client, config, watch
from real_server import Access, access, defined, prepare, tidy

from skillwarden.localcluster.apiserver import ApiServer, ThreadedApiServer, TlsFiles


@pytest.fixture
async def official(reached: Access, api: Client) -> AsyncIterator[client.ApiClient]:
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(reached.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as made:
        yield made


async def test_the_official_client_on_built_in_kinds(official: client.ApiClient) -> None:
    core = client.CoreV1Api(official)
    made = await core.create_namespaced_config_map(SPACE, make_config_map(k="v"))
    assert made.metadata.uid
    await core.patch_namespaced_config_map("one", SPACE, {"data": {"k": "w"}})
    assert (await core.read_namespaced_config_map("one", SPACE)).data == {"k": "w"}
    with pytest.raises(client.ApiException) as caught:
        await core.create_namespaced_config_map(SPACE, make_config_map())
    assert caught.value.status == 409
    await core.create_namespaced_pod(SPACE, make_pod())
    pods = await core.list_namespaced_pod(SPACE, field_selector="spec.nodeName=")
    assert [pod.metadata.name for pod in pods.items] == ["one"]
    await core.delete_namespaced_pod("one", SPACE, grace_period_seconds=0)
    assert (await core.list_namespaced_pod(SPACE)).items == []


@pytest.mark.embedded_only("a real server asks a kubelet")
async def test_the_official_client_reads_a_log(official: client.ApiClient) -> None:
    core = client.CoreV1Api(official)
    await core.create_namespaced_pod(SPACE, make_pod())
    assert "first" in await core.read_namespaced_pod_log("one", SPACE)


async def test_the_official_client_on_custom_resources(gadgets: Client, official: client.ApiClient) -> None:
    custom = client.CustomObjectsApi(official)
    place = (GROUP, "v1alpha1", SPACE, "gadgets")
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
    stream = watch.Watch().stream(core.list_namespaced_secret, SPACE, timeout_seconds=20)
    async with stream:
        await core.create_namespaced_secret(SPACE, make_secret())
        async for event in stream:
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "ADDED":
                await core.delete_namespaced_secret("one", SPACE)
            else:
                break
    assert seen == [("ADDED", "one"), ("DELETED", "one")]


class KopfThread:
    """kopf in a thread and loop of its own, told of gadgets only."""

    def __init__(self, login: kopf.ConnectionInfo) -> None:
        self.seen: list[tuple[Any, str]] = []
        self.error: BaseException | None = None
        self._login = login
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

        @kopf.on.event(GROUP, "v1alpha1", "gadgets", registry=registry)
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


@pytest.fixture
def elsewhere(real: Access | None, certificate: TlsFiles, tmp_path: Path) -> Iterator[tuple[Access, Any]]:
    """How a server is reached that no task of this loop belongs to, and its log of requests if it keeps one.

    kopf takes every task of its loop for its own, so the embedded server stands in a thread of its own here.
    """
    if real is not None:
        yield real, None
        return
    server = ApiServer(token=TOKEN, certificate=certificate, bookmark_seconds=0.2)
    with ThreadedApiServer(server) as threaded:
        yield asyncio.run(access(threaded.server.write_kubeconfig(tmp_path / "elsewhere"))), server.requests


async def test_kopf_sees_what_is_there_and_what_happens(
    real: Access | None, elsewhere: tuple[Access, Any]
) -> None:
    reached, requests = elsewhere
    async with reached.session() as session:
        apart = Client(session, reached.url)
        await prepare(apart)
        await defined(apart)
        await apart.made(GADGETS, make_gadget("before"))
        with KopfThread(reached.kopf_login()) as operator:

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
        if requests is not None:
            assert [item for item in requests if item.is_write and "kopf" in item.user_agent] == []
            assert any("kopf" in item.user_agent for item in requests)
        if real is not None:
            await tidy(apart)
