"""A gateway on an API server (--kubeconfig: a real one), and a server that answers whatever a test wants."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from skillwarden.kube.gateway import Gateway
from skillwarden.localcluster.apiserver import ApiServer, TlsFiles, make_certificate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apiserver"))

from apiserver_support import Client
from real_server import Access, access, hired, prepare, tidy

TOKEN = "let-me-in"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def real(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access | None]:
    """The real server of --kubeconfig, with this run's namespace in it."""
    yield from hired(pytestconfig, tmp_path_factory)


@pytest.fixture
async def server(real: Access | None, certificate: TlsFiles) -> AsyncIterator[ApiServer | None]:
    """The embedded server; whoever needs it is marked ``embedded_only``."""
    if real is not None:
        yield None
        return
    server = ApiServer(token=TOKEN, certificate=certificate, bookmark_seconds=0.2)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def reached(server: ApiServer | None, real: Access | None, tmp_path: Path) -> AsyncIterator[Access]:
    """How the server is reached, whichever it is; the run's namespace is there and empty."""
    found = real or await access(server.write_kubeconfig(tmp_path / "kubeconfig"))
    async with found.session() as session:
        await prepare(Client(session, found.url))
        yield found
        if real is not None:
            await tidy(Client(session, found.url))


@pytest.fixture
def seen() -> list[tuple[str, str, int]]:
    """What the request hook was told."""
    return []


@pytest.fixture
async def gateway(reached: Access, seen: list[tuple[str, str, int]]) -> AsyncIterator[Gateway]:
    made = await Gateway.connect(
        kubeconfig=reached.kubeconfig, request_timeout=10, on_request=lambda *row: seen.append(row)
    )
    async with made:
        yield made


@pytest.fixture
def kubeconfig_at() -> Callable[..., Path]:
    return write_kubeconfig


def write_kubeconfig(path: Path, *, server: str, token: str = TOKEN, ca: Path | None = None) -> Path:
    cluster: dict[str, Any] = {"server": server}
    if ca:
        cluster["certificate-authority"] = str(ca)
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(body))
    return path


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Faulty:
    """A server whose answers a test lines up; the last one stays."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def will(self, *answers: Answer) -> None:
        self.answers[:] = answers

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@pytest.fixture
async def faulty(certificate: TlsFiles) -> AsyncIterator[Faulty]:
    double = Faulty()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", double.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    context: ssl.SSLContext = certificate.server_context()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    double.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield double
    await runner.cleanup()


@pytest.fixture
async def shaky(
    faulty: Faulty, certificate: TlsFiles, tmp_path: Path, seen: list[tuple[str, str, int]]
) -> AsyncIterator[Gateway]:
    """A gateway on the faulty server, with little patience."""
    path = write_kubeconfig(tmp_path / "shaky", server=faulty.url, ca=certificate.certificate)
    made = await Gateway.connect(kubeconfig=path, request_timeout=1, on_request=lambda *row: seen.append(row))
    async with made:
        yield made
