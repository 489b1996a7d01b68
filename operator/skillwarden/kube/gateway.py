"""The Kubernetes API as plain dicts: every read and write of the operator passes here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from . import auth
from .errors import ApiUnavailable, Gone, KindMissing, NotFound, translate
from .kinds import Kind
from .transport import Call, RequestHook, Transport

Body = dict[str, Any]
_T = TypeVar("_T")

FIELD_MANAGER = "skillwarden"
PAGE = 500
#: How often a list starts over because its continue token grew too old.
LIST_TRIES = 3
#: Server-side apply takes YAML, of which JSON is a part.
APPLY = "application/apply-patch+yaml"
#: Of a log that is read whole; a follower reads on.
MAX_LOG_BYTES = 4 * 2**20
#: The server ends a watch after this long; a watch that then goes on in silence is dead.
WATCH_SECONDS = 240
#: An object has at most 1.5 MiB; what is longer without a line end is no event.
_MAX_EVENT_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Listing(Generic[_T]):
    """One consistent list.

    Attributes
    ----------
    items
        Whole objects, with apiVersion and kind, or what was made of each.
    resource_version
        Where a watch would go on.
    """

    items: list[_T]
    resource_version: str


def _nothing(verb: str, kind: str, status: int) -> None:
    return None


class Gateway:
    """A connection to one API server.

    Parameters
    ----------
    credentials
        From ``auth.load``.
    request_timeout
        Seconds for one request.
    user_agent
        As the API server's audit log shows it.
    on_request
        Told verb, kind and HTTP status of each request; 0 where no answer came.
    namespaces
        Where namespaced kinds are listed when no namespace is named; empty: in all of them.
    """

    def __init__(
        self,
        credentials: auth.Credentials,
        *,
        request_timeout: float = 30.0,
        user_agent: str = "skillwarden",
        on_request: RequestHook = _nothing,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._namespaces = tuple(namespaces)
        self._transport = Transport(
            credentials, request_timeout=request_timeout, user_agent=user_agent, on_request=on_request
        )

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        in_cluster: bool | None = None,
        request_timeout: float = 30.0,
        user_agent: str = "skillwarden",
        on_request: RequestHook = _nothing,
        namespaces: Sequence[str] = (),
    ) -> Self:
        """Read the credentials; nothing is asked of the server yet. See ``auth.load`` for where to."""
        credentials = await auth.load(kubeconfig=kubeconfig, context=context, in_cluster=in_cluster)
        return cls(
            credentials,
            request_timeout=request_timeout,
            user_agent=user_agent,
            on_request=on_request,
            namespaces=namespaces,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connection_details(self) -> auth.ConnectionDetails:
        """Return where this goes, for a client of its own; credentials are read anew."""
        return await auth.details(self._transport.credentials)

    async def list(
        self, kind: Kind, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Listing[Body]:
        """Return all objects of a kind, as ``project`` does."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        return await self._list(kind, namespace, selectors, _whole)

    async def project(
        self, kind: Kind, project: Callable[[Body], _T], *, label_selector: str = ""
    ) -> Listing[_T]:
        """Return what ``project`` makes of each object of a kind; no more than a page of them is ever held.

        A list that grew too old half-way starts over.

        Raises
        ------
        KindMissing
            Where the server does not serve the kind; never an empty list.
        """
        return await self._list(kind, None, {"labelSelector": label_selector}, project)

    async def _list(
        self,
        kind: Kind,
        namespace: str | None,
        selectors: Mapping[str, str],
        project: Callable[[Body], _T],
    ) -> Listing[_T]:
        everywhere = namespace is None and kind.namespaced and self._namespaces
        query = _set(selectors) | {"limit": str(PAGE)}
        found = [
            await self._whole_list(kind, kind.path(namespace=place), query, project)
            for place in everywhere or (namespace,)
        ]
        # The oldest: a watch from there misses nothing.
        return Listing([item for part in found for item in part.items], found[0].resource_version)

    async def _whole_list(
        self, kind: Kind, path: str, query: Mapping[str, str], project: Callable[[Body], _T]
    ) -> Listing[_T]:
        for _ in range(LIST_TRIES - 1):
            try:
                return await self._pages(kind, path, query, project)
            except Gone:
                continue
        return await self._pages(kind, path, query, project)

    async def _pages(
        self, kind: Kind, path: str, query: Mapping[str, str], project: Callable[[Body], _T]
    ) -> Listing[_T]:
        items: list[_T] = []
        token = ""
        while True:
            page_query = {**query} | _set({"continue": token})
            call = Call("list", kind.kind, path, query=page_query)
            page = await self._transport.object(call)
            if not isinstance(page.get("items"), list | None) or not _is_list(page):
                # What is not listed counts as deleted: no other answer may read as an empty list.
                raise ApiUnavailable(200, "NotAList", f"{call}: the answer is no list.")
            items.extend(project(_typed(kind, item)) for item in page.get("items") or ())
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return Listing(items, str(meta.get("resourceVersion", "")))

    async def served(self, group: str, version: str) -> frozenset[str]:
        """Return the plural names of the kinds that the server serves of a group; empty where it has none."""
        path = f"/apis/{group}/{version}"
        try:
            answer = await self._transport.object(Call("discover", "APIResourceList", path))
        except NotFound:
            return frozenset()
        return frozenset(str(item.get("name")) for item in answer.get("resources") or ())

    async def get(self, kind: Kind, *, name: str, namespace: str | None = None) -> Body | None:
        """Return one object, or ``None``; ``KindMissing`` where the server does not serve the kind."""
        try:
            return await self._transport.object(
                Call("get", kind.kind, kind.path(namespace=namespace, name=name))
            )
        except KindMissing:
            raise
        except NotFound:
            return None

    async def create(self, kind: Kind, body: Mapping[str, Any], *, dry_run: bool = False) -> Body:
        """Create an object; ``AlreadyExists`` where one of that name stands."""
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        path = kind.path(namespace=_namespace(kind, body))
        return await self._transport.object(
            Call("create", kind.kind, path, "POST", query, _complete(kind, body))
        )

    async def apply(
        self, kind: Kind, body: Mapping[str, Any], *, subresource: str | None = None, force: bool = True
    ) -> Body:
        """Server-side apply with our field manager; to ``/status`` with ``subresource="status"``.

        With a ``metadata.resourceVersion`` in the body, ``Conflict`` where the object has changed since.
        For a status always send it: a wrong uid alone goes unnoticed there.
        """
        path = kind.path(
            namespace=_namespace(kind, body), name=body["metadata"]["name"], subresource=subresource
        )
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        verb = f"apply-{subresource}" if subresource else "apply"
        return await self._transport.object(
            Call(verb, kind.kind, path, "PATCH", query, _complete(kind, body), APPLY)
        )

    async def merge(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
        manager: str = f"{FIELD_MANAGER}-cli",
    ) -> Body:
        """Merge a patch into an object (RFC 7386): a person's decision, or a Lease; all else is applied.

        With a ``metadata.resourceVersion`` in it, ``Conflict`` where the object has changed since.
        """
        path = kind.path(namespace=namespace, name=name, subresource=subresource)
        query = {"fieldManager": manager}
        call = Call("patch", kind.kind, path, "PATCH", query, dict(body), "application/merge-patch+json")
        return await self._transport.object(call)

    async def whoami(self) -> str | None:
        """Return the user's name as the API server has it, or ``None`` where it does not say."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        try:
            answer = await self._transport.object(Call("review", review["kind"], path, "POST", body=review))
        except NotFound:
            return None
        user = ((answer.get("status") or {}).get("userInfo") or {}).get("username")
        return str(user) if user else None

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
        preconditions = _set({"uid": uid, "resourceVersion": resource_version})
        options: Body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        options |= {"preconditions": preconditions} if preconditions else {}
        options |= {"gracePeriodSeconds": grace_seconds} if grace_seconds is not None else {}
        path = kind.path(namespace=namespace, name=name)
        try:
            await self._transport.object(Call("delete", kind.kind, path, "DELETE", body=options))
        except KindMissing:
            raise
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
        """Return a container's log, or its end; what is not UTF-8 is replaced.

        Raises
        ------
        NotFound, Invalid
            No such Pod; or no such container, or one that has not started.
        """
        limit = MAX_LOG_BYTES if limit_bytes is None else limit_bytes
        query = {"container": container, "limitBytes": str(limit)}
        query |= {"tailLines": str(tail_lines)} if tail_lines is not None else {}
        path = Kind.POD.path(namespace=namespace, name=name, subresource="log")
        data = await self._transport.read(Call("log", "Pod", path, query=query))
        return data.decode("utf-8", errors="replace")

    async def follow_pod_log(self, namespace: str, name: str, container: str) -> AsyncIterator[bytes]:
        """Yield a container's log as it is written, until the container ends."""
        path = Kind.POD.path(namespace=namespace, name=name, subresource="log")
        call = Call("log", "Pod", path, query={"container": container, "follow": "true"})
        # Silence is the container's affair.
        async with self._transport.stream(call, silence=None) as chunks:
            async for chunk in chunks:
                yield chunk

    async def watch(
        self, kind: Kind, *, namespace: str | None, name: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Body]]:
        """Yield changes of one object; ends when the server ends it. For the CLI's waiting only.

        Raises
        ------
        Gone
            Where the resource version is too old: get the object again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        call = Call("watch", kind.kind, kind.path(namespace=namespace), query=query)
        async with self._transport.stream(call, silence=WATCH_SECONDS + 30) as chunks:
            async for line in _lines(chunks):
                event, record = _event(call, line)
                if event != "BOOKMARK":
                    yield event, record


def _whole(body: Body) -> Body:
    return body


def _event(call: Call, line: bytes) -> tuple[str, Body]:
    try:
        event = json.loads(line)
        type_, record = str(event["type"]), dict(event["object"])
    except (ValueError, KeyError, TypeError) as error:
        raise ApiUnavailable(
            200, "NotAnEvent", f"{call}: the server sent something that is no event."
        ) from error
    if type_ == "ERROR":
        raise translate(int(record.get("code") or 500), json.dumps(record), what=str(call))
    return type_, record


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for part in whole:
            line = bytes(rest + part)
            rest.clear()
            if line.strip():
                yield line
        rest += last
        if len(rest) > _MAX_EVENT_BYTES:
            raise ApiUnavailable(
                200, "NotAnEvent", f"more than {_MAX_EVENT_BYTES} bytes came without a line end."
            )
    if rest.strip():
        yield bytes(rest)


def _is_list(page: Body) -> bool:
    return str(page.get("kind", "")).endswith("List")


def _typed(kind: Kind, item: Body) -> Body:
    """Give a list's item the apiVersion and kind that the API server leaves out there.

    Who owns which field is dropped: nobody here reads it, and it is often the larger part of a whole list.
    """
    if isinstance(meta := item.get("metadata"), dict):
        meta.pop("managedFields", None)
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}


def _complete(kind: Kind, body: Mapping[str, Any]) -> Body:
    """Name the kind, and drop what the server refuses to be sent back."""
    meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {"apiVersion": kind.api_version, "kind": kind.kind, **body, "metadata": meta}


def _namespace(kind: Kind, body: Mapping[str, Any]) -> str | None:
    namespace = body["metadata"].get("namespace")
    if kind.namespaced and not namespace:
        raise ValueError(f"{kind.kind} {body['metadata'].get('name')!r} needs metadata.namespace")
    return namespace if kind.namespaced else None


def _set(values: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}
