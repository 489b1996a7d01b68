"""A server a test, over real HTTPS; with --kubeconfig a real one, and a namespace that a test finds empty."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from skillwarden.localcluster.apiserver import ApiServer, TlsFiles, make_certificate

sys.path.insert(0, str(Path(__file__).parent))

from apiserver_support import TOKEN, Client, FakeLogs, Kubectl
from real_server import Access, access, defined, hired, prepare, tidy


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def real(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access | None]:
    """The real server of --kubeconfig, with this run's namespace in it."""
    yield from hired(pytestconfig, tmp_path_factory)


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs()


@pytest.fixture
async def server(
    real: Access | None, certificate: TlsFiles, logs: FakeLogs
) -> AsyncIterator[ApiServer | None]:
    """The embedded server; whoever needs it is marked ``embedded_only``."""
    if real is not None:
        yield None
        return
    server = ApiServer(token=TOKEN, certificate=certificate, log_source=logs, bookmark_seconds=0.1)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def reached(server: ApiServer | None, real: Access | None, tmp_path: Path) -> Access:
    """How the server is reached, whichever it is."""
    return real or await access(server.write_kubeconfig(tmp_path / "kubeconfig"))


@pytest.fixture
async def api(reached: Access, real: Access | None) -> AsyncIterator[Client]:
    async with reached.session() as session:
        client = Client(session, reached.url)
        await prepare(client)
        yield client
        if real is not None:
            await tidy(client)


@pytest.fixture
async def gadgets(api: Client) -> Client:
    """A client of a server that serves the kind Gadget as it is first defined."""
    await defined(api)
    return api


@pytest.fixture
def kubectl(reached: Access, api: Client, tmp_path: Path) -> Kubectl:
    return Kubectl(reached.kubeconfig, tmp_path / "home")
