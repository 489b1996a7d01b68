"""Who may do what: RBAC as it stands in the store, to test that roles suffice and no rule is idle.

The embedded cluster's one user may do everything. Further users are known by tokens of their own, and what
they ask for is held against Roles, ClusterRoles and their bindings. Each rule that let a request pass is
noted, so that the rules that nobody needs can be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from skillwarden.localcluster.apiserver.errors import Obj
from skillwarden.localcluster.apiserver.selectors import Selection
from skillwarden.localcluster.apiserver.store import Collection, Store

GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES = Collection(GROUP, "roles"), Collection(GROUP, "clusterroles")
ROLE_BINDINGS = Collection(GROUP, "rolebindings")
CLUSTER_ROLE_BINDINGS = Collection(GROUP, "clusterrolebindings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What somebody asks for, in RBAC's terms.

    Attributes
    ----------
    user
        Such as ``system:serviceaccount:NAMESPACE:NAME``.
    verb, group, resource
        ``resource`` has its subresource behind a slash.
    namespace, name
        Empty for cluster-scoped kinds, for all namespaces, and for collections.
    """

    user: str
    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """As the API server words it."""
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        what = f'resource "{self.resource}" in API group "{self.group}"'
        return f'User "{self.user}" cannot {self.verb} {what}{where}'


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """The smallest part of a rule: one verb on one resource of one group, by one role."""

    role: str
    group: str
    resource: str
    verb: str


class Authorizer(Protocol):
    """Decides requests of users that may not do everything."""

    def allows(self, attributes: Attributes) -> bool:
        """Whether the request may go on."""
        ...


class RbacAuthorizer:
    """Applies the roles and bindings of a store.

    Parameters
    ----------
    store
        The server's.

    Attributes
    ----------
    used
        Every grant that let a request pass.
    denied
        Every request that none did.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.used: set[Grant] = set()
        self.denied: list[Attributes] = []

    def allows(self, attributes: Attributes) -> bool:
        """Whether a bound role has a rule for it; whole ``*`` are honoured, as RBAC does."""
        matching = [
            Grant(label, attributes.group, attributes.resource, attributes.verb)
            for label, rule in self._rules(attributes.user, attributes.namespace)
            if _matches(rule, attributes)
        ]
        self.used.update(matching)
        if not matching:
            self.denied.append(attributes)
        return bool(matching)

    def granted(self, user: str) -> set[Grant]:
        """Return everything that a user's roles grant, wherever."""
        bindings = [*self._of(CLUSTER_ROLE_BINDINGS), *self._of(ROLE_BINDINGS)]
        found: set[Grant] = set()
        for binding in bindings:
            if not _binds(binding, user):
                continue
            label, role = self._role(binding)
            found |= {
                Grant(label, group, resource, verb)
                for rule in (role.get("rules") or () if role else ())
                for group in rule.get("apiGroups") or ()
                for resource in rule.get("resources") or ()
                for verb in rule.get("verbs") or ()
            }
        return found

    def _rules(self, user: str, namespace: str) -> Iterator[tuple[str, Obj]]:
        local = [item for item in self._of(ROLE_BINDINGS) if item["metadata"]["namespace"] == namespace]
        for binding in (*self._of(CLUSTER_ROLE_BINDINGS), *local):
            if not _binds(binding, user):
                continue
            label, role = self._role(binding)
            for rule in (role.get("rules") or ()) if role else ():
                yield label, rule

    def _role(self, binding: Obj) -> tuple[str, Obj | None]:
        reference, namespace = binding["roleRef"], binding["metadata"].get("namespace", "")
        if reference["kind"] == "ClusterRole":
            return reference["name"], self._store.get(CLUSTER_ROLES, "", reference["name"])
        label = f"{namespace}/{reference['name']}"
        return label, self._store.get(ROLES, namespace, reference["name"])

    def _of(self, collection: Collection) -> list[Obj]:
        return self._store.select(collection, Selection())


def _binds(binding: Obj, user: str) -> bool:
    home = binding["metadata"].get("namespace", "")
    for subject in binding.get("subjects") or ():
        name = subject["name"]
        if subject["kind"] == "ServiceAccount":
            name = f"system:serviceaccount:{subject.get('namespace') or home}:{name}"
        if subject["kind"] != "Group" and name == user:
            return True
    return False


def _matches(rule: Obj, asked: Attributes) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        bool({asked.verb, "*"} & set(rule["verbs"]))
        and bool({asked.group, "*"} & set(rule.get("apiGroups") or ()))
        and bool({asked.resource, "*"} & set(rule.get("resources") or ()))
        and (not names or asked.name in names)
    )
