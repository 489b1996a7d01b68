"""One request to the API server: authenticated, timed, counted, and its failures translated.

Nothing is retried here but once after a 401: the work queue retries, with a fresh look at the world.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import OpenApiException

from .auth import Credentials
from .errors import ApiUnavailable, Unauthorized, translate

#: Told verb, kind and HTTP status of each request; 0 where no answer came.
RequestHook = Callable[[str, str, int], None]
JSON = "application/json"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, and how it is called in metrics and messages."""

    verb: str
    kind: str
    path: str
    method: str = "GET"
    query: Mapping[str, str] | None = None
    body: Any = None
    content_type: str = JSON

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} ({self.path})"


class Transport:
    """The client's low level: no models, no client-side validation, plain JSON.

    Parameters
    ----------
    credentials
        Where and who.
    request_timeout
        Seconds for one request, connecting included; for the beginning of a stream.
    user_agent
        As the API server's audit log shows it.
    on_request
        For metrics.
    """

    def __init__(
        self, credentials: Credentials, *, request_timeout: float, user_agent: str, on_request: RequestHook
    ) -> None:
        self.credentials = credentials
        self._timeout = request_timeout
        self._client = ApiClient(credentials.configuration)
        self._client.user_agent = user_agent
        self._on_request = on_request

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def object(self, call: Call) -> dict[str, Any]:
        """Send a request and return the object of the answer.

        Raises
        ------
        ApiError
            As the server refused.
        ApiUnavailable
            No answer, none in time, or none of an API server.
        """
        data = await self.read(call)
        try:
            answer = json.loads(data)
        except ValueError as error:
            start = " ".join(data[:400].decode(errors="replace").split())[:120]
            raise ApiUnavailable(200, "NotJson", f"{call}: the answer is not JSON: {start!r}") from error
        if not isinstance(answer, dict):
            raise ApiUnavailable(200, "NotAnObject", f"{call}: the answer is no object.")
        return answer

    async def read(self, call: Call) -> bytes:
        """Send a request and return the bytes of the answer; raises as ``object``."""
        timeout = aiohttp.ClientTimeout(total=self._timeout)

        async def once() -> bytes:
            with self._translated(call):
                response = await self._send(call, timeout=timeout)
                data = bytes(await response.read())
            self._check(call, response, data)
            return data

        return await self._renewing(once)

    @asynccontextmanager
    async def stream(self, call: Call, *, silence: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a long answer and give its chunks as they come; closed with the context.

        Parameters
        ----------
        call
            What is asked.
        silence
            Seconds without a byte after which the stream counts as dead; ``None`` for never.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_read=silence)

        async def once() -> aiohttp.ClientResponse:
            with self._translated(call):
                async with asyncio.timeout(self._timeout):
                    response = await self._send(call, timeout=timeout)
                    failed = b"" if response.ok else bytes(await response.read())
            self._check(call, response, failed)
            return response

        response = await self._renewing(once)
        try:
            yield self._chunks(call, response)
        finally:
            response.close()

    async def _chunks(self, call: Call, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        chunks = response.content.iter_any()
        while True:
            with self._translated(call, count=False):
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            yield chunk

    async def _send(self, call: Call, *, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:  # noqa: ASYNC109 - a value for the client, not a bound of ours
        target = f"{call.path}?{urlencode(call.query)}" if call.query else call.path
        method, url, headers, body, _ = await self._client.param_serialize(
            call.method,
            target,
            header_params={"Accept": JSON, "Content-Type": call.content_type},
            body=call.body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(
            method, url, header_params=headers, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _renewing(self, once: Callable[[], Awaitable[_T]]) -> _T:
        """Try again once after a 401: tokens expire, and the file or plugin has the next one by then."""
        try:
            return await once()
        except Unauthorized:
            await self.credentials.renew()
            return await once()

    def _check(self, call: Call, response: aiohttp.ClientResponse, data: bytes) -> None:
        self._on_request(call.verb, call.kind, response.status)
        if not 200 <= response.status < 300:
            raise translate(response.status, data, headers=response.headers, what=str(call))

    @contextmanager
    def _translated(self, call: Call, *, count: bool = True) -> Iterator[None]:
        """The one place that knows the client's exceptions."""
        try:
            yield
        except (aiohttp.ClientError, OpenApiException, OSError) as error:
            if count:
                self._on_request(call.verb, call.kind, 0)
            # TimeoutError is an OSError, and says nothing by itself.
            if isinstance(error, TimeoutError):
                raise ApiUnavailable(
                    0, "Timeout", f"{call}: the API server did not answer in time."
                ) from error
            text = f"{call}: the API server cannot be reached: {error or type(error).__name__}."
            raise ApiUnavailable(0, "Unreachable", text) from error
