"""The server itself: TLS, the token, the log of requests, and the thread it can live in."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import secrets
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml
from aiohttp import web

from skillwarden.localcluster.apiserver.authorizer import RbacAuthorizer
from skillwarden.localcluster.apiserver.controllers import Controllers
from skillwarden.localcluster.apiserver.decoding import WriteOptions
from skillwarden.localcluster.apiserver.errors import ApiError, unauthorized
from skillwarden.localcluster.apiserver.objects import Objects
from skillwarden.localcluster.apiserver.pods import LogSource
from skillwarden.localcluster.apiserver.resources import NAMESPACES, Registry
from skillwarden.localcluster.apiserver.routes import USER, NoSuchPath, Routes, Settings, failure
from skillwarden.localcluster.apiserver.store import Store
from skillwarden.localcluster.apiserver.tls import TlsFiles

log = logging.getLogger(__name__)

#: Sees each authenticated request first; what it returns, if anything, is the answer.
Interceptor = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

_LARGEST_BODY = 3 * 1024 * 1024
_REQUESTS_KEPT = 20_000
_OPEN = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_NAMESPACES = ("default", "kube-system")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request, noted when its answer began."""

    method: str
    path: str
    query: str
    user_agent: str
    status: int

    @property
    def is_write(self) -> bool:
        """Whether it could have changed something."""
        return self.method in {"POST", "PUT", "PATCH", "DELETE"}


class ApiServer:
    """A Kubernetes API in memory, on loopback.

    Parameters
    ----------
    token : str
        The bearer token that clients must show.
    certificate : TlsFiles
        What it serves with; see ``make_certificate``.
    log_source : LogSource, optional
        Where ``pods/log`` reads; without one, logs are refused.
    host, port
        Where it listens; port 0 takes a free one.
    interceptor : coroutine function, optional
        For tests: sees each request first, and may answer in the server's stead.
    history : int
        Changes kept a kind; a watch from before them is answered 410.
    bookmark_seconds : float
        How long a watch is silent before a bookmark.
    """

    def __init__(
        self,
        *,
        token: str,
        certificate: TlsFiles,
        log_source: LogSource | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        interceptor: Interceptor | None = None,
        history: int = 10_000,
        bookmark_seconds: float = 10.0,
    ) -> None:
        self._token = token
        self._certificate = certificate
        self._host, self._port = host, port
        self.interceptor = interceptor
        self.requests: deque[RequestRecord] = deque(maxlen=_REQUESTS_KEPT)
        self.url = ""
        self._store = Store(history=history)
        registry = Registry()
        objects = Objects(self._store, registry)
        self._controllers = Controllers(self._store, registry, objects)
        self._users: dict[str, str] = {}
        self.authorizer = RbacAuthorizer(self._store)
        settings = Settings(log_source, bookmark_seconds, self.authorizer)
        self._routes = Routes(self._store, registry, objects, settings)
        self._runner: web.AppRunner | None = None
        self._worker: asyncio.Task[None] | None = None
        for name in _NAMESPACES:
            manifest = {"metadata": {"name": name}}
            resource = registry.of_storage(NAMESPACES)
            objects.create(resource, "", manifest, WriteOptions(manager="skillwarden-local"))
        self._controllers.work()

    async def start(self) -> str:
        """Listen, and give the URL."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(self._note)
        # A watch of a client that has gone must not sit until its next bookmark.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        context = self._certificate.server_context()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"https://{host}:{self._port}"
        self._worker = asyncio.create_task(self._controllers.run(), name="apiserver-controllers")
        return self.url

    async def stop(self) -> None:
        """End all watches and stop listening; the state is kept until the object goes."""
        self._store.close_watchers()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            self._worker = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def add_user(self, name: str) -> str:
        """Know one user more, who may do what roles of the store grant; return the token to show.

        Whoever shows the server's own token may do everything, as before.
        """
        token = secrets.token_urlsafe(32)
        self._users[token] = name
        return token

    def write_kubeconfig(self, path: Path, *, token: str = "") -> Path:
        """Write a kubeconfig, readable by its owner only; ``token``: one of ``add_user``, else our own."""
        authority = base64.b64encode(self._certificate.certificate.read_bytes()).decode()
        name = "skillwarden-local"
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": name, "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": name, "user": {"token": token or self._token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
            "current-context": name,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(yaml.safe_dump(body, sort_keys=False))
        return path

    def compact(self) -> None:
        """Forget all history: old watches and begun lists are answered 410 from now on."""
        self._store.compact()
        self._routes.pages.forget()

    async def _note(self, request: web.Request, response: web.StreamResponse) -> None:
        self.requests.append(
            RequestRecord(
                method=request.method,
                path=request.path,
                query=request.query_string,
                user_agent=request.headers.get("User-Agent", ""),
                status=response.status,
            )
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.path in _OPEN and request.path != "/version":
                return web.Response(text="ok")
            if request.path not in _OPEN:
                self._authenticate(request)
            if self.interceptor is not None:
                answer = await self.interceptor(request)
                if answer is not None:
                    return answer
            return await self._routes.answer(request)
        except ApiError as error:
            return failure(error)
        except NoSuchPath:
            return web.Response(text="404 page not found\n", status=404)
        except web.HTTPRequestEntityTooLarge:
            text = f"the request is larger than {_LARGEST_BODY} bytes"
            return failure(ApiError(413, "RequestEntityTooLarge", text))
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request failed in the server: %s %s", request.method, request.path)
            return failure(ApiError(500, "InternalError", "Internal error occurred: see the server's log"))

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        shown = token.strip()
        right = hmac.compare_digest(shown.encode(), self._token.encode())
        if scheme.lower() == "bearer" and right:
            return
        if scheme.lower() != "bearer" or shown not in self._users:
            raise unauthorized()
        request[USER] = self._users[shown]


class ThreadedApiServer:
    """An ``ApiServer`` in a thread and an event loop of its own; also a context manager.

    kopf takes every task of its loop for its own, so a server cannot share one with it.
    """

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="apiserver", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    def run(self, work: Coroutine[Any, Any, _T], *, seconds: float = 30.0) -> _T:
        """Run a coroutine in the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def call(self, work: Callable[[], _T]) -> _T:
        """Call a function in the server's loop, where its state may be touched."""

        async def inner() -> _T:
            return work()

        return self.run(inner())

    def start(self) -> Self:
        """Start the thread, and listen."""
        self._thread.start()
        try:
            self.run(self.server.start())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop listening and end the thread."""
        try:
            self.run(self.server.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
