"""The embedded cluster as one thing to start and stop: API server and node, in a thread of their own.

The thread matters: kopf takes every task of its loop for its own, so whoever runs an operator in the same
process must not share a loop with the server.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from .apiserver import ApiServer, LogsUnavailable, make_certificate
from .node.config import ApiConnection, DepotEndpoint, NodeConfig, Timings
from .node.node import Node
from .node.runtimes import find_images

T = TypeVar("T")

KUBECONFIG = "kubeconfig"
START_SECONDS = 60.0


class _LateLogs:
    """The node's logs, for a server that is made before the node is."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    async def open(self, namespace: str, pod: str, container: str, **options: Any) -> AsyncIterator[bytes]:
        """Stream a container's output; see ``apiserver.LogSource``."""
        node = self._cluster.node
        if node is None:
            raise LogsUnavailable("the node has not started yet")
        try:
            async for chunk in node.logs.open(namespace, pod, container, **options):
                yield chunk
        except LookupError as error:
            raise LogsUnavailable(str(error)) from error


class LocalCluster:
    """An API server on loopback and a node that runs Pods with bubblewrap.

    Parameters
    ----------
    directory
        Its own folder: certificate, kubeconfig, the node's work. State does not outlive the process.
    depot
        What sandboxes can reach; ``None``: nothing.
    port
        Of the API server; 0 takes a free one.
    timings
        The node's delays.
    force_simulated
        Run nothing, as where bubblewrap does not work.
    pod_pids_limit
        The node's ``podPidsLimit``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        depot: DepotEndpoint | None = None,
        port: int = 0,
        timings: Timings | None = None,
        force_simulated: bool = False,
        pod_pids_limit: int = 256,
    ) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._depot = depot
        self._timings = timings or Timings()
        self._force_simulated = force_simulated
        self._pids = pod_pids_limit
        self._token = secrets.token_urlsafe(32)
        self._certificate = make_certificate(directory)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-cluster", daemon=True)
        self.server = ApiServer(
            token=self._token, certificate=self._certificate, port=port, log_source=_LateLogs(self)
        )
        self.node: Node | None = None

    @property
    def kubeconfig(self) -> Path:
        """Where the kubeconfig is, once started."""
        return self.directory / KUBECONFIG

    def start(self) -> Self:
        """Start both; the kubeconfig is written last."""
        self._thread.start()
        self.run(self._start())
        return self

    def stop(self) -> None:
        """End every sandbox, then the server."""
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], *, seconds: float = START_SECONDS) -> T:
        """Run a coroutine on the cluster's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _start(self) -> None:
        url = await self.server.start()
        config = NodeConfig(
            name="local",
            work_dir=self.directory / "node",
            images=await find_images(),
            depot=self._depot,
            timings=self._timings,
            force_simulated=self._force_simulated,
            pod_pids_limit=self._pids,
        )
        connection = ApiConnection(url=url, token=self._token, ca_file=self._certificate.certificate)
        self.node = Node(config, connection)
        await self.node.start()
        self.server.write_kubeconfig(self.kubeconfig)

    async def _stop(self) -> None:
        if self.node is not None:
            await self.node.stop()
        await self.server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
