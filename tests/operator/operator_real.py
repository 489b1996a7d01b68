"""A real API server with the embedded node on it: what ``LocalCluster`` gives, where --kubeconfig names one.

The node speaks HTTP alone and needs no kubelet. It has a name of this run's own, its lease is renewed as a
kubelet renews it (or its Pods would be taken for lost), and it answers for logs on a port of loopback: the
server must be on this machine. What the run made goes at the end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from apiserver_support import MERGE, NAMESPACES, SPACE, Client
from real_server import Access, emptied, prepare

from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.kinds import KINDS
from skillwarden.localcluster.apiserver import make_certificate
from skillwarden.localcluster.node.config import ApiConnection, DepotEndpoint, NodeConfig, Timings
from skillwarden.localcluster.node.node import Node
from skillwarden.localcluster.node.runtimes import find_images

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
_RENEW_SECONDS = 5.0
_OURS = "/apis/skillwarden.io/v1alpha1"


class RealCluster:
    """A node of our own on a server of somebody else's, in a thread of its own."""

    def __init__(self, directory: Path, *, real: Access, depot: DepotEndpoint, timings: Timings) -> None:
        self._real = real
        self._directory = directory
        self._depot, self._timings = depot, timings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="node", daemon=True)
        self._beat: asyncio.Task[None] | None = None
        self._kubelet: web.AppRunner | None = None
        self.node: Node | None = None

    @property
    def kubeconfig(self) -> Path:
        return self._real.kubeconfig

    def run(self, work: Coroutine[Any, Any, Any], *, seconds: float = 120.0) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def start(self) -> None:
        self._thread.start()
        self.run(self._start())

    def stop(self) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        async with self._real.session() as session:
            api = Client(session, self._real.url)
            await self._alone(api)
            await prepare(api)
            token = await self._account(api)
        config = NodeConfig(
            name=SPACE,
            work_dir=self._directory / "node",
            images=await find_images(),
            depot=self._depot,
            timings=self._timings,
        )
        connection = ApiConnection(url=self._real.url, token=token, ca_file=Path(self._real.authority))
        self._beat = asyncio.create_task(self._renew())
        self.node = Node(config, connection)
        await self.node.start()
        await self._answer_for_logs()

    async def _stop(self) -> None:
        if self.node is not None:
            await self.node.stop()
        async with self._real.session() as session:
            api = Client(session, self._real.url)
            for path in (f"{_OURS}/clusterpackagepolicies", "/api/v1/nodes"):
                await emptied(api, path, only=None if path.startswith(_OURS) else SPACE)
            for item in (await api.get(NAMESPACES)).body["items"]:
                if item["metadata"]["name"].startswith(f"{SPACE}-"):
                    await api.delete(f"{NAMESPACES}/{item['metadata']['name']}")
            for path in (f"{_BINDINGS}/{SPACE}", f"{_LEASES}/{SPACE}"):
                await api.delete(path)
        if self._beat is not None:
            self._beat.cancel()
        if self._kubelet is not None:
            await self._kubelet.cleanup()

    async def _answer_for_logs(self) -> None:
        """Answer the one question that a server asks a kubelet for the tests, on a port of loopback."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        self._kubelet = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._kubelet.setup()
        context = make_certificate(self._directory).server_context()
        await web.TCPSite(self._kubelet, "127.0.0.1", 0, ssl_context=context).start()
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._kubelet.addresses[0][1]}},
        }
        async with self._real.session() as session:
            api = Client(session, self._real.url)
            answer = await api.patch(f"/api/v1/nodes/{SPACE}/status", {"status": status})
            assert answer.status == 200, answer.body

    async def _log(self, request: web.Request) -> web.StreamResponse:
        assert self.node is not None
        given = request.match_info
        most = {
            ours: int(request.query[theirs])
            for theirs, ours in (("tailLines", "tail_lines"), ("limitBytes", "limit_bytes"))
            if theirs in request.query
        }
        try:
            found = self.node.logs.open(given["namespace"], given["pod"], given["container"], **most)
            return web.Response(body=b"".join([chunk async for chunk in found]))
        except LookupError as error:
            return web.Response(status=404, text=str(error))

    async def _alone(self, api: Client) -> None:
        """Refuse a cluster whose users' skills this run's operator would judge."""
        for plural in ("skills", "clusterpackagepolicies"):
            found = await api.get(f"{_OURS}/{plural}")
            listed = found.body["items"] if found.status == 200 else []
            # What a world of this run left goes with its namespace.
            foreign = [item for item in listed if not item["metadata"].get("namespace", "").startswith(SPACE)]
            assert not foreign, (
                f"the cluster of --kubeconfig has {plural} of its own, which an operator of the tests would "
                "judge and act on: name one without"
            )
        nodes = (await api.get("/api/v1/nodes")).body["items"]
        others = [item["metadata"]["name"] for item in nodes if item["metadata"]["name"] != SPACE]
        assert not others, (
            f"the cluster of --kubeconfig has nodes ({', '.join(others[:3])}), to which its scheduler gives "
            "the tests' sandboxes: name one without"
        )
        for kind in KINDS:
            name = crd(kind)["metadata"]["name"]
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            if (await api.get(path)).status == 404 and path not in self._real.made:
                self._real.made.append(path)

    async def _account(self, api: Client) -> str:
        """Give a token of an account that may do everything, for the node knows no certificates."""
        accounts = f"{NAMESPACES}/{SPACE}/serviceaccounts"
        await api.post(accounts, {"metadata": {"name": "node"}})
        group = "rbac.authorization.k8s.io"
        body = {
            "metadata": {"name": SPACE},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "node", "namespace": SPACE}],
        }
        await api.post(_BINDINGS, body)
        answer = await api.post(f"{accounts}/node/token", {"spec": {"expirationSeconds": 7200}})
        assert answer.status == 201, answer.body
        return str(answer.body["status"]["token"])

    async def _renew(self) -> None:
        """What a kubelet does every few seconds."""
        async with self._real.session() as session:
            api = Client(session, self._real.url)
            while True:
                spec = {
                    "holderIdentity": SPACE,
                    "leaseDurationSeconds": 40,
                    "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                }
                answer = await api.patch(f"{_LEASES}/{SPACE}", {"spec": spec}, MERGE)
                if answer.status == 404:
                    await api.post(_LEASES, {"metadata": {"name": SPACE}, "spec": spec})
                await asyncio.sleep(_RENEW_SECONDS)
