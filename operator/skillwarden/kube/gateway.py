"""The Kubernetes API as plain dicts: every read and write of the operator passes here.

Each request has a deadline; each failure is one of ``errors``; nothing is retried here, because the work
queue does that with a fresh look at the world.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException

from . import auth
from .errors import ApiError, ApiUnavailable, Gone, NotFound, translate
from .kinds import Kind

Body = dict[str, Any]
RequestHook = Callable[[str, str, int], None]

FIELD_MANAGER = "skillwarden"
PAGE = 500
#: How often a list starts over because its continue token grew too old.
LIST_TRIES = 3
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
#: Of a log that is read whole; a follower reads on.
MAX_LOG_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Listing:
    """One consistent list.

    Attributes
    ----------
    items
        Whole objects, with apiVersion and kind.
    resource_version
        Where a watch would go on.
    """

    items: list[Body]
    resource_version: str


def _nothing(verb: str, kind: str, status: int) -> None:
    return None


class Gateway:
    """A connection to one API server.

    Parameters
    ----------
    configuration
        From ``auth.load``.
    request_timeout
        Seconds for one request.
    user_agent
        As the API server's audit log shows it.
    on_request
        Told verb, kind and status of each request.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        request_timeout: float = 30.0,
        user_agent: str = "skillwarden",
        on_request: RequestHook = _nothing,
    ) -> None:
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent
        self._timeout = request_timeout
        self._on_request = on_request

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        request_timeout: float = 30.0,
        user_agent: str = "skillwarden",
        on_request: RequestHook = _nothing,
    ) -> Self:
        """Make a connection; see ``auth.load`` for where to."""
        configuration = await auth.load(kubeconfig=kubeconfig, context=context)
        return cls(
            configuration, request_timeout=request_timeout, user_agent=user_agent, on_request=on_request
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def connection_details(self) -> auth.ConnectionDetails:
        """Return where this goes, for a client of its own."""
        return await auth.details(self._configuration)

    async def list(
        self, kind: Kind, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Listing:
        """Return all objects of a kind, page by page; a list that grew too old half-way starts over."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {name: value for name, value in selectors.items() if value}
        for _ in range(LIST_TRIES - 1):
            with contextlib.suppress(Gone):
                return await self._pages(kind, namespace, query)
        return await self._pages(kind, namespace, query)

    async def _pages(self, kind: Kind, namespace: str | None, query: Mapping[str, str]) -> Listing:
        items: list[Body] = []
        token = ""
        while True:
            page_query: dict[str, str] = {**query, "limit": str(PAGE)} | (
                {"continue": token} if token else {}
            )
            page = await self._call(
                "GET", kind, kind.path(namespace=namespace), query=page_query, verb="list"
            )
            items.extend(_typed(kind, item) for item in page.get("items") or [])
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return Listing(items, str(meta.get("resourceVersion", "")))

    async def get(self, kind: Kind, *, name: str, namespace: str | None = None) -> Body | None:
        """Return one object, or ``None``."""
        try:
            return await self._call("GET", kind, kind.path(namespace=namespace, name=name))
        except NotFound:
            return None

    async def create(self, kind: Kind, body: Body, *, dry_run: bool = False) -> Body:
        """Create an object; ``AlreadyExists`` where one of that name stands."""
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        path = kind.path(namespace=body["metadata"].get("namespace"))
        return await self._call("POST", kind, path, query=query, body=body, verb="create")

    async def apply(
        self, kind: Kind, body: Body, *, subresource: str | None = None, force: bool = True
    ) -> Body:
        """Server-side apply with our field manager; to ``/status`` with ``subresource="status"``."""
        meta = body["metadata"]
        path = kind.path(namespace=meta.get("namespace"), name=meta["name"], subresource=subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        return await self._call("PATCH", kind, path, query=query, body=body, content_type=APPLY, verb="apply")

    async def delete(
        self,
        kind: Kind,
        *,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
    ) -> bool:
        """Delete an object; ``False`` if it is already gone, ``Conflict`` if it is another one by now."""
        named = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {field: value for field, value in named.items() if value is not None}
        options: Body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        options |= {"preconditions": preconditions} if preconditions else {}
        options |= {"gracePeriodSeconds": grace_seconds} if grace_seconds is not None else {}
        try:
            await self._call("DELETE", kind, kind.path(namespace=namespace, name=name), body=options)
        except NotFound:
            return False
        return True

    async def pod_log(
        self,
        namespace: str,
        name: str,
        container: str,
        *,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
    ) -> str:
        """Return a container's log, or its end; what is not UTF-8 is replaced."""
        query = {"container": container, "limitBytes": str(limit_bytes or MAX_LOG_BYTES)}
        query |= {"tailLines": str(tail_lines)} if tail_lines is not None else {}
        path = Kind.POD.path(namespace=namespace, name=name, subresource="log")
        async with self._response("GET", Kind.POD, path, query=query, verb="log") as response:
            data = await response.read()
        return bytes(data).decode("utf-8", errors="replace")

    async def follow_pod_log(self, namespace: str, name: str, container: str) -> AsyncIterator[bytes]:
        """Yield a container's log as it is written, until the container ends."""
        path = Kind.POD.path(namespace=namespace, name=name, subresource="log")
        query = {"container": container, "follow": "true"}
        async with self._response("GET", Kind.POD, path, query=query, verb="log", endless=True) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def watch(
        self, kind: Kind, *, namespace: str, name: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Body]]:
        """Yield changes of one object; ends when the server ends it. For the CLI's waiting only."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": resource_version,
            "timeoutSeconds": "240",
        }
        path = kind.path(namespace=namespace)
        async with self._response("GET", kind, path, query=query, verb="watch", endless=True) as response:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise translate(int(event["object"].get("code") or 500), json.dumps(event["object"]))
                yield event["type"], event["object"]

    # -- one request -----------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
        verb: str = "",
    ) -> Body:
        async with self._response(
            method, kind, path, query=query, body=body, content_type=content_type, verb=verb
        ) as response:
            data = await response.read()
        try:
            answer = json.loads(data)
        except ValueError as error:
            text = " ".join(bytes(data).decode(errors="replace").split())[:200]
            raise ApiUnavailable(
                response.status, "NotJson", f"the API server's answer is not JSON: {text!r}"
            ) from error
        if not isinstance(answer, dict):
            raise ApiUnavailable(response.status, "NotAnObject", "the API server's answer is no object")
        return answer

    @contextlib.asynccontextmanager
    async def _response(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
        verb: str = "",
        endless: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give the answer; anything but a success raises one of ``errors``."""
        verb = verb or method.lower()
        status = 0
        timeout = aiohttp.ClientTimeout(total=None if endless else self._timeout, sock_connect=10)
        with _translated(self._timeout):
            try:
                method, url, headers, data, _ = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                answer = await self._client.call_api(
                    method, url, header_params=headers, body=data, _request_timeout=timeout
                )
                response: aiohttp.ClientResponse = answer.response
                status = response.status
                if not 200 <= status <= 299:
                    raise translate(status, await response.read(), headers=response.headers)
            finally:
                self._on_request(verb, kind.kind, status)
            try:
                yield response
            finally:
                response.release()


@contextlib.contextmanager
def _translated(timeout: float) -> Iterator[None]:
    """Turn what the client raises into ``errors``: the one place that knows the client's exceptions."""
    try:
        yield
    except ApiError:
        raise
    except ApiException as error:
        raise translate(error.status or 500, error.body, headers=error.headers) from error
    except TimeoutError as error:
        text = f"the API server did not answer within {timeout:g} s."
        raise ApiUnavailable(0, "Timeout", text) from error
    except (aiohttp.ClientError, OSError) as error:
        text = f"the API server cannot be reached: {error or type(error).__name__}."
        raise ApiUnavailable(0, "Unreachable", text) from error


def _typed(kind: Kind, item: Body) -> Body:
    """Give a list's item the apiVersion and kind that the API server leaves out there."""
    version = f"{kind.group}/{kind.version}" if kind.group else kind.version
    return {"apiVersion": version, "kind": kind.kind, **item}
