"""What is served below an object beside its status: scale, binding, eviction, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from skillwarden.localcluster.apiserver import errors, patches, pods
from skillwarden.localcluster.apiserver.bodies import delete_options
from skillwarden.localcluster.apiserver.decoding import WriteOptions
from skillwarden.localcluster.apiserver.errors import ApiError, Obj
from skillwarden.localcluster.apiserver.formats import now_text
from skillwarden.localcluster.apiserver.objects import Objects
from skillwarden.localcluster.apiserver.pods import LogSource
from skillwarden.localcluster.apiserver.resources import Resource
from skillwarden.localcluster.apiserver.store import clone
from skillwarden.localcluster.apiserver.views import dumps

SUCCESS: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _at(obj: Any, path: str) -> Any:
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _with(obj: Obj, path: str, value: Any) -> Obj:
    head, _, rest = path.partition(".")
    return {**obj, head: _with(obj.get(head) or {}, rest, value) if rest else value}


def scale_of(resource: Resource, obj: Obj) -> Obj:
    """Give the ``autoscaling/v1`` Scale of a custom resource.

    Raises
    ------
    ApiError
        500 when the object does not say how many replicas it wants; a default in its schema prevents it.
    """
    assert resource.scale is not None  # noqa: S101 - the caller has checked
    wanted = _at(obj, resource.scale.spec_replicas)
    if wanted is None:
        path = resource.scale.spec_replicas
        raise ApiError(
            500, "InternalError", f'Internal error occurred: the spec replicas field ".{path}" does not exist'
        )
    meta = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Obj = {"replicas": _at(obj, resource.scale.status_replicas) or 0}
    if resource.scale.selector and (selector := _at(obj, resource.scale.selector)):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": wanted},
        "status": status,
    }


def write_scale(
    objects: Objects, resource: Resource, namespace: str, name: str, scale: Any, *, options: WriteOptions
) -> Obj:
    """Set the replicas of an object from a whole Scale."""
    assert resource.scale is not None  # noqa: S101 - the caller has checked
    path = resource.scale.spec_replicas
    replicas = _at(scale, "spec.replicas")
    replicas = 0 if replicas is None else replicas
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        cause = errors.Cause(
            "FieldValueInvalid", f"Invalid value: {replicas}: must be a whole number from 0", "spec.replicas"
        )
        raise errors.invalid("Scale", "autoscaling", name, [cause])

    def change(old: Obj) -> Obj:
        meta = dict(old["metadata"])
        for field in ("resourceVersion", "uid"):
            if given := _at(scale, f"metadata.{field}"):
                meta[field] = given
        return _with({**old, "metadata": meta}, path, replicas)

    new = objects.patch(resource, namespace, name, change, options=options, sub="scale")
    return scale_of(resource, new)


def patch_scale(
    objects: Objects,
    resource: Resource,
    namespace: str,
    name: str,
    patch: tuple[str, Any],
    *,
    options: WriteOptions,
) -> Obj:
    """Change the replicas of an object by a patch on its Scale."""
    assert resource.scale is not None  # noqa: S101 - the caller has checked
    kind, body = patch
    if kind == "apply":
        where = f"{namespace}/{name}; autoscaling/v1, Kind=Scale"
        why = "request to convert CR to an invalid group/version: autoscaling/v1"
        message = f"failed to convert new object ({where}) to proper version: {why}"
        raise ApiError(500, "", message)
    scale = scale_of(resource, objects.get(resource, namespace, name))
    del scale["metadata"]["resourceVersion"]
    changed = patches.json_patch(scale, body) if kind == "json" else patches.merge_patch(scale, body)
    return write_scale(objects, resource, namespace, name, changed, options=options)


def bind(
    objects: Objects, resource: Resource, namespace: str, name: str, body: Any, *, options: WriteOptions
) -> Obj:
    """Tie a Pod to the node that a Binding names.

    Raises
    ------
    ApiError
        409 when it is tied to one, or is being deleted.
    """
    if _at(body, "metadata.name") != name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    node = _at(body, "target.name")
    if not isinstance(node, str) or not node:
        raise errors.bad_request("a Binding names its node in target.name")
    pod = objects.get(resource, namespace, name)
    uid = _at(body, "metadata.uid")
    if uid and uid != pod["metadata"]["uid"]:
        raise errors.conflict("pods/binding", "", name, f"the Pod that {uid} was is gone")
    if pod["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise errors.conflict("pods/binding", "", name, why)
    if "deletionTimestamp" in pod["metadata"]:
        raise errors.conflict(
            "pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host"
        )
    if not options.dry_run:
        objects.removal.rewrite(resource, pod, pods.bound(clone(pod), node, now_text()))
    return SUCCESS


def evict(objects: Objects, resource: Resource, namespace: str, name: str, body: Any) -> Obj:
    """Delete a Pod by way of an Eviction; there are no disruption budgets here."""
    if _at(body, "metadata.name") != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    asked = body.get("deleteOptions")
    objects.removal.delete(resource, namespace, name, delete_options(dumps(asked) if asked else b"", {}))
    return SUCCESS


def open_log(source: LogSource | None, pod: Obj, query: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Open the log of one of a Pod's containers.

    Raises
    ------
    ApiError
        400 when the container is not named and there are several, or there is no such log.
    """
    meta = pod["metadata"]
    names = [item["name"] for _, item in pods.containers(pod["spec"])]
    main = [item["name"] for item in pod["spec"]["containers"]]
    container = query.get("container") or (main[0] if len(main) == 1 else "")
    if not container:
        raise errors.bad_request(
            f"a container name must be specified for pod {meta['name']}, choose one of: [{' '.join(names)}]"
        )
    if container not in names:
        raise errors.bad_request(f"container {container} is not valid for pod {meta['name']}")
    if source is None:
        raise errors.bad_request("this server was started without a node, so there are no logs")

    def number(name: str) -> int | None:
        text = query.get(name, "")
        if text and not text.isdecimal():
            raise errors.bad_request(f"{name} is no number: {text!r}")
        return int(text) if text else None

    def flag(name: str) -> bool:
        return query.get(name, "").lower() in {"true", "1"}

    try:
        return source.open(
            meta["namespace"],
            meta["name"],
            container,
            follow=flag("follow"),
            tail_lines=number("tailLines"),
            since_seconds=number("sinceSeconds"),
            timestamps=flag("timestamps"),
            previous=flag("previous"),
            limit_bytes=number("limitBytes"),
        )
    except LookupError as error:
        raise errors.bad_request(str(error.args[0] if error.args else error)) from error
