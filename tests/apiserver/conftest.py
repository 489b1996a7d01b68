"""A server a test, over real HTTPS."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from skillwarden.localcluster.apiserver import ApiServer, TlsFiles, make_certificate

sys.path.insert(0, str(Path(__file__).parent))

from apiserver_support import CRDS, TOKEN, Client, FakeLogs, Kubectl, make_crd


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs()


@pytest.fixture
async def server(certificate: TlsFiles, logs: FakeLogs) -> AsyncIterator[ApiServer]:
    server = ApiServer(token=TOKEN, certificate=certificate, log_source=logs, bookmark_seconds=0.1)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def api(server: ApiServer, certificate: TlsFiles) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    headers = {"Authorization": f"Bearer {TOKEN}", "User-Agent": "tests/1.0"}
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Client(session, server.url)


@pytest.fixture
async def gadgets(api: Client) -> Client:
    """A client of a server that serves the kind Gadget."""
    await api.made(CRDS, make_crd())
    return api


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    return Kubectl(server.write_kubeconfig(tmp_path / "kubeconfig"), tmp_path / "home")
