"""Schemas of the built-in kinds served here, written by hand from the Kubernetes API reference (v1.36).

They are true but not whole: every field an operator or its users write is typed, so that a typing error
or an unknown field is refused as a real server refuses it; rarely used corners are accepted as they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skillwarden.localcluster.apiserver.schema import (
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    PRESERVE,
    Schema,
)

MAP_TYPE = "x-kubernetes-map-type"
MERGE_KEY = "x-kubernetes-patch-merge-key"
MERGE_STRATEGY = "x-kubernetes-patch-strategy"

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer", "format": "int64"}
BOOLEAN: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "api-time", "nullable": True}
MICRO_TIME: Schema = {**TIME, "format": "api-micro-time"}
BYTES: Schema = {"type": "string", "format": "api-bytes"}
PORT: Schema = {INT_OR_STRING: True}
QUANTITY: Schema = {INT_OR_STRING: True, "format": "quantity"}
ANYTHING: Schema = {PRESERVE: True}
OPEN: Schema = {"type": "object", PRESERVE: True, "nullable": True}


def one_of(*values: str) -> Schema:
    """Give the schema of a string with a closed set of values."""
    return {"type": "string", "enum": list(values)}


def struct(fields: Mapping[str, Schema], *required: str, atomic: bool = False) -> Schema:
    """Give the schema of an object with named fields."""
    schema: Schema = {"type": "object", "properties": dict(fields), "nullable": True}
    if required:
        schema["required"] = list(required)
    if atomic:
        schema[MAP_TYPE] = "atomic"
    return schema


def listing(items: Schema, *, keys: Sequence[str] = (), merge: str = "", kind: str = "atomic") -> Schema:
    """Give the schema of a list: atomic, a ``set``, or a map by ``keys`` (``merge``: the older patch key)."""
    schema: Schema = {"type": "array", "items": items, "nullable": True}
    schema[LIST_TYPE] = "map" if keys else kind
    if keys:
        schema[LIST_KEYS] = list(keys)
        schema[MERGE_KEY] = merge or keys[0]
    if keys or kind == "set":
        schema[MERGE_STRATEGY] = "merge"
    return schema


def mapping(values: Schema, *, atomic: bool = False) -> Schema:
    """Give the schema of an object with free keys."""
    schema: Schema = {"type": "object", "additionalProperties": values, "nullable": True}
    return {**schema, MAP_TYPE: "atomic"} if atomic else schema


TEXTS = listing(TEXT)
TEXT_MAP = mapping(TEXT)
QUANTITIES = mapping(QUANTITY)

OBJECT_META = struct(
    {
        "name": TEXT,
        "generateName": TEXT,
        "namespace": TEXT,
        "uid": TEXT,
        "resourceVersion": TEXT,
        "generation": INTEGER,
        "creationTimestamp": TIME,
        "deletionTimestamp": TIME,
        "deletionGracePeriodSeconds": INTEGER,
        "labels": TEXT_MAP,
        "annotations": TEXT_MAP,
        "selfLink": TEXT,
        "finalizers": listing(TEXT, kind="set"),
        "ownerReferences": listing(
            struct(
                {
                    "apiVersion": TEXT,
                    "kind": TEXT,
                    "name": TEXT,
                    "uid": TEXT,
                    "controller": BOOLEAN,
                    "blockOwnerDeletion": BOOLEAN,
                },
                "apiVersion",
                "kind",
                "name",
                "uid",
                atomic=True,
            ),
            keys=["uid"],
        ),
        "managedFields": listing(OPEN),
    }
)


def kind_schema(description: str, fields: Mapping[str, Schema], *required: str) -> Schema:
    """Give the schema of a whole kind: its own fields beside apiVersion, kind and metadata."""
    whole = struct({"apiVersion": TEXT, "kind": TEXT, "metadata": OBJECT_META, **fields}, *required)
    return {**whole, "description": description, "nullable": False}


CONDITION = struct(
    {
        "type": TEXT,
        "status": TEXT,
        "reason": TEXT,
        "message": TEXT,
        "observedGeneration": INTEGER,
        "lastTransitionTime": TIME,
        "lastProbeTime": TIME,
        "lastHeartbeatTime": TIME,
        "lastUpdateTime": TIME,
    },
    "type",
    "status",
)
CONDITIONS = listing(CONDITION, keys=["type"])
LABEL_SELECTOR = struct(
    {
        "matchLabels": TEXT_MAP,
        "matchExpressions": listing(
            struct(
                {
                    "key": TEXT,
                    "operator": one_of("In", "NotIn", "Exists", "DoesNotExist"),
                    "values": TEXTS,
                },
                "key",
                "operator",
            )
        ),
    },
    atomic=True,
)
NAME_REF = struct({"name": TEXT}, atomic=True)
OBJECT_REF = struct(
    {
        "apiVersion": TEXT,
        "kind": TEXT,
        "name": TEXT,
        "namespace": TEXT,
        "uid": TEXT,
        "resourceVersion": TEXT,
        "fieldPath": TEXT,
    },
    atomic=True,
)

NAMESPACE = kind_schema(
    "Namespace provides a scope for names.",
    {
        "spec": struct({"finalizers": TEXTS}),
        "status": struct({"phase": TEXT, "conditions": CONDITIONS}),
    },
)
CONFIG_MAP = kind_schema(
    "ConfigMap holds configuration data for pods to consume.",
    {"data": TEXT_MAP, "binaryData": mapping(BYTES), "immutable": BOOLEAN},
)
SECRET = kind_schema(
    "Secret holds secret data of a certain type.",
    {
        "data": mapping(BYTES),
        "stringData": TEXT_MAP,
        "type": {**TEXT, "default": "Opaque"},
        "immutable": BOOLEAN,
    },
)
SERVICE_ACCOUNT = kind_schema(
    "ServiceAccount is an identity that pods run as.",
    {
        "automountServiceAccountToken": BOOLEAN,
        "secrets": listing(OBJECT_REF, keys=["name"]),
        "imagePullSecrets": listing(NAME_REF),
    },
)
SERVICE = kind_schema(
    "Service is a named abstraction of software that pods provide.",
    {
        "spec": struct(
            {
                "type": {
                    **one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
                    "default": "ClusterIP",
                },
                "selector": mapping(TEXT, atomic=True),
                "ports": listing(
                    struct(
                        {
                            "name": TEXT,
                            "port": {**INTEGER, "minimum": 1, "maximum": 65535},
                            "targetPort": PORT,
                            "protocol": {**one_of("TCP", "UDP", "SCTP"), "default": "TCP"},
                            "appProtocol": TEXT,
                            "nodePort": INTEGER,
                        },
                        "port",
                    ),
                    keys=["port", "protocol"],
                ),
                "clusterIP": TEXT,
                "clusterIPs": TEXTS,
                "externalName": TEXT,
                "externalIPs": TEXTS,
                "sessionAffinity": {**one_of("None", "ClientIP"), "default": "None"},
                "sessionAffinityConfig": OPEN,
                "ipFamilies": TEXTS,
                "ipFamilyPolicy": TEXT,
                "internalTrafficPolicy": TEXT,
                "externalTrafficPolicy": TEXT,
                "publishNotReadyAddresses": BOOLEAN,
                "trafficDistribution": TEXT,
                "loadBalancerIP": TEXT,
                "loadBalancerClass": TEXT,
                "loadBalancerSourceRanges": TEXTS,
                "allocateLoadBalancerNodePorts": BOOLEAN,
                "healthCheckNodePort": INTEGER,
            }
        ),
        "status": OPEN,
    },
)
EVENT = kind_schema(
    "Event is a report of an event somewhere in the cluster.",
    {
        "involvedObject": OBJECT_REF,
        "related": OBJECT_REF,
        "reason": TEXT,
        "message": TEXT,
        "type": TEXT,
        "action": TEXT,
        "count": INTEGER,
        "source": struct({"component": TEXT, "host": TEXT}),
        "firstTimestamp": TIME,
        "lastTimestamp": TIME,
        "eventTime": MICRO_TIME,
        "series": OPEN,
        "reportingComponent": TEXT,
        "reportingInstance": TEXT,
    },
)
NODE = kind_schema(
    "Node is a worker of the cluster.",
    {
        "spec": struct(
            {
                "podCIDR": TEXT,
                "podCIDRs": TEXTS,
                "providerID": TEXT,
                "unschedulable": BOOLEAN,
                "taints": listing(OPEN),
            }
        ),
        "status": struct(
            {
                "capacity": QUANTITIES,
                "allocatable": QUANTITIES,
                "phase": TEXT,
                "conditions": CONDITIONS,
                "addresses": listing(struct({"type": TEXT, "address": TEXT}), keys=["type"]),
                "nodeInfo": OPEN,
                "images": listing(OPEN),
                "daemonEndpoints": OPEN,
                "runtimeHandlers": listing(OPEN),
                "features": OPEN,
            }
        ),
    },
)
RESOURCE_QUOTA = kind_schema(
    "ResourceQuota sets aggregate limits for a namespace.",
    {
        "spec": struct({"hard": QUANTITIES}),
        "status": struct({"hard": QUANTITIES, "used": QUANTITIES}),
    },
)
LEASE = kind_schema(
    "Lease defines a lease, such as a leader's.",
    {
        "spec": struct(
            {
                "holderIdentity": TEXT,
                "leaseDurationSeconds": {**INTEGER, "minimum": 1},
                "acquireTime": MICRO_TIME,
                "renewTime": MICRO_TIME,
                "leaseTransitions": {**INTEGER, "minimum": 0},
                "preferredHolder": TEXT,
                "strategy": TEXT,
            }
        )
    },
)
RUNTIME_CLASS = kind_schema(
    "RuntimeClass names a container runtime that pods may ask for.",
    {"handler": TEXT, "overhead": struct({"podFixed": QUANTITIES}), "scheduling": OPEN},
    "handler",
)

_PEER = struct(
    {
        "podSelector": LABEL_SELECTOR,
        "namespaceSelector": LABEL_SELECTOR,
        "ipBlock": struct({"cidr": {**TEXT, "format": "cidr"}, "except": TEXTS}, "cidr"),
    }
)
_POLICY_PORT = struct(
    {
        "protocol": {**one_of("TCP", "UDP", "SCTP"), "default": "TCP"},
        "port": PORT,
        "endPort": INTEGER,
    }
)
NETWORK_POLICY = kind_schema(
    "NetworkPolicy describes what network traffic is allowed for a set of pods.",
    {
        "spec": struct(
            {
                "podSelector": {**LABEL_SELECTOR, "default": {}},
                "policyTypes": listing(one_of("Ingress", "Egress")),
                "ingress": listing(struct({"from": listing(_PEER), "ports": listing(_POLICY_PORT)})),
                "egress": listing(struct({"to": listing(_PEER), "ports": listing(_POLICY_PORT)})),
            }
        )
    },
)
CUSTOM_RESOURCE_DEFINITION = kind_schema(
    "CustomResourceDefinition represents a resource that should be exposed on the API server.",
    {
        "spec": struct(
            {
                "group": TEXT,
                "scope": one_of("Namespaced", "Cluster"),
                "names": struct(
                    {
                        "plural": TEXT,
                        "singular": TEXT,
                        "kind": TEXT,
                        "listKind": TEXT,
                        "shortNames": TEXTS,
                        "categories": TEXTS,
                    },
                    "plural",
                    "kind",
                ),
                "versions": listing(
                    struct(
                        {
                            "name": TEXT,
                            "served": BOOLEAN,
                            "storage": BOOLEAN,
                            "deprecated": BOOLEAN,
                            "deprecationWarning": TEXT,
                            "schema": struct({"openAPIV3Schema": OPEN}),
                            "subresources": struct(
                                {
                                    "status": OPEN,
                                    "scale": struct(
                                        {
                                            "specReplicasPath": TEXT,
                                            "statusReplicasPath": TEXT,
                                            "labelSelectorPath": TEXT,
                                        },
                                        "specReplicasPath",
                                        "statusReplicasPath",
                                    ),
                                }
                            ),
                            "additionalPrinterColumns": listing(
                                struct(
                                    {
                                        "name": TEXT,
                                        "type": one_of("string", "integer", "number", "boolean", "date"),
                                        "format": TEXT,
                                        "description": TEXT,
                                        "jsonPath": TEXT,
                                        "priority": INTEGER,
                                    },
                                    "name",
                                    "type",
                                    "jsonPath",
                                )
                            ),
                            "selectableFields": listing(struct({"jsonPath": TEXT}, "jsonPath")),
                        },
                        "name",
                        "served",
                        "storage",
                    )
                ),
                "conversion": struct({"strategy": TEXT, "webhook": OPEN}),
                "preserveUnknownFields": BOOLEAN,
            },
            "group",
            "scope",
            "names",
            "versions",
        ),
        "status": struct({"conditions": CONDITIONS, "acceptedNames": OPEN, "storedVersions": TEXTS}),
    },
    "spec",
)


def field(schema: Schema, *names: str) -> Schema:
    """Descend into a schema by field names; list items are entered by themselves."""
    found: Any = schema
    for name in names:
        found = found["properties"][name]
        found = found["items"] if found.get("type") == "array" else found
    return dict(found)
