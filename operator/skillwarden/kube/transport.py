"""One request to the API server: authenticated, timed, counted, and its failures translated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import OpenApiException

from .auth import Credentials
from .errors import ApiUnavailableError, UnauthorizedError, error_from

#: Sees each request that was made: verb, kind, HTTP status; 0 where no answer came.
RequestHook = Callable[[str, str, int], None]
_T = TypeVar("_T")
_JSON = "application/json"
#: Server-side apply takes YAML, of which JSON is a part.
APPLY = "application/apply-patch+yaml"


def _ignore(_verb: str, _kind: str, _status: int) -> None:
    return None


class Transport:
    """The client's low level: no models, no client-side validation, plain JSON.

    Parameters
    ----------
    credentials
        Where and who.
    request_timeout
        Seconds for one request, connecting included; of a stream, for its beginning only.
    user_agent
        Shown in audit logs.
    on_request
        For metrics.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        request_timeout: float,
        user_agent: str,
        on_request: RequestHook | None = None,
    ) -> None:
        self._credentials = credentials
        self._timeout = request_timeout
        self._client = ApiClient(credentials.configuration)
        self._client.user_agent = user_agent
        self._on_request = on_request or _ignore

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def request(
        self,
        method: str,
        path: str,
        *,
        verb: str,
        kind: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        """Send a request and return the object of the answer.

        Raises
        ------
        ApiError
            As the server refused.
        ApiUnavailableError
            No answer, none in time, or none of an API server.
        """
        data = await self.read(
            method, path, verb=verb, kind=kind, query=query, body=body, content_type=content_type
        )
        try:
            record = json.loads(data)
        except ValueError as error:
            raise ApiUnavailableError(
                f"{_what(verb, kind, path)} failed: the answer is not JSON; is it an API server's?",
                status=200,
            ) from error
        if not isinstance(record, dict):
            raise ApiUnavailableError(
                f"{_what(verb, kind, path)} failed: the answer is no object.", status=200
            )
        return record

    async def read(
        self,
        method: str,
        path: str,
        *,
        verb: str,
        kind: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
    ) -> bytes:
        """Send a request and return the bytes of the answer; raises as ``request``."""
        timeout = aiohttp.ClientTimeout(total=self._timeout)

        async def once() -> bytes:
            with self._translated(verb, kind, path):
                status, headers, response = await self._send(
                    method, path, query, body, content_type, timeout=timeout, accept=_JSON
                )
                data = bytes(await response.read())
            self._check(status, headers, data, verb=verb, kind=kind, path=path)
            return data

        return await self._with_renewal(once)

    @asynccontextmanager
    async def stream(
        self, path: str, *, verb: str, kind: str, query: Mapping[str, str], silence: float | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a long answer and give its chunks as they come; closed with the context.

        Parameters
        ----------
        path, verb, kind, query
            As ``request``.
        silence
            Seconds without a byte after which the stream counts as dead; ``None`` for never.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=self._timeout, sock_read=silence)

        async def once() -> aiohttp.ClientResponse:
            with self._translated(verb, kind, path):
                async with asyncio.timeout(self._timeout):
                    status, headers, response = await self._send(
                        "GET", path, query, None, _JSON, timeout=timeout, accept="*/*"
                    )
                    failed = b"" if 200 <= status < 300 else bytes(await response.read())
            self._check(status, headers, failed, verb=verb, kind=kind, path=path)
            return response

        response = await self._with_renewal(once)
        try:
            yield self._chunks(response, verb, kind, path)
        finally:
            response.close()

    async def _chunks(
        self, response: aiohttp.ClientResponse, verb: str, kind: str, path: str
    ) -> AsyncIterator[bytes]:
        with self._translated(verb, kind, path, count=False):
            async for chunk in response.content.iter_any():
                yield chunk

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        content_type: str,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - a value for the client, not a bound of ours
        accept: str,
    ) -> tuple[int, Mapping[str, str], aiohttp.ClientResponse]:
        target = f"{path}?{urlencode(query)}" if query else path
        method, url, headers, body, _ = await self._client.param_serialize(
            method,
            target,
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(
            method, url, header_params=headers, body=body, _request_timeout=timeout
        )
        return answer.status, answer.headers, answer.response

    async def _with_renewal(self, once: Callable[[], Awaitable[_T]]) -> _T:
        """Try again once after a 401: tokens expire, and the file or plugin has the next one by then."""
        try:
            return await once()
        except UnauthorizedError:
            await self._credentials.renew()
            return await once()

    def _check(
        self, status: int, headers: Mapping[str, str], data: bytes, *, verb: str, kind: str, path: str
    ) -> None:
        self._on_request(verb, kind, status)
        if not 200 <= status < 300:
            raise error_from(status, data, what=_what(verb, kind, path), headers=headers)

    @contextmanager
    def _translated(self, verb: str, kind: str, path: str, *, count: bool = True) -> Iterator[None]:
        """The one place where the client's errors become ours."""
        try:
            yield
        except (aiohttp.ClientError, OpenApiException, OSError) as error:
            if count:
                self._on_request(verb, kind, 0)
            # TimeoutError is an OSError, and says nothing by itself.
            late = isinstance(error, TimeoutError)
            reason = "no answer in time" if late else f"{type(error).__name__}: {error}"
            raise ApiUnavailableError(f"{_what(verb, kind, path)} failed: {reason}.") from error


def _what(verb: str, kind: str, path: str) -> str:
    return f"{verb} {kind} ({path})"
