"""From a path and a method to what is done: the request half of the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from skillwarden.localcluster.apiserver import bodies, discovery, errors, openapi, patches, subresources
from skillwarden.localcluster.apiserver.authorizer import Attributes, Authorizer
from skillwarden.localcluster.apiserver.decoding import WriteOptions
from skillwarden.localcluster.apiserver.errors import ApiError, Obj
from skillwarden.localcluster.apiserver.objects import Objects
from skillwarden.localcluster.apiserver.pods import LogSource
from skillwarden.localcluster.apiserver.reading import Pages, Watch, selection
from skillwarden.localcluster.apiserver.resources import BUILTINS, Registry, Resource
from skillwarden.localcluster.apiserver.selectors import FieldTerm
from skillwarden.localcluster.apiserver.store import Store
from skillwarden.localcluster.apiserver.views import Form, View, accept_renamed, dumps, negotiate, shown

#: Who asks, noted on the request; nobody is noted who may do everything.
USER = web.RequestKey("user", str)
_PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
    "application/apply-patch+json": "apply",
}


class NoSuchPath(Exception):  # noqa: N818 - it says what is the case
    """Nothing is served there; answered in plain text, from which clients tell it from a missing object."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names."""

    resource: Resource
    namespace: str | None
    name: str = ""
    sub: str = ""

    @property
    def place(self) -> str:
        """The namespace an object stands in; empty for cluster-scoped kinds."""
        return self.namespace or ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the routes are told beside the state."""

    log_source: LogSource | None
    bookmark_seconds: float
    authorizer: Authorizer | None = None


def respond(body: Any, code: int = 200, warnings: list[str] | None = None) -> web.Response:
    """Answer with JSON."""
    response = web.Response(body=dumps(body), status=code, content_type="application/json")
    for text in dict.fromkeys(warnings or ()):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


class Routes:
    """The API below ``/api`` and ``/apis``, discovery and OpenAPI included."""

    def __init__(self, store: Store, registry: Registry, objects: Objects, settings: Settings) -> None:
        self._store = store
        self._registry = registry
        self._objects = objects
        self._settings = settings
        self.pages = Pages(store)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request that has passed authentication."""
        parts = [part for part in request.path.split("/") if part]
        match parts:
            case ["version"]:
                return respond(discovery.VERSION)
            case ["openapi", "v3", *rest]:
                return self._openapi(rest)
            case ["api" | "apis" as root, *rest]:
                return await self._api(request, root, rest)
            case []:
                return respond(
                    {"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}
                )
        raise NoSuchPath

    def _openapi(self, rest: list[str]) -> web.Response:
        match rest:
            case []:
                return respond(openapi.index(self._registry))
            case ["api", version]:
                body = openapi.document(self._registry, "", version)
            case ["apis", group, version]:
                body = openapi.document(self._registry, group, version)
            case _:
                body = None
        if body is None:
            raise NoSuchPath
        return respond(body)

    async def _api(self, request: web.Request, root: str, rest: list[str]) -> web.StreamResponse:
        core = root == "api"
        if not rest:
            return self._groups(request, core=core)
        if not core and len(rest) == 1:
            versions = discovery.groups(self._registry).get(rest[0])
            if not versions:
                raise NoSuchPath
            return respond(discovery.group(rest[0], versions))
        group, version, *rest = ["", *rest] if core else rest
        if not rest:
            listed = discovery.resource_list(self._registry, group, version)
            if listed is None:
                raise NoSuchPath
            return respond(listed)
        if (group, version, *rest) == discovery.ACCESS_REVIEWS[:3]:
            return await self._access_review(request)
        return await self._object_request(request, self._target(group, version, rest))

    def _groups(self, request: web.Request, *, core: bool) -> web.Response:
        accept = request.headers.get("Accept", "")
        if any("g=apidiscovery.k8s.io" in part and "v=v2;" in part + ";" for part in accept.split(",")):
            body = dumps(discovery.aggregated(self._registry, core=core))
            return web.Response(body=body, headers={"Content-Type": discovery.AGGREGATED})
        if not core:
            return respond(discovery.group_list(self._registry))
        return respond({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})

    async def _access_review(self, request: web.Request) -> web.Response:
        # Whoever holds the token may do everything here; there is no RBAC to ask.
        if request.method != "POST":
            raise errors.method_not_allowed()
        body, _ = bodies.write_body(await request.read(), request.content_type)
        if not isinstance(body, dict):
            raise errors.bad_request("the body of the request is no object")
        return respond({**body, "status": {"allowed": True}}, 201)

    def _target(self, group: str, version: str, rest: list[str]) -> Target:
        namespace: str | None = None
        if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in {"status", "finalize"}:
            namespace, rest = rest[1], rest[2:]
        resource = self._registry.find(group, version, rest[0])
        if resource is None or len(rest) > 3 or (namespace is not None and not resource.namespaced):
            if any((item.group, item.version) == (group, version) for item in BUILTINS):
                text = "the server could not find the requested resource"
                raise ApiError(404, "NotFound", text)
            raise NoSuchPath
        name = rest[1] if len(rest) > 1 else ""
        sub = rest[2] if len(rest) > 2 else ""
        if resource.namespaced and name and namespace is None:
            raise NoSuchPath
        if not resource.namespaced:
            return Target(resource, None, name, sub)
        return Target(resource, namespace, name, sub)

    def _authorize(self, request: web.Request, target: Target) -> None:
        """Have the authoriser decide for a user that may not do everything; 403 where it refuses."""
        user = request.get(USER)
        if user is None or self._settings.authorizer is None:
            return
        resource = target.resource
        plural = f"{resource.plural}/{target.sub}" if target.sub else resource.plural
        for verb in self._verbs(request, target):
            asked = Attributes(
                user=user,
                verb=verb,
                group=resource.group,
                resource=plural,
                namespace=target.place,
                name=target.name,
            )
            if not self._settings.authorizer.allows(asked):
                raise errors.unauthorised_for(resource.plural, resource.group, target.name, str(asked))

    def _verbs(self, request: web.Request, target: Target) -> list[str]:
        watching = request.query.get("watch", "").lower() in {"true", "1"}
        match request.method, bool(target.name):
            case "GET", _ if watching:
                return ["watch"]
            case "GET", named:
                return ["get" if named else "list"]
            case "DELETE", named:
                return ["delete" if named else "deletecollection"]
            case "PATCH", _ if (
                _content_type(request).startswith("application/apply-patch") and not target.sub
            ):
                stands = self._store.get(self._stored(target.resource).storage, target.place, target.name)
                # What server-side apply makes takes the right to make it, too.
                return ["patch"] if stands else ["patch", "create"]
            case method, _:
                return [{"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())]

    async def _object_request(self, request: web.Request, target: Target) -> web.StreamResponse:
        self._authorize(request, target)
        if target.sub:
            return await self._below(request, target)
        handlers: dict[tuple[str, bool], Callable[[web.Request, Target], Awaitable[web.StreamResponse]]] = {
            ("GET", False): self._list_or_watch,
            ("POST", False): self._create,
            ("DELETE", False): self._delete_many,
            ("GET", True): self._get,
            ("PUT", True): self._replace,
            ("PATCH", True): self._patch,
            ("DELETE", True): self._delete,
        }
        handler = handlers.get((request.method, bool(target.name)))
        if handler is None:
            raise errors.method_not_allowed()
        return await handler(request, target)

    def _view(self, request: web.Request, resource: Resource) -> View:
        form = negotiate(request.headers.get("Accept", ""))
        return View(resource, form, request.query.get("includeObject") or "Metadata")

    # Reading

    async def _get(self, request: web.Request, target: Target) -> web.StreamResponse:
        obj = self._objects.get(target.resource, target.place, target.name)
        if request.query.get("watch", "").lower() in {"true", "1"}:
            return await self._watch(request, target, name=target.name)
        return respond(self._view(request, target.resource).one(obj))

    async def _list_or_watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        if request.query.get("watch", "").lower() in {"true", "1"}:
            return await self._watch(request, target)
        chosen = selection(target.resource, target.namespace, request.query)
        return respond(self.pages.read(self._view(request, target.resource), chosen, request.query))

    async def _watch(self, request: web.Request, target: Target, name: str = "") -> web.StreamResponse:
        chosen = selection(target.resource, target.namespace, request.query)
        if name:
            only = FieldTerm("metadata.name", True, name)
            chosen = type(chosen)(chosen.namespace, chosen.labels, (*chosen.fields, only))
        watch = Watch(
            self._store,
            self._view(request, target.resource),
            chosen,
            request.query,
            bookmark_seconds=self._settings.bookmark_seconds,
        )
        return await watch.stream(request)

    # Writing

    def _stored(self, resource: Resource) -> Resource:
        """Give the kind in the shape that it is stored in."""
        return self._registry.of_storage(resource.storage) if resource.renames else resource

    def _options(
        self, request: web.Request, duplicates: tuple[str, ...] = (), *, apply: bool = False
    ) -> WriteOptions:
        agent = request.headers.get("User-Agent", "")
        return bodies.write_options(request.query, agent, duplicates, apply=apply)

    async def _body(self, request: web.Request, target: Target) -> tuple[Any, WriteOptions]:
        body, duplicates = bodies.write_body(await request.read(), _content_type(request))
        return accept_renamed(target.resource, body), self._options(request, duplicates)

    def _wrote(
        self, request: web.Request, target: Target, obj: Obj, options: WriteOptions, code: int = 200
    ) -> web.Response:
        return respond(self._view(request, target.resource).one(obj), code, options.warnings)

    async def _create(self, request: web.Request, target: Target) -> web.StreamResponse:
        if target.resource.namespaced and target.namespace is None:
            raise errors.method_not_allowed()
        body, options = await self._body(request, target)
        obj = self._objects.create(self._stored(target.resource), target.place, body, options)
        return self._wrote(request, target, obj, options, 201)

    async def _replace(self, request: web.Request, target: Target) -> web.StreamResponse:
        body, options = await self._body(request, target)
        resource = self._stored(target.resource)
        obj = self._objects.replace(
            resource, target.place, target.name, body, options=options, sub=target.sub
        )
        return self._wrote(request, target, obj, options)

    async def _patch_body(self, request: web.Request, resource: Resource) -> tuple[str, Any, WriteOptions]:
        kinds = {
            name: kind for name, kind in _PATCHES.items() if not (resource.custom and kind == "strategic")
        }
        kind = kinds.get(_content_type(request))
        if kind is None:
            raise errors.unsupported_media_type(kinds)
        body, duplicates = bodies.decode(await request.read(), yaml_allowed=kind == "apply")
        return kind, body, self._options(request, duplicates, apply=kind == "apply")

    async def _patch(self, request: web.Request, target: Target) -> web.StreamResponse:
        resource = self._stored(target.resource)
        kind, body, options = await self._patch_body(request, resource)
        body = accept_renamed(target.resource, body)
        if kind == "apply":
            obj, made = self._objects.apply(
                resource, target.place, target.name, body, options=options, sub=target.sub
            )
            return self._wrote(request, target, obj, options, 201 if made else 200)
        if kind != "json" and not isinstance(body, dict):
            raise errors.bad_request("the patch is no object")
        change: Callable[[Obj], Any]
        match kind:
            case "json":
                change = partial(_swapped, patches.json_patch, body)
            case "merge":
                change = partial(_swapped, patches.merge_patch, body)
            case _:
                change = partial(_strategic, resource, body)
        obj = self._objects.patch(
            resource, target.place, target.name, change, options=options, sub=target.sub
        )
        return self._wrote(request, target, obj, options)

    async def _delete(self, request: web.Request, target: Target) -> web.StreamResponse:
        options = bodies.delete_options(await request.read(), request.query)
        resource = self._stored(target.resource)
        obj, gone = self._objects.removal.delete(resource, target.place, target.name, options)
        if not gone or resource.plural == "pods":
            return respond(shown(target.resource, obj))
        details = {"name": target.name, "group": resource.group, "kind": resource.plural}
        details = {key: value for key, value in details.items() if value}
        status: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return respond({**status, "details": {**details, "uid": obj["metadata"]["uid"]}})

    async def _delete_many(self, request: web.Request, target: Target) -> web.StreamResponse:
        resource = self._stored(target.resource)
        if "deletecollection" not in resource.verbs or (resource.namespaced and target.namespace is None):
            raise errors.method_not_allowed()
        options = bodies.delete_options(await request.read(), request.query)
        chosen = selection(target.resource, target.namespace, request.query)
        found = self._store.select(resource.storage, chosen)
        for obj in found:
            meta = obj["metadata"]
            self._objects.removal.delete(resource, meta.get("namespace", ""), meta["name"], options)
        return respond(
            View(target.resource, Form.PLAIN).many(found, {"resourceVersion": str(self._store.version)})
        )

    # Below an object

    async def _below(self, request: web.Request, target: Target) -> web.StreamResponse:
        served = {sub.name: sub for sub in discovery.subresources(target.resource)}
        sub = served.get(target.sub)
        if sub is None:
            raise errors.not_found(target.resource.plural, target.resource.group, target.name)
        verb = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}.get(request.method)
        if verb not in sub.verbs:
            raise errors.method_not_allowed()
        match target.sub, verb:
            case "status", "get":
                return await self._get(request, target)
            case "status", "update":
                return await self._replace(request, target)
            case "status", _:
                return await self._patch(request, target)
            case "scale", _:
                return respond(await self._scale(request, target, verb))
            case "log", _:
                return await self._log(request, target)
        body, options = await self._body(request, target)
        place = (self._objects, target.resource, target.place, target.name)
        if target.sub == "binding":
            return respond(subresources.bind(*place, body, options=options), 201)
        return respond(subresources.evict(*place, body), 201)

    async def _scale(self, request: web.Request, target: Target, verb: str) -> Obj:
        place = (self._objects, target.resource, target.place, target.name)
        match verb:
            case "update":
                body, options = await self._body(request, target)
                return subresources.write_scale(*place, body, options=options)
            case "patch":
                kind, body, options = await self._patch_body(request, target.resource)
                return subresources.patch_scale(*place, (kind, body), options=options)
            case _:
                return subresources.scale_of(target.resource, self._objects.get(*place[1:]))

    async def _log(self, request: web.Request, target: Target) -> web.StreamResponse:
        pod = self._objects.get(target.resource, target.place, target.name)
        chunks = subresources.open_log(self._settings.log_source, pod, request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        try:
            first = await anext(chunks, None)
            await response.prepare(request)
            if first is not None:
                await response.write(first)
                async for chunk in chunks:
                    await response.write(chunk)
        except LookupError as error:
            if response.prepared:
                return response
            raise errors.bad_request(str(error.args[0] if error.args else error)) from error
        except ConnectionResetError:
            return response  # the reader has gone
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        await response.write_eof()
        return response


def _content_type(request: web.Request) -> str:
    return request.content_type if "Content-Type" in request.headers else bodies.JSON


def _swapped(change: Callable[[Any, Any], Any], body: Any, old: Obj) -> Any:
    return change(old, body)


def _strategic(resource: Resource, body: Any, old: Obj) -> Any:
    return patches.strategic_merge(old, body, resource.schema)


def failure(error: ApiError) -> web.Response:
    """Answer with a ``Status``."""
    response = respond(error.status(), error.code)
    response.headers.update(error.headers)
    return response
