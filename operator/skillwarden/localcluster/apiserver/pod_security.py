"""Pod Security admission: the levels ``baseline`` and ``restricted`` of the Pod Security Standards.

A namespace asks for a level by the label ``pod-security.kubernetes.io/enforce``. With it a test can show
that a Pod passes ``restricted`` rather than say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from skillwarden.localcluster.apiserver import pods
from skillwarden.localcluster.apiserver.errors import Obj, forbidden
from skillwarden.localcluster.apiserver.pod_schema import VOLUME_SOURCES

ENFORCE = "pod-security.kubernetes.io/enforce"
_ADDABLE = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"}
    | {"projected", "secret"}
)
_SECCOMP = ("RuntimeDefault", "Localhost")


def admit(namespace: Obj, pod: Obj) -> None:
    """Refuse a Pod, with 403 and every reason, that its namespace's level forbids."""
    level = (namespace["metadata"].get("labels") or {}).get(ENFORCE, "privileged")
    if level not in {"baseline", "restricted"}:
        return
    spec = pod["spec"]
    reasons = list(_both(spec))
    reasons += _restricted(spec) if level == "restricted" else _baseline(spec)
    if reasons:
        why = f'violates PodSecurity "{level}:latest": ' + ", ".join(reasons)
        raise forbidden("pods", "", pod["metadata"]["name"], why)


def _security(item: Obj) -> dict[str, Any]:
    return item.get("securityContext") or {}


def _named(names: list[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f"container {listed}" if len(names) == 1 else f"containers {listed}"


def _failing(spec: Obj, fails: Callable[[Obj], bool]) -> list[str]:
    # Reports list init containers first, as real servers visit them first.
    ordered = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [item["name"] for item in ordered if fails(item)]


def _added(spec: Obj, allowed: frozenset[str]) -> tuple[list[str], str]:
    """Give the containers that add other capabilities than these, and which."""

    def beyond(item: Obj) -> set[str]:
        return set((_security(item).get("capabilities") or {}).get("add") or ()) - allowed

    names = _failing(spec, lambda item: bool(beyond(item)))
    found = sorted(set().union(*(beyond(item) for _, item in pods.containers(spec))))
    return names, ", ".join(f'"{name}"' for name in found)


def _both(spec: Obj) -> Iterator[str]:
    """Check what both levels ask, and neither asks more strictly than the other."""
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"
    if names := _failing(spec, lambda item: bool(_security(item).get("privileged"))):
        yield f"privileged ({_named(names)} must not set securityContext.privileged=true)"
    ports = [
        str(port["hostPort"])
        for _, item in pods.containers(spec)
        for port in item.get("ports") or ()
        if port.get("hostPort")
    ]
    if ports:
        names = _failing(spec, lambda item: any(port.get("hostPort") for port in item.get("ports") or ()))
        yield f"hostPort ({_named(names)} uses hostPort{'s' if len(ports) > 1 else ''} {', '.join(ports)})"


def _baseline(spec: Obj) -> Iterator[str]:
    paths = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    if paths:
        listed = ", ".join(f'"{name}"' for name in paths)
        yield f"hostPath volumes (volume{'s' if len(paths) > 1 else ''} {listed})"
    names, added = _added(spec, _ADDABLE)
    if names:
        must = f"must not include {added} in securityContext.capabilities.add"
        yield f"non-default capabilities ({_named(names)} {must})"

    def unconfined(item: Obj) -> bool:
        return (_security(item).get("seccompProfile") or {}).get("type") == "Unconfined"

    if unconfined(spec) or _failing(spec, unconfined):
        field = "securityContext.seccompProfile.type"
        yield f"seccompProfile (pod and containers must not set {field} to Unconfined)"


def _restricted(spec: Obj) -> Iterator[str]:
    whole = _security(spec)
    if names := _failing(spec, lambda item: _security(item).get("allowPrivilegeEscalation") is not False):
        must = "must set securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({_named(names)} {must})"

    def undropped(item: Obj) -> bool:
        return "ALL" not in ((_security(item).get("capabilities") or {}).get("drop") or ())

    problems = []
    if names := _failing(spec, undropped):
        problems.append(f'{_named(names)} must set securityContext.capabilities.drop=["ALL"]')
    names, added = _added(spec, frozenset({"NET_BIND_SERVICE"}))
    if names:
        problems.append(f"{_named(names)} must not include {added} in securityContext.capabilities.add")
    if problems:
        yield f"unrestricted capabilities ({'; '.join(problems)})"
    for volume in spec.get("volumes") or ():
        for source in sorted((VOLUME_SOURCES & volume.keys()) - _VOLUMES):
            uses = f'volume "{volume["name"]}" uses restricted volume type "{source}"'
            yield f"restricted volume types ({uses})"

    def maybe_root(item: Obj) -> bool:
        return not _security(item).get("runAsNonRoot", whole.get("runAsNonRoot", False))

    if names := _failing(spec, maybe_root):
        yield f"runAsNonRoot != true (pod or {_named(names)} must set securityContext.runAsNonRoot=true)"
    roots = _failing(spec, lambda item: _security(item).get("runAsUser") == 0)
    if roots or whole.get("runAsUser") == 0:
        who = _named(roots) if roots else "pod"
        yield f"runAsUser=0 ({who} must not set runAsUser=0)"

    def no_profile(item: Obj) -> bool:
        profile = _security(item).get("seccompProfile") or whole.get("seccompProfile") or {}
        return profile.get("type") not in _SECCOMP

    if names := _failing(spec, no_profile):
        must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {_named(names)} {must})"
