"""The schema of Pods: the part of the API that an operator writes most, so typed the deepest."""

from __future__ import annotations

from skillwarden.localcluster.apiserver.builtin_schemas import (
    ANYTHING,
    BOOLEAN,
    CONDITIONS,
    INTEGER,
    NAME_REF,
    OPEN,
    PORT,
    QUANTITIES,
    QUANTITY,
    TEXT,
    TEXTS,
    TIME,
    kind_schema,
    listing,
    mapping,
    one_of,
    struct,
)
from skillwarden.localcluster.apiserver.schema import Schema

_SECCOMP = struct(
    {"type": one_of("RuntimeDefault", "Unconfined", "Localhost"), "localhostProfile": TEXT}, "type"
)
_RUN_AS = {
    "runAsUser": INTEGER,
    "runAsGroup": INTEGER,
    "runAsNonRoot": BOOLEAN,
    "seccompProfile": _SECCOMP,
    "appArmorProfile": struct(
        {"type": one_of("Localhost", "RuntimeDefault", "Unconfined"), "localhostProfile": TEXT}, "type"
    ),
    "seLinuxOptions": OPEN,
    "windowsOptions": OPEN,
}
_KEY_REF = struct({"name": TEXT, "key": TEXT, "optional": BOOLEAN}, "key", atomic=True)
_FIELD_REF = struct({"apiVersion": {**TEXT, "default": "v1"}, "fieldPath": TEXT}, "fieldPath", atomic=True)
_RESOURCE_REF = struct(
    {"containerName": TEXT, "resource": TEXT, "divisor": QUANTITY}, "resource", atomic=True
)
_ENV = struct(
    {
        "name": TEXT,
        "value": TEXT,
        "valueFrom": struct(
            {
                "configMapKeyRef": _KEY_REF,
                "secretKeyRef": _KEY_REF,
                "fieldRef": _FIELD_REF,
                "resourceFieldRef": _RESOURCE_REF,
                "fileKeyRef": OPEN,
            }
        ),
    },
    "name",
)
_HTTP_GET = struct(
    {
        "path": {**TEXT, "default": "/"},
        "port": PORT,
        "host": TEXT,
        "scheme": {**one_of("HTTP", "HTTPS"), "default": "HTTP"},
        "httpHeaders": listing(struct({"name": TEXT, "value": TEXT}, "name", "value")),
    },
    "port",
)
_ACTION: dict[str, Schema] = {
    "exec": struct({"command": TEXTS}),
    "httpGet": _HTTP_GET,
    "tcpSocket": struct({"host": TEXT, "port": PORT}, "port"),
}
_PROBE = struct(
    {
        **_ACTION,
        "grpc": struct({"port": INTEGER, "service": TEXT}, "port"),
        "initialDelaySeconds": INTEGER,
        "periodSeconds": {**INTEGER, "default": 10},
        "timeoutSeconds": {**INTEGER, "default": 1},
        "successThreshold": {**INTEGER, "default": 1},
        "failureThreshold": {**INTEGER, "default": 3},
        "terminationGracePeriodSeconds": INTEGER,
    }
)
_HANDLER = struct({**_ACTION, "sleep": struct({"seconds": INTEGER}, "seconds")})
RESOURCES = struct(
    {
        "requests": QUANTITIES,
        "limits": QUANTITIES,
        "claims": listing(struct({"name": TEXT, "request": TEXT}, "name"), keys=["name"]),
    }
)
CONTAINER = struct(
    {
        "name": TEXT,
        "image": TEXT,
        "imagePullPolicy": one_of("Always", "IfNotPresent", "Never"),
        "command": TEXTS,
        "args": TEXTS,
        "workingDir": TEXT,
        "env": listing(_ENV, keys=["name"]),
        "envFrom": listing(
            struct(
                {
                    "prefix": TEXT,
                    "configMapRef": struct({"name": TEXT, "optional": BOOLEAN}),
                    "secretRef": struct({"name": TEXT, "optional": BOOLEAN}),
                }
            )
        ),
        "ports": listing(
            struct(
                {
                    "name": TEXT,
                    "containerPort": {**INTEGER, "minimum": 1, "maximum": 65535},
                    "hostPort": INTEGER,
                    "hostIP": TEXT,
                    "protocol": {**one_of("TCP", "UDP", "SCTP"), "default": "TCP"},
                },
                "containerPort",
            ),
            keys=["containerPort", "protocol"],
        ),
        "resources": {**RESOURCES, "default": {}},
        "resizePolicy": listing(struct({"resourceName": TEXT, "restartPolicy": TEXT})),
        "restartPolicy": TEXT,
        "restartPolicyRules": listing(OPEN),
        "securityContext": struct(
            {
                **_RUN_AS,
                "allowPrivilegeEscalation": BOOLEAN,
                "privileged": BOOLEAN,
                "readOnlyRootFilesystem": BOOLEAN,
                "procMount": one_of("Default", "Unmasked"),
                "capabilities": struct({"add": TEXTS, "drop": TEXTS}),
            }
        ),
        "volumeMounts": listing(
            struct(
                {
                    "name": TEXT,
                    "mountPath": TEXT,
                    "subPath": TEXT,
                    "subPathExpr": TEXT,
                    "readOnly": BOOLEAN,
                    "recursiveReadOnly": one_of("Disabled", "Enabled", "IfPossible"),
                    "mountPropagation": one_of("Bidirectional", "HostToContainer", "None"),
                },
                "name",
                "mountPath",
            ),
            keys=["mountPath"],
        ),
        "volumeDevices": listing(struct({"name": TEXT, "devicePath": TEXT}), keys=["devicePath"]),
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "startupProbe": _PROBE,
        "lifecycle": struct({"postStart": _HANDLER, "preStop": _HANDLER, "stopSignal": TEXT}),
        "terminationMessagePath": {**TEXT, "default": "/dev/termination-log"},
        "terminationMessagePolicy": {**one_of("File", "FallbackToLogsOnError"), "default": "File"},
        "stdin": BOOLEAN,
        "stdinOnce": BOOLEAN,
        "tty": BOOLEAN,
    },
    "name",
)
_ITEMS = listing(struct({"key": TEXT, "path": TEXT, "mode": INTEGER}, "key", "path"))
_MODE = {**INTEGER, "default": 0o644}
_SOURCES: dict[str, Schema] = {
    "configMap": struct({"name": TEXT, "items": _ITEMS, "optional": BOOLEAN, "defaultMode": _MODE}),
    "secret": struct({"secretName": TEXT, "items": _ITEMS, "optional": BOOLEAN, "defaultMode": _MODE}),
    "emptyDir": struct({"medium": TEXT, "sizeLimit": QUANTITY}),
    "hostPath": struct(
        {
            "path": TEXT,
            "type": one_of(
                *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File"),
                *("FileOrCreate", "Socket"),
            ),
        },
        "path",
    ),
    "persistentVolumeClaim": struct({"claimName": TEXT, "readOnly": BOOLEAN}, "claimName"),
    "downwardAPI": OPEN,
    "projected": OPEN,
    "ephemeral": OPEN,
    "csi": OPEN,
    "nfs": OPEN,
    "image": OPEN,
}
#: Volume sources of a Pod; exactly one names what a volume is.
VOLUME_SOURCES = frozenset(_SOURCES)
VOLUME = struct({"name": TEXT, **_SOURCES}, "name")

POD_SPEC = struct(
    {
        "containers": listing(CONTAINER, keys=["name"]),
        "initContainers": listing(CONTAINER, keys=["name"]),
        "ephemeralContainers": listing(OPEN, keys=["name"]),
        "volumes": listing(VOLUME, keys=["name"]),
        "restartPolicy": {**one_of("Always", "OnFailure", "Never"), "default": "Always"},
        "terminationGracePeriodSeconds": {**INTEGER, "default": 30},
        "activeDeadlineSeconds": {**INTEGER, "minimum": 1, "maximum": 2**31 - 1},
        "dnsPolicy": {
            **one_of("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
            "default": "ClusterFirst",
        },
        "dnsConfig": struct(
            {
                "nameservers": TEXTS,
                "searches": TEXTS,
                "options": listing(struct({"name": TEXT, "value": TEXT})),
            }
        ),
        "nodeSelector": mapping(TEXT, atomic=True),
        "serviceAccountName": TEXT,
        "serviceAccount": TEXT,
        "automountServiceAccountToken": BOOLEAN,
        "nodeName": TEXT,
        "hostNetwork": BOOLEAN,
        "hostPID": BOOLEAN,
        "hostIPC": BOOLEAN,
        "hostUsers": BOOLEAN,
        "hostname": TEXT,
        "hostnameOverride": TEXT,
        "subdomain": TEXT,
        "setHostnameAsFQDN": BOOLEAN,
        "shareProcessNamespace": BOOLEAN,
        "securityContext": {
            **struct(
                {
                    **_RUN_AS,
                    "fsGroup": INTEGER,
                    "fsGroupChangePolicy": one_of("Always", "OnRootMismatch"),
                    "supplementalGroups": listing({"type": "integer"}),
                    "supplementalGroupsPolicy": one_of("Merge", "Strict"),
                    "sysctls": listing(struct({"name": TEXT, "value": TEXT}, "name", "value")),
                    "seLinuxChangePolicy": TEXT,
                }
            ),
            "default": {},
        },
        "imagePullSecrets": listing(NAME_REF, keys=["name"]),
        "affinity": OPEN,
        "schedulerName": {**TEXT, "default": "default-scheduler"},
        "schedulingGates": listing(NAME_REF, keys=["name"]),
        "schedulingGroup": OPEN,
        "tolerations": listing(
            struct(
                {
                    "key": TEXT,
                    "operator": one_of("Exists", "Equal", "Lt", "Gt"),
                    "value": TEXT,
                    "effect": one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
                    "tolerationSeconds": INTEGER,
                }
            )
        ),
        "hostAliases": listing(struct({"ip": TEXT, "hostnames": TEXTS}, "ip"), keys=["ip"]),
        "priorityClassName": TEXT,
        "priority": INTEGER,
        "preemptionPolicy": TEXT,
        "readinessGates": listing(struct({"conditionType": TEXT})),
        "runtimeClassName": TEXT,
        "enableServiceLinks": {**BOOLEAN, "default": True},
        "overhead": QUANTITIES,
        "topologySpreadConstraints": listing(OPEN, keys=["topologyKey", "whenUnsatisfiable"]),
        "os": struct({"name": one_of("linux", "windows")}, "name"),
        "resourceClaims": listing(OPEN, keys=["name"]),
        "resources": RESOURCES,
    },
    "containers",
)
_STATUSES = listing(OPEN)
POD_STATUS = struct(
    {
        "phase": TEXT,
        "conditions": CONDITIONS,
        "message": TEXT,
        "reason": TEXT,
        "nominatedNodeName": TEXT,
        "hostIP": TEXT,
        "hostIPs": listing(struct({"ip": TEXT})),
        "podIP": TEXT,
        "podIPs": listing(struct({"ip": TEXT}), keys=["ip"]),
        "startTime": TIME,
        "qosClass": TEXT,
        "observedGeneration": INTEGER,
        "initContainerStatuses": _STATUSES,
        "containerStatuses": _STATUSES,
        "ephemeralContainerStatuses": _STATUSES,
        "resize": TEXT,
        "resourceClaimStatuses": listing(OPEN, keys=["name"]),
        "extendedResourceClaimStatus": OPEN,
        "allocatedResources": QUANTITIES,
        "resources": RESOURCES,
    }
)
POD = kind_schema(
    "Pod is a collection of containers that can run on a host.",
    {"spec": POD_SPEC, "status": POD_STATUS},
    "spec",
)
BINDING = kind_schema("Binding ties a pod to a node.", {"target": ANYTHING}, "target")
__all__ = ["BINDING", "CONTAINER", "POD", "POD_SPEC", "VOLUME_SOURCES"]
