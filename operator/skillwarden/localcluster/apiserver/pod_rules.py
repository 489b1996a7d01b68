"""The rules on a new Pod's spec that no schema states: containers, mounts, probes, volumes, DNS and more."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import (
    label_error,
    label_value_error,
    parse_quantity,
    port_name_error,
    qualified_name_error,
    subdomain_error,
)

_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})
_LARGEST_ID = 2**31 - 1
_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def invalid(path: str, why: str, value: Any = "") -> Cause:
    """A value that does not do."""
    shown = f'"{value}": ' if value != "" else ""
    return Cause("FieldValueInvalid", f"Invalid value: {shown}{why}", path)


def required(path: str, why: str = "") -> Cause:
    """A value that is not there."""
    return Cause("FieldValueRequired", f"Required value: {why}" if why else "Required value", path)


def forbidden(path: str, why: str) -> Cause:
    """A value that may not be there."""
    return Cause("FieldValueForbidden", f"Forbidden: {why}", path)


def check(spec: Obj, containers: Iterable[tuple[str, Obj]]) -> Iterator[Cause]:
    """Check a new Pod's spec.

    Parameters
    ----------
    spec
        With its defaults.
    containers
        All of them with their field paths; init containers by ``spec.initContainers``.
    """
    if not spec.get("containers"):
        yield required("spec.containers")
    volumes = {volume["name"] for volume in spec.get("volumes") or () if "name" in volume}
    names: set[str] = set()
    for path, container in containers:
        yield from _container(path, container, volumes, names)
        if path.startswith("spec.initContainers") and container.get("restartPolicy") != "Always":
            yield from _init(path, container)
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(f"spec.volumes[{index}]", volume)
    if spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")
    yield from _security("spec.securityContext", spec.get("securityContext") or {})
    yield from _host(spec)
    yield from _dns(spec)
    yield from _scheduling(spec)


# Containers


def _container(path: str, container: Obj, volumes: set[str], names: set[str]) -> Iterator[Cause]:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif wrong := label_error(name):
        yield invalid(f"{path}.name", wrong, name)
    if name in names:
        yield Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{path}.name")
    names.add(name)
    yield from image(path, container)
    yield from _ports(f"{path}.ports", container.get("ports") or ())
    yield from _mounts(f"{path}.volumeMounts", container.get("volumeMounts") or (), volumes)
    for index, variable in enumerate(container.get("env") or ()):
        yield from _variable(f"{path}.env[{index}]", variable)
    for index, source in enumerate(container.get("envFrom") or ()):
        if not source.keys() & {"configMapRef", "secretRef"}:
            yield invalid(f"{path}.envFrom[{index}]", "must specify one of: `configMapRef` or `secretRef`")
    yield from resources(f"{path}.resources", container.get("resources") or {})
    yield from _container_security(f"{path}.securityContext", container.get("securityContext") or {})
    for field in _PROBES:
        if container.get(field) is not None:
            yield from _probe(f"{path}.{field}", container[field], once=field != "readinessProbe")
    for field, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            yield from _handler(f"{path}.lifecycle.{field}", handler)


def image(path: str, container: Obj) -> Iterator[Cause]:
    """Check what a container runs; an update may change it, so it is checked then, too."""
    named = container.get("image")
    if not named:
        yield required(f"{path}.image")
    elif named != named.strip():
        yield invalid(f"{path}.image", "must not have leading or trailing whitespace", named)


def _init(path: str, container: Obj) -> Iterator[Cause]:
    for field in ("lifecycle", *_PROBES):
        if container.get(field) is not None:
            why = "may not be set for init containers without restartPolicy=Always"
            yield forbidden(f"{path}.{field}", why)


def _ports(path: str, ports: Iterable[Obj]) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        host, name = port.get("hostPort") or 0, port.get("name")
        if host and not 0 < host < 65536:
            yield invalid(f"{path}[{index}].hostPort", "must be between 1 and 65535, inclusive", host)
        if name and (wrong := port_name_error(name)):
            yield invalid(f"{path}[{index}].name", wrong, name)
        elif name in names:
            yield Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{path}[{index}].name")
        if name:
            names.add(name)


def _mounts(path: str, mounts: Iterable[Obj], volumes: set[str]) -> Iterator[Cause]:
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        if mount.get("name") not in volumes:
            yield Cause("FieldValueNotFound", f'Not found: "{mount.get("name")}"', f"{where}.name")
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid(f"{where}.subPathExpr", "subPathExpr and subPath are mutually exclusive")
        for field in ("subPath", "subPathExpr"):
            if wrong := _relative_error(mount.get(field) or ""):
                yield invalid(f"{where}.{field}", wrong, mount[field])


def _relative_error(path: str) -> str | None:
    if path.startswith("/"):
        return "must be a relative path"
    return "must not contain '..'" if ".." in path.split("/") else None


def _variable(path: str, variable: Obj) -> Iterator[Cause]:
    name, source = variable["name"], variable.get("valueFrom")
    if not name:
        yield required(f"{path}.name")
    elif "=" in name or not name.isascii() or not name.isprintable():
        why = (
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
        yield invalid(f"{path}.name", why, name)
    if source is None:
        return
    where = f"{path}.valueFrom"
    if variable.get("value"):
        yield invalid(where, "may not be specified when `value` is not empty")
    if len(source) != 1:
        yield invalid(where, f"must specify one of what a value can come from, and has {len(source)}")
    field = (source.get("fieldRef") or {}).get("fieldPath")
    if field is not None and field not in _FIELDS and not field.startswith("metadata."):
        why = f"error converting fieldPath: field label not supported: {field}"
        yield invalid(f"{where}.fieldRef.fieldPath", why, field)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source and not source[kind].get("name"):
            yield invalid(f"{where}.{kind}.name", "the object that has the value must be named")


def resources(path: str, given: Obj) -> Iterator[Cause]:
    """Check what a container asks for against what it may use."""
    amounts = {}
    for field in ("limits", "requests"):
        for name, text in (given.get(field) or {}).items():
            where = f"{path}.{field}[{name}]"
            if "/" in name:
                wrong = qualified_name_error(name)
            else:
                known = name in _COMPUTE or name.startswith("hugepages-")
                wrong = None if known else "must be a standard resource for containers"
            if wrong:
                yield invalid(where, wrong, name)
            try:
                amounts[field, name] = parse_quantity(text)
            except ValueError:
                continue  # the schema has said so
            if amounts[field, name] < 0:
                yield invalid(where, "must be greater than or equal to 0", text)
            if "/" in name and amounts[field, name] % 1:
                yield invalid(where, "must be an integer", text)
    for (field, name), amount in amounts.items():
        if field == "requests":
            yield from _within(path, name, given, amount, amounts.get(("limits", name)))


def _within(path: str, name: str, given: Obj, amount: Any, limit: Any) -> Iterator[Cause]:
    whole = "/" in name or name.startswith("hugepages-")
    if limit is None and whole:
        yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif limit is not None and whole and amount != limit:
        why = f"must be equal to {name} limit of {given['limits'][name]}"
        yield invalid(f"{path}.requests", why, given["requests"][name])
    elif limit is not None and amount > limit:
        why = f"must be less than or equal to {name} limit of {given['limits'][name]}"
        yield invalid(f"{path}.requests", why, given["requests"][name])


def _container_security(path: str, security: Obj) -> Iterator[Cause]:
    yield from _security(path, security)
    adds = (security.get("capabilities") or {}).get("add") or ()
    if security.get("allowPrivilegeEscalation") is False:
        if security.get("privileged"):
            yield invalid(path, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in adds:
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield invalid(path, why)


def _security(path: str, security: Obj) -> Iterator[Cause]:
    groups = [
        (f"supplementalGroups[{index}]", each)
        for index, each in enumerate(security.get("supplementalGroups") or ())
    ]
    ids = [(field, security.get(field)) for field in ("runAsUser", "runAsGroup", "fsGroup")]
    for field, value in (*ids, *groups):
        if value is not None and not 0 <= value <= _LARGEST_ID:
            yield invalid(f"{path}.{field}", f"must be between 0 and {_LARGEST_ID}, inclusive", value)
    profile = security.get("seccompProfile") or {}
    where = f"{path}.seccompProfile.localhostProfile"
    local = profile.get("localhostProfile")
    if profile.get("type") == "Localhost" and not local:
        yield required(where, "must be set when seccomp type is Localhost")
    elif local and profile.get("type") != "Localhost":
        yield invalid(where, "can only be set when seccomp type is Localhost", local)
    elif local and (wrong := _relative_error(local)):
        yield invalid(where, wrong, local)


def _probe(path: str, probe: Obj, *, once: bool) -> Iterator[Cause]:
    yield from _handler(path, probe)
    for field in _PROBE_NUMBERS:
        if (probe.get(field) or 0) < 0:
            yield invalid(f"{path}.{field}", "must be greater than or equal to 0", probe[field])
    if once and probe.get("successThreshold") != 1:
        yield invalid(f"{path}.successThreshold", "must be 1", probe.get("successThreshold"))


def _handler(path: str, handler: Obj) -> Iterator[Cause]:
    given = [field for field in _HANDLERS if handler.get(field) is not None]
    if not given:
        yield required(path, "must specify a handler type")
    for extra in given[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if "exec" in given and not handler["exec"].get("command"):
        yield required(f"{path}.exec.command")
    for field in ("httpGet", "tcpSocket"):
        port = (handler.get(field) or {}).get("port")
        wrong = port_name_error(port) if isinstance(port, str) else _port_error(port)
        if port is not None and wrong:
            yield invalid(f"{path}.{field}.port", wrong, port)


def _port_error(port: Any) -> str | None:
    fits = isinstance(port, int) and 0 < port < 65536
    return None if fits else "must be between 1 and 65535, inclusive"


# Volumes


def _volume(path: str, volume: Obj) -> Iterator[Cause]:
    name = volume.get("name", "")
    if wrong := label_error(name):
        yield invalid(f"{path}.name", wrong, name)
    if len(volume) - ("name" in volume) > 1:
        yield forbidden(path, "may not specify more than 1 volume type")
    for field, key in (("configMap", "name"), ("secret", "secretName"), ("hostPath", "path")):
        if field in volume and not volume[field].get(key):
            yield required(f"{path}.{field}.{key}")
    if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("claimName"):
        yield required(f"{path}.persistentVolumeClaim.claimName")
    if ".." in str((volume.get("hostPath") or {}).get("path", "")).split("/"):
        yield invalid(f"{path}.hostPath.path", "must not contain '..'", volume["hostPath"]["path"])
    for field in ("configMap", "secret"):
        yield from _items(f"{path}.{field}", volume.get(field) or {})
    size = (volume.get("emptyDir") or {}).get("sizeLimit")
    if size is not None and _is_negative(size):
        yield forbidden(f"{path}.emptyDir.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _is_negative(amount: Any) -> bool:
    try:
        return parse_quantity(amount) < 0
    except ValueError:
        return False  # the schema has said so


def _items(path: str, source: Obj) -> Iterator[Cause]:
    modes = [(f"{path}.defaultMode", source.get("defaultMode"))]
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        modes.append((f"{where}.mode", item.get("mode")))
        if not item.get("path"):
            yield required(f"{where}.path")
        elif wrong := _relative_error(item["path"]):
            yield invalid(f"{where}.path", wrong, item["path"])
    for where, mode in modes:
        if mode is not None and not 0 <= mode <= 0o777:
            yield invalid(where, "must be a number between 0 and 0777 (octal), both inclusive", mode)


# The Pod as a whole


def _host(spec: Obj) -> Iterator[Cause]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get("hostUsers") is False and spec.get(field):
            yield forbidden(f"spec.{field}", "when `hostUsers` is false")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid("spec.securityContext.shareProcessNamespace", why)
    for field in ("hostname", "subdomain"):
        if spec.get(field) and (wrong := label_error(spec[field])):
            yield invalid(f"spec.{field}", wrong, spec[field])


def _dns(spec: Obj) -> Iterator[Cause]:
    config, alone = spec.get("dnsConfig"), spec["dnsPolicy"] == "None"
    path = "spec.dnsConfig"
    if alone and config is None:
        yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        return
    servers, searches = (config or {}).get("nameservers") or [], (config or {}).get("searches") or []
    if alone and not servers:
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield required(f"{path}.nameservers", why)
    if len(servers) > 3:
        yield invalid(f"{path}.nameservers", "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        try:
            ipaddress.ip_address(server)
        except ValueError:
            yield invalid(f"{path}.nameservers[{index}]", "must be a valid IP address", server)
    if len(searches) > 32:
        yield invalid(f"{path}.searches", "must not have more than 32 search paths")
    for index, search in enumerate(searches):
        if wrong := subdomain_error(search.removesuffix(".").replace("_", "-")):
            yield invalid(f"{path}.searches[{index}]", wrong, search)


def _scheduling(spec: Obj) -> Iterator[Cause]:
    if spec.get("nodeName") and (wrong := subdomain_error(spec["nodeName"])):
        yield invalid("spec.nodeName", wrong, spec["nodeName"])
    for key, value in (spec.get("nodeSelector") or {}).items():
        if wrong := qualified_name_error(key) or label_value_error(value):
            yield invalid("spec.nodeSelector", wrong, key)
    for field, key in (("readinessGates", "conditionType"), ("schedulingGates", "name")):
        for index, gate in enumerate(spec.get(field) or ()):
            if wrong := qualified_name_error(gate.get(key) or ""):
                yield invalid(f"spec.{field}[{index}].{key}", wrong, gate.get(key))
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(f"spec.tolerations[{index}]", toleration)
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is not None and not wanted.get("nodeSelectorTerms"):
        where = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        yield required(f"{where}.nodeSelectorTerms", "must have at least one node selector term")


def _toleration(path: str, toleration: Obj) -> Iterator[Cause]:
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    if key and (wrong := qualified_name_error(key)):
        yield invalid(f"{path}.key", wrong, key)
    if not key and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", why, toleration.get("operator", ""))
    if operator == "Exists" and toleration.get("value"):
        yield invalid(f"{path}.operator", "value must be empty when `operator` is 'Exists'")
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        yield invalid(f"{path}.effect", "effect must be 'NoExecute' when `tolerationSeconds` is set")
