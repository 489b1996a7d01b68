"""The kinds of objects that the operator reads or writes, and their paths."""

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
    POD = ("", "v1", "pods", "Pod", True)
    NETWORK_POLICY = ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True)
    SERVICE_ACCOUNT = ("", "v1", "serviceaccounts", "ServiceAccount", True)
    CONFIG_MAP = ("", "v1", "configmaps", "ConfigMap", True)
    NAMESPACE = ("", "v1", "namespaces", "Namespace", False)
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

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Return the URL path of a collection, an object or a subresource of it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)
