{{- /* Combinations that the schema cannot refuse in words that help. */ -}}
{{- define "skillwarden.refuse" -}}
{{- $v := .Values -}}
{{- if not (hasKey $v.sandbox.runtimes.python $v.sandbox.defaultPython) -}}
{{- fail (printf "sandbox.defaultPython is %s, but sandbox.runtimes.python has only %s: add an image for it, or name one of these." $v.sandbox.defaultPython (keys $v.sandbox.runtimes.python | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if and $v.sandbox.runtimes.node (not (hasKey $v.sandbox.runtimes.node $v.sandbox.defaultNode)) -}}
{{- fail (printf "sandbox.defaultNode is %s, but sandbox.runtimes.node has only %s: add an image for it, or name one of these." $v.sandbox.defaultNode (keys $v.sandbox.runtimes.node | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if $v.requireDigests -}}
{{- if not $v.image.digest -}}
{{- fail "requireDigests is on, but image.digest is empty: set it to the sha256:… of the operator's image." -}}
{{- end -}}
{{- range $language := list "python" "node" "mixed" -}}
{{- range $version, $image := get $v.sandbox.runtimes $language -}}
{{- if not (regexMatch "@sha256:[0-9a-f]{64}$" $image) -}}
{{- fail (printf "requireDigests is on, but sandbox.runtimes.%s has %s for %s: name it as repository@sha256:…" $language $image $version) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.operator.serviceAccount.create) (not $v.operator.serviceAccount.name) -}}
{{- fail "operator.serviceAccount.create is off, so operator.serviceAccount.name must name the account that exists." -}}
{{- end -}}
{{- /* Kubernetes counts a Pod for such terms only where it matches every one of them: two of different selectors match none. */ -}}
{{- if and (dig "podAffinity" "requiredDuringSchedulingIgnoredDuringExecution" "" $v.operator.affinity) (not $v.sandbox.arch) -}}
{{- fail "operator.affinity requires other Pods (podAffinity), which cannot be joined with what holds the operators to one architecture: set sandbox.arch, the architecture that sandboxes run on." -}}
{{- end -}}
{{- if and $v.audit.file.existingClaim (not $v.audit.file.enabled) -}}
{{- fail "audit.file.existingClaim is given, but audit.file.enabled is off: turn it on, or leave the claim empty." -}}
{{- end -}}
{{- if not (or $v.audit.stdout $v.audit.file.enabled) -}}
{{- fail "audit.stdout and audit.file.enabled are both off: nothing that is decided would be on record." -}}
{{- end -}}
{{- if and $v.advisories.server.enabled (not $v.advisories.source) -}}
{{- fail "advisories.server.enabled is on, but advisories.source is empty: say where the server syncs from." -}}
{{- end -}}
{{- if and $v.priorityClass.create $v.operator.priorityClassName -}}
{{- fail "priorityClass.create makes a PriorityClass of its own: leave operator.priorityClassName empty, or turn it off." -}}
{{- end -}}
{{- with $v.webhook.certificate -}}
{{- if and .certManager.enabled (or .existingSecret .caBundle) -}}
{{- fail "webhook.certificate.certManager.enabled has cert-manager make the Secret and fill in the authority: leave existingSecret and caBundle empty, or turn it off." -}}
{{- end -}}
{{- if and .existingSecret (not .caBundle) -}}
{{- fail "webhook.certificate.existingSecret is given, so webhook.certificate.caBundle must hold its authority (PEM, in base64): without it the API server trusts no answer." -}}
{{- end -}}
{{- if and .caBundle (not .existingSecret) -}}
{{- fail "webhook.certificate.caBundle is given, but existingSecret is empty: name the Secret that it vouches for, or leave both empty." -}}
{{- end -}}
{{- if and .certManager.issuerRef.name (not .certManager.enabled) -}}
{{- fail "webhook.certificate.certManager.issuerRef.name is given, but certManager.enabled is off: turn it on, or leave the name empty." -}}
{{- end -}}
{{- end -}}
{{- if and $v.webhook.enabled (eq (int $v.webhook.port) (int $v.metrics.port)) -}}
{{- fail (printf "webhook.port and metrics.port are both %d: give one of them another." (int $v.webhook.port)) -}}
{{- end -}}
{{- if $v.depot.enabled -}}
{{- if or $v.depot.external.url $v.depot.external.host $v.depot.external.cidr -}}
{{- fail "depot.external is for a depot that runs elsewhere: turn depot.enabled off, or leave depot.external empty." -}}
{{- end -}}
{{- if and $v.depot.storage.existingClaim $v.depot.storage.emptyDir -}}
{{- fail "depot.storage.existingClaim and depot.storage.emptyDir exclude each other: the depot has one volume." -}}
{{- end -}}
{{- else -}}
{{- if not (and $v.depot.external.url $v.depot.external.host $v.depot.external.cidr) -}}
{{- fail "depot.enabled is off, so depot.external needs url (for the operator), host (an IP address, for sandboxes) and cidr (for their NetworkPolicies)." -}}
{{- end -}}
{{- if not $v.depot.key.existingSecret -}}
{{- fail "depot.enabled is off, so depot.key.existingSecret must name the Secret with the key of the depot that runs elsewhere." -}}
{{- end -}}
{{- end -}}
{{- if $v.airGapped -}}
{{- if not $v.index.url -}}
{{- fail "airGapped is on, but index.url is empty: without it the public index is asked." -}}
{{- end -}}
{{- if and $v.sandbox.runtimes.node (not $v.index.npmRegistry) -}}
{{- fail "airGapped is on, but index.npmRegistry is empty: without it the public registry is asked. Where there are no Node skills, set sandbox.runtimes.node to {\"24\": null}." -}}
{{- end -}}
{{- if contains "osv-vulnerabilities.storage.googleapis.com" $v.advisories.source -}}
{{- fail "airGapped is on, but advisories.source is OSV's own server: set it to your mirror or to a mounted folder." -}}
{{- end -}}
{{- range $image := concat (list $v.image.repository) (values $v.sandbox.runtimes.python | sortAlpha) (values $v.sandbox.runtimes.node | sortAlpha) (values $v.sandbox.runtimes.mixed | sortAlpha) -}}
{{- $host := first (splitList "/" $image) -}}
{{- if or (eq $host $image) (not (regexMatch "[.:]|^localhost$" $host)) -}}
{{- fail (printf "airGapped is on, but the image %s names no registry: nodes would ask the public one." $image) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
