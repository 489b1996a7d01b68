"""Reading request bodies and options: JSON or YAML, with the repeated keys that strict clients refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from skillwarden.localcluster.apiserver import protobuf
from skillwarden.localcluster.apiserver.decoding import WriteOptions
from skillwarden.localcluster.apiserver.errors import Cause, Obj, bad_request, invalid, unsupported_media_type
from skillwarden.localcluster.apiserver.removal import DeleteOptions

JSON = "application/json"
YAML = "application/yaml"
_LONGEST_MANAGER = 128


class _Repeated(dict[str, Any]):
    """An object some of whose keys stood in it more than once."""

    names: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    marked = _Repeated(plain)
    seen: set[str] = set()
    marked.names = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def _repeated(value: Any, path: str = "") -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        for name in getattr(value, "names", ()):
            found.append(f'duplicate field "{path}{name}"')
        for name, item in value.items():
            found += _repeated(item, f"{path}{name}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _repeated(item, f"{path.removesuffix('.')}[{index}].")
    return found


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: times stay text, repeated keys are noted."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_TRUTH = {
    **dict.fromkeys(("y", "yes", "on", "true"), "true"),
    **dict.fromkeys(("n", "no", "off", "false"), "false"),
}


def _is_plain(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.style is None


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    # Keys are text, but YAML 1.1's truth values, y and on among them, are written out.
    return _pairs(
        [
            (
                _TRUTH.get(key.value.lower(), key.value) if _is_plain(key) else str(key.value),
                loader.construct_object(value, deep=True),
            )
            for key, value in node.value
        ]
    )


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def decode(raw: bytes, *, yaml_allowed: bool) -> tuple[Any, tuple[str, ...]]:
    """Read a body and the list of its repeated fields.

    Raises
    ------
    ApiError
        400 for what is neither JSON nor, where that is allowed, YAML.
    """
    try:
        value = json.loads(raw, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        if not yaml_allowed:
            raise bad_request(f"the body of the request is no JSON: {error}") from error
        try:
            value = yaml.load(raw, _Loader)  # noqa: S506 - a safe loader of our own
        except (yaml.YAMLError, RecursionError) as problem:
            raise bad_request(f"error decoding YAML: {problem}") from problem
    return value, tuple(_repeated(value))


def write_body(raw: bytes, content_type: str) -> tuple[Any, tuple[str, ...]]:
    """Read the body of a POST or PUT: JSON, YAML, and the protobuf of a few kinds; 415 for anything else."""
    if content_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(raw), ()
    if content_type not in {JSON, YAML, "application/octet-stream", ""}:
        raise unsupported_media_type([JSON, YAML])
    return decode(raw, yaml_allowed=content_type == YAML)


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in {"true", "1", "t"}


def _dry_run(value: Any) -> bool:
    values = [value] if isinstance(value, str) else list(value or ())
    if any(item != "All" for item in values):
        text = f'Unsupported value: {json.dumps(values[0])}: supported values: "All"'
        causes = [Cause("FieldValueNotSupported", text, "dryRun")]
        raise invalid("PatchOptions", "meta.k8s.io", "", causes)
    return bool(values)


def write_options(
    query: Mapping[str, str], user_agent: str, duplicates: tuple[str, ...] = (), *, apply: bool = False
) -> WriteOptions:
    """Read the options of a write from its query.

    Without ``fieldManager`` the writer is known by its user agent up to the slash, as on a real server.
    """
    validation = query.get("fieldValidation") or "Warn"
    if validation not in {"Strict", "Warn", "Ignore"}:
        text = f'Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        causes = [Cause("FieldValueNotSupported", text, "fieldValidation")]
        raise invalid("PatchOptions", "meta.k8s.io", "", causes)
    manager = query.get("fieldManager", "")
    if apply and not manager:
        text = "Required value: is required for apply patch"
        causes = [Cause("FieldValueRequired", text, "fieldManager")]
        raise invalid("PatchOptions", "meta.k8s.io", "", causes)
    if not apply and "force" in query:
        text = "Forbidden: may not be specified for non-apply patch"
        causes = [Cause("FieldValueForbidden", text, "force")]
        raise invalid("PatchOptions", "meta.k8s.io", "", causes)
    if len(manager) > _LONGEST_MANAGER or not manager.isprintable():
        text = f"Too long: may not be more than {_LONGEST_MANAGER} bytes, and all printable"
        causes = [Cause("FieldValueTooLong", text, "fieldManager")]
        raise invalid("PatchOptions", "meta.k8s.io", "", causes)
    return WriteOptions(
        manager=manager or user_agent.partition("/")[0][:_LONGEST_MANAGER] or "unknown",
        dry_run=_dry_run(query.get("dryRun")),
        validation=validation,
        force=_flag(query, "force"),
        duplicates=duplicates,
    )


def delete_options(raw: bytes, query: Mapping[str, str]) -> DeleteOptions:
    """Read the options of a deletion from its body, or else from its query."""
    body: Obj = {}
    if raw:
        coded = raw.startswith(protobuf.MAGIC)
        given = protobuf.decode(raw) if coded else decode(raw, yaml_allowed=False)[0]
        if not isinstance(given, dict):
            raise bad_request("DeleteOptions is no object")
        body = given
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request(f'no kind "{body["kind"]}" is registered among the options of a deletion')
    policy = body.get("propagationPolicy") or query.get("propagationPolicy")
    orphan = body.get("orphanDependents", _flag(query, "orphanDependents"))
    if policy not in {None, "Background", "Foreground", "Orphan"}:
        text = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan"'
        causes = [Cause("FieldValueNotSupported", text, "propagationPolicy")]
        raise invalid("DeleteOptions", "meta.k8s.io", "", causes)
    if policy and body.get("orphanDependents") is not None:
        text = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        raise invalid(
            "DeleteOptions", "meta.k8s.io", "", [Cause("FieldValueInvalid", text, "propagationPolicy")]
        )
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    try:
        seconds = None if grace is None else int(grace)
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds is no number: {grace!r}") from error
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        propagation=policy or ("Orphan" if orphan else "Background"),
        grace_seconds=seconds,
        uid=preconditions.get("uid"),
        version=preconditions.get("resourceVersion"),
        dry_run=_dry_run(body.get("dryRun") or query.get("dryRun")),
    )
