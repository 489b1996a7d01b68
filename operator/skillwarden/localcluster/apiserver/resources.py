"""Which kinds are served: the built-in ones, and what CustomResourceDefinitions add while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from skillwarden.localcluster.apiserver import builtin_schemas as schemas
from skillwarden.localcluster.apiserver import platform_kinds as platform
from skillwarden.localcluster.apiserver.pod_schema import POD
from skillwarden.localcluster.apiserver.schema import Schema
from skillwarden.localcluster.apiserver.store import Collection

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CRDS = Collection("apiextensions.k8s.io", "customresourcedefinitions")
NAMESPACES = Collection("", "namespaces")
PODS = Collection("", "pods")
SERVICE_ACCOUNTS = Collection("", "serviceaccounts")
QUOTAS = Collection("", "resourcequotas")
RUNTIME_CLASSES = Collection("node.k8s.io", "runtimeclasses")
EVENTS = Collection("", "events")
PRIORITY_CLASSES = Collection("scheduling.k8s.io", "priorityclasses")
LEASES = Collection("coordination.k8s.io", "leases")
NO_RENAMES: Mapping[str, str] = MappingProxyType({})
PLAIN_FIELDS = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a custom resource keeps what ``/scale`` reads and writes (dotted paths, no leading dot)."""

    spec_replicas: str
    status_replicas: str
    selector: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One printer column of a custom resource."""

    name: str
    type: str
    path: str
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class SubResource:
    """A path below an object that is listed in discovery."""

    name: str
    kind: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind in one version: how it is named, what it looks like, what can be asked of it."""

    group: str
    version: str
    plural: str
    kind: str
    schema: Schema
    namespaced: bool = True
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    scale: Scale | None = None
    columns: tuple[Column, ...] | None = None
    subresources: tuple[SubResource, ...] = ()
    verbs: tuple[str, ...] = VERBS
    custom: bool = False
    generation: bool = False
    field_labels: frozenset[str] = PLAIN_FIELDS
    renames: Mapping[str, str] = field(default_factory=lambda: NO_RENAMES)
    keep_in: Collection | None = None
    storage: Collection = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", self.keep_in or Collection(self.group, self.plural))

    @property
    def api_version(self) -> str:
        """The group and version as manifests write them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def listing_kind(self) -> str:
        """The kind of a list of these."""
        return self.list_kind or f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        """The singular, in lower case."""
        return self.singular or self.kind.lower()


STATUS_VERBS = ("get", "patch", "update")
_CORE_EVENT = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_FIELDS = PLAIN_FIELDS | {
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "type",
}


def _events_v1_schema() -> Schema:
    names = {core: new for new, core in _CORE_EVENT.items()}
    fields = schemas.EVENT["properties"]
    return {**schemas.EVENT, "properties": {names.get(name, name): below for name, below in fields.items()}}


_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
#: Kept and shown, and acted upon by nobody here.
PLATFORM: tuple[Resource, ...] = (
    Resource(
        "apps",
        "v1",
        "deployments",
        "Deployment",
        platform.DEPLOYMENT,
        short_names=("deploy",),
        categories=("all",),
        status=True,
        generation=True,
    ),
    Resource(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        platform.VOLUME_CLAIM,
        short_names=("pvc",),
    ),
    Resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        platform.DISRUPTION_BUDGET,
        short_names=("pdb",),
        status=True,
    ),
    Resource(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        platform.PRIORITY_CLASS,
        namespaced=False,
        short_names=("pc",),
    ),
    Resource(_RBAC, "v1", "roles", "Role", platform.ROLE),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding", platform.ROLE_BINDING),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", platform.CLUSTER_ROLE, namespaced=False),
    Resource(
        _RBAC,
        "v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        platform.CLUSTER_ROLE_BINDING,
        namespaced=False,
    ),
    Resource(
        _ADMISSION,
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        platform.ADMISSION_POLICY,
        namespaced=False,
    ),
    Resource(
        _ADMISSION,
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        platform.ADMISSION_POLICY_BINDING,
        namespaced=False,
    ),
    Resource(
        _ADMISSION,
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        platform.VALIDATING_WEBHOOK,
        namespaced=False,
    ),
)

BUILTINS: tuple[Resource, ...] = (
    Resource(
        "",
        "v1",
        "namespaces",
        "Namespace",
        schemas.NAMESPACE,
        namespaced=False,
        short_names=("ns",),
        status=True,
        verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
        field_labels=PLAIN_FIELDS | {"status.phase"},
    ),
    Resource(
        "",
        "v1",
        "pods",
        "Pod",
        POD,
        short_names=("po",),
        categories=("all",),
        status=True,
        generation=True,
        field_labels=PLAIN_FIELDS
        | {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"}
        | {"status.phase", "status.podIP", "spec.hostNetwork"},
        subresources=(
            SubResource("log", "Pod", ("get",)),
            SubResource("binding", "Binding", ("create",)),
            SubResource("eviction", "Eviction", ("create",), "policy", "v1"),
        ),
    ),
    Resource(
        "",
        "v1",
        "services",
        "Service",
        schemas.SERVICE,
        short_names=("svc",),
        categories=("all",),
        status=True,
        field_labels=PLAIN_FIELDS | {"spec.clusterIP", "spec.type"},
    ),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", schemas.SERVICE_ACCOUNT, short_names=("sa",)),
    Resource("", "v1", "configmaps", "ConfigMap", schemas.CONFIG_MAP, short_names=("cm",)),
    Resource("", "v1", "secrets", "Secret", schemas.SECRET, field_labels=PLAIN_FIELDS | {"type"}),
    Resource("", "v1", "events", "Event", schemas.EVENT, short_names=("ev",), field_labels=_EVENT_FIELDS),
    Resource(
        "",
        "v1",
        "nodes",
        "Node",
        schemas.NODE,
        namespaced=False,
        short_names=("no",),
        status=True,
        field_labels=PLAIN_FIELDS | {"spec.unschedulable"},
    ),
    Resource(
        "",
        "v1",
        "resourcequotas",
        "ResourceQuota",
        schemas.RESOURCE_QUOTA,
        short_names=("quota",),
        status=True,
    ),
    Resource(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
        schemas.NETWORK_POLICY,
        short_names=("netpol",),
        generation=True,
    ),
    Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", schemas.RUNTIME_CLASS, namespaced=False),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", schemas.LEASE),
    *PLATFORM,
    Resource(
        "events.k8s.io",
        "v1",
        "events",
        "Event",
        _events_v1_schema(),
        short_names=("ev",),
        renames=MappingProxyType(_CORE_EVENT),
        keep_in=EVENTS,
    ),
    Resource(
        CRDS.group,
        "v1",
        CRDS.plural,
        "CustomResourceDefinition",
        schemas.CUSTOM_RESOURCE_DEFINITION,
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        status=True,
        generation=True,
    ),
)


class Registry:
    """The kinds that are served at this moment."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self._by_storage: dict[Collection, Resource] = {}
        for resource in BUILTINS:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve a kind, or replace how it is served."""
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.api_version, resource.kind] = resource
        if resource.keep_in is None:
            self._by_storage[resource.storage] = resource

    def withdraw(self, collection: Collection) -> None:
        """Stop serving a kind, in all its versions."""
        for path, resource in list(self._by_path.items()):
            if resource.storage == collection:
                del self._by_path[path]
                self._by_kind.pop((resource.api_version, resource.kind), None)
        self._by_storage.pop(collection, None)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Look a kind up by its path."""
        return self._by_path.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Look a kind up as manifests name it."""
        return self._by_kind.get((api_version, kind))

    def of_storage(self, collection: Collection) -> Resource:
        """Give a version of the kind whose objects are kept there."""
        return self._by_storage[collection]

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._by_path.values()))

    def groups(self) -> dict[str, list[str]]:
        """Give the served versions of each group, the core group first."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return found
