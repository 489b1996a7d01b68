"""Kinds that a platform team's chart brings and nothing here acts on: kept and shown, and roles are heeded.

There is no Deployment controller, no quota of disruptions and no admission policy in the embedded cluster; an
installation of the chart can be tried all the same, and what it made be looked at.
"""

from __future__ import annotations

from skillwarden.localcluster.apiserver.builtin_schemas import (
    BOOLEAN,
    INTEGER,
    LABEL_SELECTOR,
    OPEN,
    PORT,
    QUANTITIES,
    TEXT,
    TEXTS,
    kind_schema,
    listing,
    one_of,
    struct,
)
from skillwarden.localcluster.apiserver.schema import Schema

_RULE = struct(
    {
        "verbs": TEXTS,
        "apiGroups": TEXTS,
        "resources": TEXTS,
        "resourceNames": TEXTS,
        "nonResourceURLs": TEXTS,
    },
    "verbs",
)
_SUBJECT = struct(
    {
        "kind": one_of("User", "Group", "ServiceAccount"),
        "apiGroup": TEXT,
        "name": TEXT,
        "namespace": TEXT,
    },
    "kind",
    "name",
    atomic=True,
)
_ROLE_REF = struct(
    {"apiGroup": TEXT, "kind": one_of("Role", "ClusterRole"), "name": TEXT}, "kind", "name", atomic=True
)


def _role(description: str) -> Schema:
    return kind_schema(description, {"rules": listing(_RULE), "aggregationRule": OPEN})


def _binding(description: str) -> Schema:
    return kind_schema(description, {"subjects": listing(_SUBJECT), "roleRef": _ROLE_REF}, "roleRef")


ROLE = _role("Role is a set of permissions within a namespace.")
CLUSTER_ROLE = _role("ClusterRole is a set of permissions.")
ROLE_BINDING = _binding("RoleBinding grants a role's permissions within a namespace.")
CLUSTER_ROLE_BINDING = _binding("ClusterRoleBinding grants a role's permissions everywhere.")
DEPLOYMENT = kind_schema(
    "Deployment keeps a number of Pods of one template (nothing here makes them).",
    {
        "spec": struct(
            {
                "replicas": {**INTEGER, "minimum": 0, "default": 1},
                "selector": LABEL_SELECTOR,
                "template": OPEN,
                "strategy": OPEN,
                "minReadySeconds": INTEGER,
                "revisionHistoryLimit": INTEGER,
                "progressDeadlineSeconds": INTEGER,
                "paused": BOOLEAN,
            },
            "selector",
            "template",
        ),
        "status": OPEN,
    },
    "spec",
)
DISRUPTION_BUDGET = kind_schema(
    "PodDisruptionBudget says how many Pods a drain may take at a time.",
    {
        "spec": struct(
            {
                "minAvailable": PORT,
                "maxUnavailable": PORT,
                "selector": LABEL_SELECTOR,
                "unhealthyPodEvictionPolicy": TEXT,
            }
        ),
        "status": OPEN,
    },
)
PRIORITY_CLASS = kind_schema(
    "PriorityClass maps a name to a priority.",
    {"value": INTEGER, "globalDefault": BOOLEAN, "description": TEXT, "preemptionPolicy": TEXT},
    "value",
)
VOLUME_CLAIM = kind_schema(
    "PersistentVolumeClaim asks for a volume (nothing here gives one).",
    {
        "spec": struct(
            {
                "accessModes": TEXTS,
                "resources": struct({"requests": QUANTITIES, "limits": QUANTITIES}),
                "selector": LABEL_SELECTOR,
                "storageClassName": TEXT,
                "volumeMode": TEXT,
                "volumeName": TEXT,
                "dataSource": OPEN,
                "dataSourceRef": OPEN,
                "volumeAttributesClassName": TEXT,
            }
        ),
        "status": OPEN,
    },
)
ADMISSION_POLICY = kind_schema(
    "ValidatingAdmissionPolicy says what may be admitted (it is not evaluated here).",
    {"spec": OPEN, "status": OPEN},
)
ADMISSION_POLICY_BINDING = kind_schema(
    "ValidatingAdmissionPolicyBinding puts a policy in force (it is not evaluated here).", {"spec": OPEN}
)
VALIDATING_WEBHOOK = kind_schema(
    "ValidatingWebhookConfiguration names webhooks (none is called here).",
    {"webhooks": listing(OPEN, keys=["name"])},
)
