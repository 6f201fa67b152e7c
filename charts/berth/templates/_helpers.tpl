{{/* Names and labels. */}}

{{- define "berth.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "berth.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "berth.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "berth.name" .) | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "berth.namespace" -}}
{{ default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "berth.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "berth.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{/* No default repository: the image is not published, and another project could use the name. */}}
{{- define "berth.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- define "berth.selector" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: registry
{{- end }}

{{- define "berth.trustSelector" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: trust
{{- end }}

{{/* Peers that may read metrics: pods with the labels of the Prometheus operator, unless configured. */}}
{{- define "berth.monitoringPeers" -}}
{{- $metrics := .Values.metrics -}}
{{- if .Values.networkPolicy.monitoringFrom -}}
{{ toYaml .Values.networkPolicy.monitoringFrom }}
{{- else if or $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled -}}
- namespaceSelector: {}
  podSelector:
    matchLabels:
      app.kubernetes.io/name: prometheus
{{- end -}}
{{- end }}

{{- define "berth.testSelector" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{/* Labels of all objects. Selectors of pods have fewer. */}}
{{- define "berth.labels" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Labels of pods, without the chart's version: an upgrade of the chart must not restart pods, which would empty their
caches.
*/}}
{{- define "berth.podLabels" -}}
{{ include "berth.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The Pod Security level that the namespace enforces, if it rejects pods that need the node. Empty if it is unknown:
without a cluster, or without permission to read the namespace.
*/}}
{{- define "berth.podSecurity" -}}
{{- $namespace := lookup "v1" "Namespace" "" (include "berth.namespace" .) | default dict -}}
{{- $labels := dig "metadata" "labels" (dict) $namespace | default dict -}}
{{- $level := get $labels "pod-security.kubernetes.io/enforce" -}}
{{- if has $level (list "baseline" "restricted") }}{{ $level }}{{ end -}}
{{- end }}

{{- define "berth.doctorNote" -}}
nodes are not tested, as the namespace {{ include "berth.namespace" . }} enforces pod-security level {{ include "berth.podSecurity" . }} and the doctor's pods read files of nodes: run `kubectl label namespace {{ include "berth.namespace" . }} --overwrite pod-security.kubernetes.io/enforce=privileged` and upgrade the release, or run `berth doctor node` on a node, or set tests.doctor.enabled=false
{{- end }}

{{/* Conditions that depend on several values. True is "true", false is empty. */}}

{{/*
StatefulSet if several nodes could mount the hosted volume at once: Kubernetes starts its pod only after the old one
has ended. A volume that one node can mount (ReadWriteOnce) ensures that by itself.
*/}}
{{- define "berth.kind" -}}
{{- if .Values.kind -}}
{{ .Values.kind }}
{{- else if and .Values.hosted.enabled (has "ReadWriteMany" .Values.hosted.accessModes) -}}
StatefulSet
{{- else if has .Values.exposure.mode (list "hostPort" "hostNetwork") -}}
DaemonSet
{{- else -}}
Deployment
{{- end -}}
{{- end }}

{{/*
The port on which Berth listens. In a pod network it does not depend on exposure.port, so that a new NodePort restarts
no pod and empties no cache, and the Service still matches the pods after a failed upgrade.
*/}}
{{- define "berth.containerPort" -}}
{{ ternary .Values.exposure.port 30026 (eq .Values.exposure.mode "hostNetwork") }}
{{- end }}

{{- define "berth.isHostNetwork" -}}
{{- if eq .Values.exposure.mode "hostNetwork" }}true{{ end -}}
{{- end }}

{{/* On the host network Berth listens on loopback only, where a Service cannot reach it. */}}
{{- define "berth.hasService" -}}
{{- if ne .Values.exposure.mode "hostNetwork" }}true{{ end -}}
{{- end }}

{{- define "berth.hasTrust" -}}
{{- if or .Values.trust.enabled (eq .Values.exposure.mode "mirror") }}true{{ end -}}
{{- end }}

{{- define "berth.hostedClaim" -}}
{{ default (printf "%s-hosted" (include "berth.fullname" .)) .Values.hosted.existingClaim }}
{{- end }}

{{- define "berth.spoolClaim" -}}
{{ default (printf "%s-spool" (include "berth.fullname" .)) .Values.spool.persistence.existingClaim }}
{{- end }}

{{/* The spooler reaches Berth in its own pod, over TLS if Berth serves nothing else. */}}
{{- define "berth.spoolRegistry" -}}
{{- if .Values.tls.enabled -}}
https://{{ default "localhost" .Values.spool.tls.serverName }}:{{ include "berth.containerPort" . }}
{{- else -}}
localhost:{{ include "berth.containerPort" . }}
{{- end -}}
{{- end }}

{{/* The Secret with the authority of Berth's own certificate. Empty: a public authority signed it. */}}
{{- define "berth.spoolAuthority" -}}
{{- if not (and .Values.spool.enabled .Values.tls.enabled) -}}
{{- else if .Values.spool.tls.caSecret -}}
{{ .Values.spool.tls.caSecret }}
{{- else if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef) -}}
{{ include "berth.tlsSecret" . }}
{{- end -}}
{{- end }}

{{- define "berth.watchesWorkloads" -}}
{{- if or .Values.inUse.enabled .Values.hosted.enabled (include "berth.hostedBucket" .) }}true{{ end -}}
{{- end }}

{{- define "berth.hasUsers" -}}
{{- if or .Values.htpasswd.existingSecret .Values.htpasswd.lines }}true{{ end -}}
{{- end }}

{{/* Whether Berth sends requests to the API server. */}}
{{- define "berth.usesApiServer" -}}
{{- $accounts := .Values.auth.serviceAccounts -}}
{{- if or (include "berth.watchesWorkloads" .) (and $accounts.enabled (ne $accounts.method "published-keys")) }}true{{ end -}}
{{- end }}

{{- define "berth.usersSecret" -}}
{{ default (printf "%s-htpasswd" (include "berth.fullname" .)) .Values.htpasswd.existingSecret }}
{{- end }}

{{- define "berth.tlsSecret" -}}
{{ default (printf "%s-tls" (include "berth.fullname" .)) .Values.tls.existingSecret }}
{{- end }}

{{/* The provider as `//iam.googleapis.com/projects/…`, from any of its spellings. */}}
{{- define "berth.googleProvider" -}}
{{- with .Values.google.workloadIdentityProvider -}}
{{- $path := . | trimPrefix "https:" | trimPrefix "//" -}}
//{{ if hasPrefix "projects/" $path }}iam.googleapis.com/{{ end }}{{ $path }}
{{- end -}}
{{- end }}

{{/* The host by which clients outside the cluster reach Berth; empty if there is neither an Ingress nor a route. */}}
{{- define "berth.publicHost" -}}
{{- if .Values.ingress.enabled -}}
{{ .Values.ingress.host }}
{{- else if .Values.route.enabled -}}
{{ .Values.route.host }}
{{- end -}}
{{- end }}

{{/* Whether nodes reach Berth through the Ingress or the route, as other clients do. */}}
{{- define "berth.usesPublicHost" -}}
{{- if and (eq .Values.exposure.mode "service") (include "berth.publicHost" .) }}true{{ end -}}
{{- end }}

{{/* Whether the certificate that nodes see is not Berth's own. */}}
{{- define "berth.isTlsTerminated" -}}
{{- $passes := and .Values.route.enabled (eq .Values.route.kind "TLSRoute") (not .Values.ingress.enabled) -}}
{{- if or .Values.trust.server (and (include "berth.usesPublicHost" .) (not $passes)) }}true{{ end -}}
{{- end }}

{{/* The registry's host in image names. */}}
{{- define "berth.registry" -}}
{{- if include "berth.usesPublicHost" . -}}
{{ include "berth.publicHost" . }}
{{- else if eq .Values.exposure.mode "service" -}}
{{ include "berth.fullname" . }}.{{ include "berth.namespace" . }}.svc:{{ .Values.exposure.port }}
{{- else -}}
localhost:{{ .Values.exposure.port }}
{{- end -}}
{{- end }}

{{- define "berth.scheme" -}}
{{ ternary "https" "http" .Values.tls.enabled }}
{{- end }}

{{/* The URL at which a node's runtime reaches Berth; $(NODE_IP) is a variable of the pod. */}}
{{- define "berth.trustServer" -}}
{{- if .Values.trust.server -}}
{{ .Values.trust.server }}
{{- else if eq .Values.exposure.mode "mirror" -}}
{{ include "berth.scheme" . }}://{{ ternary "[$(NODE_IP)]" "$(NODE_IP)" (eq .Values.exposure.mirror.ipFamily "IPv6") }}:{{ .Values.exposure.port }}
{{- else if include "berth.usesPublicHost" . -}}
https://{{ include "berth.publicHost" . }}
{{- else -}}
{{ include "berth.scheme" . }}://{{ include "berth.registry" . }}
{{- end -}}
{{- end }}

{{/*
The Secret with the certificate authority that nodes must trust: the one of this release, unless another server
terminates TLS. Certificates of other issuers may be from public authorities, whose Secrets have no ca.crt.
*/}}
{{- define "berth.trustedSecret" -}}
{{- if .Values.trust.caSecret -}}
{{ .Values.trust.caSecret }}
{{- else if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef) (not (include "berth.isTlsTerminated" .)) -}}
{{ include "berth.tlsSecret" . }}
{{- end -}}
{{- end }}

{{- define "berth.mirrors" -}}
{{- if eq .Values.exposure.mode "mirror" -}}
{{- $hosts := .Values.exposure.mirror.hosts -}}
{{- if not $hosts -}}
{{- $hosts = list (.Values.upstream | trimPrefix "https://" | trimPrefix "http://" | trimSuffix "/") -}}
{{- end -}}
{{ $hosts | toJson }}
{{- else -}}
[]
{{- end -}}
{{- end }}

{{/*
The registry hosts in image pull secrets. The kubelet selects a credential by the host in the image name, also if a
mirror serves the image.
*/}}
{{- define "berth.pullServers" -}}
{{- if .Values.pullSecret.servers -}}
{{ .Values.pullSecret.servers | toJson }}
{{- else -}}
{{ concat (list (include "berth.registry" .)) (include "berth.mirrors" . | fromJsonArray) | toJson }}
{{- end -}}
{{- end }}

{{/* Bytes of a Kubernetes quantity such as 20Gi or 5G. */}}
{{- define "berth.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- mulf (float64 $number) (get $units $unit) | int64 -}}
{{- end }}

{{/* Milliseconds of a duration in berth.yaml, such as 5s, 1h30m or 0. */}}
{{- define "berth.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+$" $text -}}
{{ $text }}
{{- else -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-z]+" $text -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $sum = addf $sum (mulf (float64 (trimSuffix $unit .)) (get $units $unit)) -}}
{{- end -}}
{{ int64 $sum }}
{{- end -}}
{{- end }}

{{- define "berth.volumeSize" -}}
{{ ternary .Values.persistence.size .Values.storage.sizeLimit .Values.persistence.enabled }}
{{- end }}

{{/*
A tenth of the volume stays free for links, manifests and directories, which the cache does not count: the kubelet
evicts a pod that exceeds the limit of its volume. With a bucket of hosted repositories, pushes that are in progress need
room as well.
*/}}
{{- define "berth.cacheLimit" -}}
{{- if .Values.storage.cacheLimit -}}
{{ if kindIs "string" .Values.storage.cacheLimit }}{{ .Values.storage.cacheLimit | replace "k" "K" }}{{ else }}{{ int64 .Values.storage.cacheLimit }}{{ end }}B
{{- else -}}
{{- $tenths := ternary 7 9 (eq (include "berth.hostedBucket" .) "true") -}}
{{ div (mul (include "berth.bytes" (include "berth.volumeSize" .)) $tenths) 10485760 }}MiB
{{- end -}}
{{- end }}

{{/* An identity that a bucket needs is for `upstream` only if that is a registry of the same cloud. */}}
{{- define "berth.upstreamCredentials" -}}
{{- $host := (urlParse .Values.upstream).host -}}
{{- $forBuckets := include "berth.bucketIdentities" . | fromJsonArray -}}
{{- $google := or (regexMatch `(^|[.-])(gcr\.io|pkg\.dev)$` $host) (not (has "google" $forBuckets)) -}}
{{- $aws := or (regexMatch `^\d+\.dkr[.-]ecr|^(public\.ecr\.aws|ecr-public\.aws\.com)$` $host) (not (has "aws" $forBuckets)) -}}
{{- if .Values.upstreamCredentials -}}
{{ .Values.upstreamCredentials | toJson }}
{{- else if and $google (or .Values.google.workloadIdentityProvider .Values.google.gkeServiceAccount) -}}
{{ dict "type" "google" | toJson }}
{{- else if and $aws (or .Values.aws.roleArn .Values.aws.podIdentity .Values.aws.existingSecret) -}}
{{ (ternary (dict "type" "aws" "region" .Values.aws.region) (dict "type" "aws") (ne .Values.aws.region "")) | toJson }}
{{- else if .Values.azure.clientId -}}
{{ dict "type" "azure" | toJson }}
{{- else -}}
{{ dict "type" "anonymous" | toJson }}
{{- end -}}
{{- end }}

{{/*
berth.yaml: `config`, and the fields that the chart sets. An empty host means all addresses, of both families if there
are two.
*/}}
{{- define "berth.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $upstreams := default list $config.upstreams -}}
{{- if .Values.upstream -}}
{{- $first := dict "prefix" "" "url" .Values.upstream "credentials" (include "berth.upstreamCredentials" . | fromJson) -}}
{{- $upstreams = prepend $upstreams $first -}}
{{- end -}}
{{- $auth := default dict $config.auth -}}
{{- if include "berth.hasUsers" . -}}
{{- $_ := set $auth "htpasswd" "/etc/berth/auth/htpasswd" -}}
{{- end -}}
{{- with .Values.auth.serviceAccounts -}}
{{- if .enabled -}}
{{- $accounts := dict "audiences" (list .audience) "method" .method -}}
{{- if .issuer }}{{ $_ := set $accounts "issuer" .issuer }}{{ end -}}
{{- $_ := set $auth "serviceAccounts" $accounts -}}
{{- end -}}
{{- end -}}
{{- with include "berth.publicHost" . -}}
{{- $_ := set $config "hosts" (append (default list $config.hosts) . | uniq) -}}
{{- end -}}
{{- $storage := default dict $config.storage -}}
{{- $_ := set $storage "directory" "/var/lib/berth" -}}
{{- $_ := set $storage "cache" (merge (dict "maxSize" (include "berth.cacheLimit" .)) (default dict $storage.cache)) -}}
{{- if .Values.hosted.enabled -}}
{{- $_ := set $storage "hosted" (merge (dict "directory" "/var/lib/berth-hosted") (default dict $storage.hosted)) -}}
{{- else if not (or (default dict $storage.hosted).directory (include "berth.hostedBucket" .)) -}}
{{- /* An image that is pushed to an emptyDir would be lost with the pod. */ -}}
{{- $_ := set $config "hosted" list -}}
{{- end -}}
{{- if include "berth.watchesWorkloads" . -}}
{{- $inUse := merge (dict "kubernetes" true) (default dict $config.inUse) -}}
{{- if .Values.inUse.warmUp.enabled -}}
{{- $warmUp := default dict $inUse.warmUp -}}
{{- $mirrored := concat (default list $warmUp.mirrored) (include "berth.mirrors" . | fromJsonArray) | uniq -}}
{{- $_ := set $inUse "warmUp" (merge (dict "enabled" true "mirrored" $mirrored) $warmUp) -}}
{{- $_ := set $inUse "hosts" (append (default list $inUse.hosts) (include "berth.registry" .) | uniq) -}}
{{- end -}}
{{- $_ := set $config "inUse" $inUse -}}
{{- end -}}
{{- if .Values.peers.enabled -}}
{{- $peers := printf "%s-peers.%s.svc:30028" (include "berth.fullname" .) (include "berth.namespace" .) -}}
{{- $_ := set $config "replicas" (dict "addresses" (list $peers) "secretFile" "/etc/berth/peers/secret") -}}
{{- end -}}
{{- $shutdown := default dict $config.shutdown -}}
{{- /* `merge` would replace 0, so it is not used here. */ -}}
{{- range $key, $value := dict "delay" "10s" "deadline" "2m" -}}
{{- if not (hasKey $shutdown $key) }}{{ $_ := set $shutdown $key $value }}{{ end -}}
{{- end -}}
{{- $chosen := dict "upstreams" $upstreams "auth" $auth "storage" $storage "shutdown" $shutdown -}}
{{- $_ := set $chosen "listen" (printf "%s:%d" (ternary "localhost" "" (eq .Values.exposure.mode "hostNetwork")) (include "berth.containerPort" . | int)) -}}
{{- $_ := set $chosen "admin" (printf "%s:9026" (ternary .Values.exposure.hostNetwork.adminHost "" (eq .Values.exposure.mode "hostNetwork"))) -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $chosen "tls" (dict "certificate" "/etc/berth/tls/tls.crt" "key" "/etc/berth/tls/tls.key") -}}
{{- end -}}
{{ merge $chosen $config | toYaml }}
{{- end }}

{{- define "berth.googleCredentials" -}}
{{- $google := .Values.google -}}
{{- $credentials := dict
  "type" "external_account"
  "audience" (include "berth.googleProvider" .)
  "subject_token_type" "urn:ietf:params:oauth:token-type:jwt"
  "token_url" $google.tokenUrl
  "credential_source" (dict "file" "/etc/berth/google/token" "format" (dict "type" "text"))
-}}
{{- with $google.impersonate -}}
{{- $url := printf "%s/v1/projects/-/serviceAccounts/%s:generateAccessToken" ($google.impersonationUrl | trimSuffix "/") . -}}
{{- $_ := set $credentials "service_account_impersonation_url" $url -}}
{{- end -}}
{{ $credentials | toPrettyJson }}
{{- end }}
