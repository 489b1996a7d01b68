{{- define "skillwarden.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "skillwarden.operator" -}}{{ include "skillwarden.fullname" . }}-operator{{- end -}}
{{- define "skillwarden.depot" -}}{{ include "skillwarden.fullname" . }}-depot{{- end -}}

{{- define "skillwarden.advisories" -}}{{ include "skillwarden.fullname" . }}-advisories{{- end -}}

{{- define "skillwarden.webhook" -}}{{ include "skillwarden.fullname" . }}-webhook{{- end -}}

{{- /* cert-manager's has a name of its own: Helm takes over no Secret that somebody else made, so that there was no way back. */ -}}
{{- define "skillwarden.webhookSecret" -}}
{{- $made := ternary "issued-tls" "tls" .Values.webhook.certificate.certManager.enabled -}}
{{- .Values.webhook.certificate.existingSecret | default (printf "%s-%s" (include "skillwarden.webhook" .) $made) -}}
{{- end -}}

{{- define "skillwarden.webhookNames" -}}
{{- $service := printf "%s.%s.svc" (include "skillwarden.webhook" .) .Release.Namespace -}}
{{- list $service (printf "%s.cluster.local" $service) | toJson -}}
{{- end -}}

{{- define "skillwarden.account" -}}
{{- .Values.operator.serviceAccount.name | default (include "skillwarden.operator" .) -}}
{{- end -}}

{{- define "skillwarden.keySecret" -}}
{{- .Values.depot.key.existingSecret | default (printf "%s-key" (include "skillwarden.depot" .)) -}}
{{- end -}}

{{- define "skillwarden.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "skillwarden.labels" -}}
{{ include "skillwarden.commonLabels" . }}
{{- end -}}

{{- define "skillwarden.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/part-of: skillwarden
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "skillwarden.operatorSelector" -}}
app.kubernetes.io/name: skillwarden-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "skillwarden.depotSelector" -}}
app.kubernetes.io/name: skillwarden-depot
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "skillwarden.advisoriesSelector" -}}
app.kubernetes.io/name: skillwarden-advisories
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* What sandboxes select the depot by; the operator is told the same. */ -}}
{{- define "skillwarden.depotMark" -}}
skillwarden.io/component: depot
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "skillwarden.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "skillwarden.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "skillwarden.priorityClass" -}}
{{- if .Values.priorityClass.create -}}
{{- include "skillwarden.fullname" . -}}
{{- else -}}
{{- .Values.operator.priorityClassName -}}
{{- end -}}
{{- end -}}

{{- /* Of a Pod: its images' secrets, and where it may go; of the root and the values of one component. */ -}}
{{- define "skillwarden.placement" -}}
{{- $root := index . 0 -}}
{{- $pod := index . 1 -}}
{{- with include "skillwarden.priorityClass" $root }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Sandboxes run on the architecture of the operator that acts, where none is named: all of them need the same, or each
change of leader would make every lock and sandbox anew. The first Pod of such a set may go anywhere. */ -}}
{{- define "skillwarden.oneArchitecture" -}}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/arch
      labelSelector:
        matchLabels: {{- include "skillwarden.operatorSelector" . | nindent 10 }}
{{- end -}}

{{- /* Proxies, authorities and the index's credentials: the same for whatever reaches out. */ -}}
{{- define "skillwarden.networkEnv" -}}
{{- with .Values.proxy }}
{{- if .http }}
- {name: HTTP_PROXY, value: {{ .http | quote }}}
{{- end }}
{{- if .https }}
- {name: HTTPS_PROXY, value: {{ .https | quote }}}
{{- end }}
{{- end }}
{{- if or .Values.proxy.http .Values.proxy.https }}
{{- $own := printf "127.0.0.1,localhost,.svc,.cluster.local,%s.%s,$(KUBERNETES_SERVICE_HOST)" (include "skillwarden.depot" .) .Release.Namespace }}
- {name: NO_PROXY, value: {{ list $own .Values.proxy.noProxy | compact | join "," | quote }}}
{{- end }}
{{- if .Values.caBundle.configMap }}
- {name: SSL_CERT_FILE, value: /etc/skillwarden/ca/{{ .Values.caBundle.key }}}
- {name: REQUESTS_CA_BUNDLE, value: /etc/skillwarden/ca/{{ .Values.caBundle.key }}}
- {name: NODE_EXTRA_CA_CERTS, value: /etc/skillwarden/ca/{{ .Values.caBundle.key }}}
{{- end }}
{{- if .Values.index.url }}
- {name: SKILLWARDEN_INDEX_URL, value: {{ .Values.index.url | quote }}}
{{- end }}
{{- if .Values.index.npmRegistry }}
- {name: SKILLWARDEN_NPM_REGISTRY_URL, value: {{ .Values.index.npmRegistry | quote }}}
{{- end }}
{{- if .Values.index.netrcSecret }}
- {name: NETRC, value: /etc/skillwarden/index/netrc}
{{- end }}
{{- end -}}

{{- define "skillwarden.networkMounts" -}}
{{- if .Values.caBundle.configMap }}
- {name: ca, mountPath: /etc/skillwarden/ca, readOnly: true}
{{- end }}
{{- if .Values.index.netrcSecret }}
- {name: index, mountPath: /etc/skillwarden/index, readOnly: true}
{{- end }}
{{- end -}}

{{- define "skillwarden.networkVolumes" -}}
{{- if .Values.caBundle.configMap }}
- {name: ca, configMap: {name: {{ .Values.caBundle.configMap }}}}
{{- end }}
{{- if .Values.index.netrcSecret }}
- {name: index, secret: {secretName: {{ .Values.index.netrcSecret }}, defaultMode: 0440}}
{{- end }}
{{- end -}}
