"""What stands between a valid Pod and the store: service account, runtime class, Pod Security, quotas."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from skillwarden.localcluster.apiserver import pod_security, pods
from skillwarden.localcluster.apiserver.errors import Obj, forbidden
from skillwarden.localcluster.apiserver.formats import format_quantity, parse_quantity
from skillwarden.localcluster.apiserver.resources import (
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    QUOTAS,
    RUNTIME_CLASSES,
    SERVICE_ACCOUNTS,
    Resource,
)
from skillwarden.localcluster.apiserver.selectors import Selection
from skillwarden.localcluster.apiserver.store import Store, clone

_COMPUTE = frozenset(
    f"{side}.{name}" for side in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")
)
_SHORT = {name: f"requests.{name}" for name in ("cpu", "memory", "ephemeral-storage")}
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_COUNTED = frozenset({"pods", "services", "secrets", "configmaps", "resourcequotas"})


def admit(store: Store, resource: Resource, obj: Obj) -> None:
    """Refuse, with 403, what a cluster's state forbids to create.

    Raises
    ------
    ApiError
        403 with the wording of the real admission steps.
    """
    meta = obj["metadata"]
    if resource.storage == PODS:
        _service_account(store, obj)
        _runtime_class(store, obj)
        _priority(store, obj)
        pod_security.admit(store.get(NAMESPACES, "", meta["namespace"]) or {"metadata": {}}, obj)
    if resource.namespaced:
        for quota in store.select(QUOTAS, Selection(meta["namespace"])):
            _quota(store, resource, obj, quota)


def _service_account(store: Store, pod: Obj) -> None:
    meta = pod["metadata"]
    account = pod["spec"]["serviceAccountName"]
    if store.get(SERVICE_ACCOUNTS, meta["namespace"], account) is None:
        where = f"{meta['namespace']}/{account}"
        why = f'error looking up service account {where}: serviceaccount "{account}" not found'
        raise forbidden("pods", "", meta["name"], why)


def _runtime_class(store: Store, pod: Obj) -> None:
    name = pod["spec"].get("runtimeClassName")
    if not name and pod["spec"].get("overhead"):
        why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        raise forbidden("pods", "", pod["metadata"]["name"], why)
    if not name:
        return
    found = store.get(RUNTIME_CLASSES, "", name)
    if found is None:
        why = f'pod rejected: RuntimeClass "{name}" not found'
        raise forbidden("pods", "", pod["metadata"]["name"], why)
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead:
        pod["spec"]["overhead"] = clone(overhead)


def _priority(store: Store, pod: Obj) -> None:
    """Fill in what the Pod's class says, and refuse a Pod that says it itself."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    given = spec.get("priorityClassName")
    found = store.get(PRIORITY_CLASSES, "", given) if given else {"value": 0}
    if given in _SYSTEM_PRIORITIES:
        found = {"value": _SYSTEM_PRIORITIES[given]}
    if found is None:
        raise forbidden("pods", "", name, f"no PriorityClass with name {given} was found")
    computed = {
        "priority": found["value"],
        "preemptionPolicy": found.get("preemptionPolicy") or "PreemptLowerPriority",
    }
    for field, value in computed.items():
        if spec.setdefault(field, value) != value:
            why = (
                f"the value of {field} ({spec[field]}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
            raise forbidden("pods", "", name, why)


def _measure(resource: Resource, obj: Obj) -> dict[str, Decimal]:
    """Say how much of each quota's resource one object uses."""
    group = resource.storage.group
    name = f"{resource.storage.plural}.{group}" if group else resource.storage.plural
    used = {f"count/{name}": Decimal(1)}
    if not group and resource.storage.plural in _COUNTED:
        used[resource.storage.plural] = Decimal(1)
    if resource.storage == PODS:
        used |= _compute(obj["spec"])
    return used


def _compute(spec: Obj) -> dict[str, Decimal]:
    """Add up a Pod's requests and limits: its containers' sum, or its largest init container's."""
    used: dict[str, Decimal] = {}
    overhead = spec.get("overhead") or {}
    for key in _COMPUTE:
        side, _, name = key.partition(".")

        def amounts(field: str, side: str = side, name: str = name) -> list[Decimal]:
            asked = [
                ((item.get("resources") or {}).get(side) or {}).get(name) for item in spec.get(field) or ()
            ]
            return [parse_quantity(amount) for amount in asked if amount is not None]

        running, first = amounts("containers"), amounts("initContainers")
        if running or first:
            used[key] = max(sum(running, Decimal(0)), *first, Decimal(0))
            if name in overhead:
                used[key] += parse_quantity(overhead[name])
    return used


def _counts(resource: Resource, obj: Obj) -> bool:
    ended = (obj.get("status") or {}).get("phase") in pods.ENDED
    return not (resource.storage == PODS and ended)


def usage(store: Store, resources: Iterable[Resource], namespace: str) -> dict[str, Decimal]:
    """Add up what a namespace uses, under every name that a quota may limit."""
    total: dict[str, Decimal] = {}
    for resource in resources:
        for obj in store.select(resource.storage, Selection(namespace)):
            if _counts(resource, obj):
                for name, amount in _measure(resource, obj).items():
                    total[name] = total.get(name, Decimal(0)) + amount
    return total


def _show(amounts: dict[str, Decimal]) -> str:
    return ",".join(f"{name}={_text(name, amounts[name])}" for name in sorted(amounts))


def _text(name: str, amount: Decimal) -> str:
    return format_quantity(amount, binary=name.endswith(("memory", "storage")))


def _quota(store: Store, resource: Resource, obj: Obj, quota: Obj) -> None:
    hard = quota["spec"].get("hard") or {}
    asked = _measure(resource, obj)
    limited = {name: _SHORT.get(name, name) for name in hard}
    if resource.storage == PODS:
        missing = sorted(name for name, full in limited.items() if full in _COMPUTE and full not in asked)
        if missing:
            names = ",".join(sorted(item["name"] for _, item in pods.containers(obj["spec"])))
            why = f"failed quota: {quota['metadata']['name']}: must specify " + "; ".join(
                f"{name} for: {names}" for name in missing
            )
            raise forbidden(resource.plural, resource.group, obj["metadata"]["name"], why)
    relevant = {name: full for name, full in limited.items() if asked.get(full)}
    if not relevant:
        return
    used = usage(store, [resource], obj["metadata"]["namespace"])
    over = {
        name
        for name, full in relevant.items()
        if used.get(full, Decimal(0)) + asked[full] > parse_quantity(hard[name])
    }
    if over:
        requested = _show({name: asked[relevant[name]] for name in over})
        taken = _show({name: used.get(relevant[name], Decimal(0)) for name in over})
        limits = _show({name: parse_quantity(hard[name]) for name in over})
        why = (
            f"exceeded quota: {quota['metadata']['name']}, requested: {requested}, "
            f"used: {taken}, limited: {limits}"
        )
        raise forbidden(resource.plural, resource.group, obj["metadata"]["name"], why)


def quota_status(store: Store, resources: Iterable[Resource], quota: Obj) -> Obj:
    """Compute what a quota's status should say."""
    hard = quota["spec"].get("hard") or {}
    used = usage(store, resources, quota["metadata"]["namespace"])
    return {
        "hard": dict(hard),
        "used": {name: _text(name, used.get(_SHORT.get(name, name), Decimal(0))) for name in hard},
    }
