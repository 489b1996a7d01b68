"""The node's side of the Kubernetes API: the few requests that it makes, over HTTP alone.

Nothing here knows which server answers: the embedded one or a real kube-apiserver.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from skillwarden.localcluster.node.config import ApiConnection

Object = Mapping[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
# A server sends a bookmark every minute; a watch that is silent for longer is dead.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=330)
_WATCH_SECONDS = 300
_LINE_BYTES = 8 * 1024 * 1024


class ApiError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason


class KubeClient:
    """One connection to an API server. Close it."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Read the CA and make the session.

        Raises
        ------
        OSError
            The CA file cannot be read.
        """
        context: ssl.SSLContext | bool = True
        ca_file = self._connection.ca_file
        if ca_file is not None:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=str(ca_file))
        headers = {"Accept": "application/json", "User-Agent": "skillwarden-node"}
        if self._connection.token is not None:
            headers["Authorization"] = f"Bearer {self._connection.token}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            headers=headers,
            timeout=_TIMEOUT,
            read_bufsize=_LINE_BYTES,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request, its answer parsed.

        Raises
        ------
        ApiError
            The server refuses.
        aiohttp.ClientError or TimeoutError
            There is no (whole) answer.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self._opened().request(
            method, self._url(path), data=data, headers=headers, params=dict(query or {})
        ) as response:
            raw = await response.read()
            await _raise_for(response.status, raw)
            answer: dict[str, Any] = json.loads(raw) if raw else {}
            return answer

    async def get(self, path: str) -> dict[str, Any] | None:
        """One object, or None where there is none."""
        try:
            return await self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def merge(self, path: str, body: Object) -> dict[str, Any]:
        """JSON merge patch."""
        return await self.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def watch(self, path: str, *, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """The events of a collection from a resourceVersion on, until the server ends the watch.

        Raises
        ------
        ApiError
            410 among others: list anew.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        async with self._opened().get(self._url(path), params=query, timeout=_WATCH_TIMEOUT) as response:
            if response.status != 200:
                await _raise_for(response.status, await response.read())
            while line := await response.content.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    failure = event["object"]
                    raise ApiError(
                        failure.get("code", 500), failure.get("reason", ""), failure.get("message", "")
                    )
                yield event["type"], event["object"]

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is used before open()")
        return self._session

    def _url(self, path: str) -> str:
        return self._connection.url.rstrip("/") + path


async def _raise_for(status: int, raw: bytes) -> None:
    if 200 <= status < 300:
        return
    reason, message = "", raw[:500].decode(errors="replace")
    try:
        answer = json.loads(raw)
        reason, message = answer.get("reason", ""), answer.get("message", message)
    except (ValueError, AttributeError):
        pass
    raise ApiError(status, reason, message)
