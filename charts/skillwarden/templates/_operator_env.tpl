{{- /* From values to settings (docs/operations/settings.md). */ -}}
{{- define "skillwarden.operatorEnv" -}}
- {name: SKILLWARDEN_OPERATOR_IMAGE, value: {{ include "skillwarden.image" . | quote }}}
- {name: SKILLWARDEN_PULL_POLICY, value: {{ .Values.image.pullPolicy }}}
{{- with .Values.sandbox }}
- {name: SKILLWARDEN_RUNTIMES, value: {{ toJson .runtimes.python | squote }}}
- {name: SKILLWARDEN_DEFAULT_PYTHON, value: {{ .defaultPython | quote }}}
- {name: SKILLWARDEN_NODE_RUNTIMES, value: {{ toJson .runtimes.node | squote }}}
- {name: SKILLWARDEN_DEFAULT_NODE, value: {{ .defaultNode | quote }}}
{{- if .runtimes.mixed }}
- {name: SKILLWARDEN_MIXED_RUNTIMES, value: {{ toJson .runtimes.mixed | squote }}}
{{- end }}
{{- if .commands }}
- {name: SKILLWARDEN_RUNTIME_COMMANDS, value: {{ toJson .commands | squote }}}
{{- end }}
- {name: SKILLWARDEN_LIBC, value: {{ .libc | quote }}}
{{- if .imagePullSecrets }}
- {name: SKILLWARDEN_PULL_SECRETS, value: {{ join "," .imagePullSecrets | quote }}}
{{- end }}
{{- if .arch }}
- {name: SKILLWARDEN_ARCH, value: {{ .arch }}}
{{- end }}
{{- if kindIs "bool" .hostUsers }}
- {name: SKILLWARDEN_HOST_USERS, value: {{ .hostUsers | quote }}}
{{- end }}
{{- if kindIs "bool" .networkEnforced }}
- {name: SKILLWARDEN_NETWORK_ENFORCED, value: {{ .networkEnforced | quote }}}
{{- end }}
{{- end }}
{{- with .Values.watch.namespaces }}
- {name: SKILLWARDEN_WATCH_NAMESPACES, value: {{ join "," . | quote }}}
{{- end }}
{{- if or .Values.canary.enabled .Values.audit.file.enabled }}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- end }}
{{- if .Values.canary.enabled }}
- {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: SKILLWARDEN_CANARY_OWNER, value: $(POD_NAME)/$(POD_UID)}
- {name: SKILLWARDEN_CANARY_NAMESPACE, value: {{ .Release.Namespace }}}
- {name: SKILLWARDEN_CANARY_INTERVAL, value: {{ .Values.canary.interval | quote }}}
{{- with .Values.imagePullSecrets }}
- {name: SKILLWARDEN_CANARY_PULL_SECRETS, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
- {name: SKILLWARDEN_LEASE, value: {{ .Release.Namespace }}/{{ include "skillwarden.operator" . }}}
- {name: SKILLWARDEN_LEASE_SECONDS, value: {{ .Values.operator.leaseSeconds | quote }}}
{{- if .Values.webhook.enabled }}
- {name: SKILLWARDEN_WEBHOOK_ADDRESS, value: ":{{ .Values.webhook.port }}"}
- {name: SKILLWARDEN_WEBHOOK_CERTIFICATES, value: /run/skillwarden-webhook}
{{- end }}
- {name: SKILLWARDEN_STATE_DIR, value: /var/lib/skillwarden}
{{- if .Values.depot.enabled }}
- {name: SKILLWARDEN_DEPOT__URL, value: "http://{{ include "skillwarden.depot" . }}.{{ .Release.Namespace }}:8480"}
- {name: SKILLWARDEN_DEPOT__SANDBOX_HOST, value: {{ .Values.depot.clusterIP | default (printf "%s.%s" (include "skillwarden.depot" .) .Release.Namespace) | quote }}}
- {name: SKILLWARDEN_DEPOT__NAMESPACE, value: {{ .Release.Namespace }}}
- {name: SKILLWARDEN_DEPOT__SELECTOR, value: {{ include "skillwarden.depotMark" . | fromYaml | toJson | squote }}}
{{- else }}
{{- with .Values.depot.external }}
- {name: SKILLWARDEN_DEPOT__URL, value: {{ .url | quote }}}
- {name: SKILLWARDEN_DEPOT__SANDBOX_HOST, value: {{ .host | quote }}}
- {name: SKILLWARDEN_DEPOT__SANDBOX_PORT, value: {{ .port | quote }}}
- {name: SKILLWARDEN_DEPOT__CIDR, value: {{ .cidr | quote }}}
{{- end }}
{{- end }}
- {name: SKILLWARDEN_DEPOT__KEY_FILE, value: /run/skillwarden/key}
{{- with .Values.advisories }}
{{- if .source }}
{{- /* In full, so that .svc keeps it from a proxy. */}}
{{- $server := printf "http://%s.%s.svc:8482" (include "skillwarden.advisories" $) $.Release.Namespace }}
- {name: SKILLWARDEN_ADVISORIES_SOURCE, value: {{ ternary $server .source .server.enabled | quote }}}
- {name: SKILLWARDEN_ADVISORIES_INTERVAL, value: {{ .interval | quote }}}
{{- end }}
{{- end }}
{{- with .Values.index.hosts }}
- {name: SKILLWARDEN_INDEX_HOSTS, value: {{ join "," . | quote }}}
{{- end }}
{{- if .Values.index.netrcSecret }}
- {name: SKILLWARDEN_INDEX_NETRC, value: /etc/skillwarden/index/netrc}
{{- end }}
{{- with .Values.operator }}
- {name: SKILLWARDEN_WORKERS, value: {{ .workers | quote }}}
- {name: SKILLWARDEN_STAGE_CONCURRENCY, value: {{ .stageConcurrency | quote }}}
- {name: SKILLWARDEN_RESOLVE_DEADLINE, value: {{ .resolveDeadline | quote }}}
- {name: SKILLWARDEN_TOOL_MEMORY, value: {{ .toolMemory | quote }}}
- {name: SKILLWARDEN_SCAN_DEADLINE, value: {{ .scanDeadline | quote }}}
- {name: SKILLWARDEN_LOG_LEVEL, value: {{ .logLevel }}}
- {name: SKILLWARDEN_LOG_FORMAT, value: {{ .logFormat }}}
{{- end }}
{{- with .Values.audit }}
- {name: SKILLWARDEN_AUDIT_STDOUT, value: {{ .stdout | quote }}}
{{- if .file.enabled }}
- {name: SKILLWARDEN_AUDIT_FILE, value: /var/log/skillwarden/$(POD_NAME).jsonl}
{{- end }}
{{- end }}
- {name: SKILLWARDEN_METRICS_ADDRESS, value: ":{{ .Values.metrics.port }}"}
{{- include "skillwarden.networkEnv" . }}
{{- with .Values.operator.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
