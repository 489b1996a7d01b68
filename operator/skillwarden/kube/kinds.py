"""The kinds of objects that Skillwarden reads or writes, and their paths."""

from __future__ import annotations

from enum import Enum
from urllib.parse import quote

SKILLWARDEN = "skillwarden.io"


class Kind(Enum):
    """A resource: group, version, plural, kind, whether it lives in a namespace."""

    SKILL = (SKILLWARDEN, "v1alpha1", "skills", "Skill", True)
    SKILL_RUN = (SKILLWARDEN, "v1alpha1", "skillruns", "SkillRun", True)
    PACKAGE_POLICY = (SKILLWARDEN, "v1alpha1", "packagepolicies", "PackagePolicy", True)
    CLUSTER_PACKAGE_POLICY = (
        SKILLWARDEN,
        "v1alpha1",
        "clusterpackagepolicies",
        "ClusterPackagePolicy",
        False,
    )
    AGENT = (SKILLWARDEN, "v1alpha1", "agents", "Agent", True)
    PACKAGE_APPROVAL = (SKILLWARDEN, "v1alpha1", "packageapprovals", "PackageApproval", True)
    POD = ("", "v1", "pods", "Pod", True)
    NETWORK_POLICY = ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True)
    SERVICE_ACCOUNT = ("", "v1", "serviceaccounts", "ServiceAccount", True)
    CONFIG_MAP = ("", "v1", "configmaps", "ConfigMap", True)
    NAMESPACE = ("", "v1", "namespaces", "Namespace", False)
    RUNTIME_CLASS = ("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False)
    RESOURCE_QUOTA = ("", "v1", "resourcequotas", "ResourceQuota", True)
    LEASE = ("coordination.k8s.io", "v1", "leases", "Lease", True)
    EVENT = ("", "v1", "events", "Event", True)
    CUSTOM_RESOURCE_DEFINITION = (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
    )

    def __init__(self, group: str, version: str, plural: str, kind: str, namespaced: bool) -> None:
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.namespaced = namespaced

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Return the URL path of a collection, an object or a subresource of it; names are quoted.

        Raises
        ------
        ValueError
            Where the path would be another object's or a collection's: an empty name, an object of a
            namespaced kind without its namespace, a namespace for a cluster-scoped kind.
        """
        if namespace is not None and not self.namespaced:
            raise ValueError(f"{self.kind} is cluster-scoped; no namespace may be given")
        if name is not None and namespace is None and self.namespaced:
            raise ValueError(f"{self.kind} is namespaced; {name!r} needs a namespace")
        if subresource is not None and name is None:
            raise ValueError(f"the subresource {subresource} of {self.kind} needs a name")
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = () if namespace is None else ("namespaces", _segment(namespace))
        rest = (_segment(part) for part in (name, subresource) if part is not None)
        return "/".join((root, *scope, self.plural, *rest))


def _segment(text: str) -> str:
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} is no name of an object")
    return quote(text, safe="")
