{{/*
Rejects values that have no effect in combination with the others. Sections with an `enabled` field may have values
while they are disabled.
*/}}
{{- define "berth.refuseWithoutEffect" -}}
{{- $v := .Values -}}
{{- $mode := $v.exposure.mode -}}
{{- $types := list -}}
{{- range (include "berth.config" . | fromYaml).upstreams -}}
{{- $types = append $types (default "anonymous" (default dict .credentials).type) -}}
{{- end -}}

{{- $used := concat $types (include "berth.bucketIdentities" . | fromJsonArray) -}}
{{- $buckets := dict "google" ", and no bucket has type gcs" "aws" ", and no bucket has type s3" "azure" "" -}}
{{- $identities := dict
  "google.workloadIdentityProvider" (list "google" $v.google.workloadIdentityProvider)
  "google.gkeServiceAccount" (list "google" $v.google.gkeServiceAccount)
  "aws.roleArn" (list "aws" $v.aws.roleArn)
  "aws.podIdentity" (list "aws" $v.aws.podIdentity)
  "aws.existingSecret" (list "aws" $v.aws.existingSecret)
  "azure.clientId" (list "azure" $v.azure.clientId)
-}}
{{- range $value, $pair := $identities -}}
{{- if and (last $pair) (not (has (first $pair) $used)) -}}
{{- fail (printf "%s has no effect: no upstream has credentials of type %s%s; set upstream, or credentials: {type: %s} for an entry of config.upstreams" $value (first $pair) (get $buckets (first $pair)) (first $pair)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.aws.region (not (has "aws" $types)) -}}
{{- fail "aws.region has no effect: no upstream has credentials of type aws; a bucket has a region of its own under config" -}}
{{- end -}}
{{- if and $v.aws.region $v.upstreamCredentials -}}
{{- fail "aws.region has no effect together with upstreamCredentials: set upstreamCredentials.region" -}}
{{- end -}}
{{- if and $v.azure.tenantId (not $v.azure.clientId) -}}
{{- fail "azure.tenantId has no effect without azure.clientId" -}}
{{- end -}}

{{- $secret := $v.pullSecret -}}
{{- if and (not $secret.namespaces) (or $secret.username $secret.password $secret.dockerconfigjson $secret.servers) -}}
{{- fail "pullSecret has no effect without pullSecret.namespaces: list the namespaces in which to create the Secret" -}}
{{- end -}}
{{- if and $v.serviceAccount.annotations (not $v.serviceAccount.create) -}}
{{- fail "serviceAccount.annotations has no effect with serviceAccount.create: false: annotate the existing ServiceAccount" -}}
{{- end -}}
{{- if and $v.inUse.warmUp.enabled (not (include "berth.watchesWorkloads" .)) -}}
{{- fail "inUse.warmUp.enabled has no effect without inUse.enabled, which watches the workloads" -}}
{{- end -}}
{{- if and $v.exposure.mirror.hosts (ne $mode "mirror") -}}
{{- fail (printf "exposure.mirror.hosts has no effect with exposure.mode: %s: set exposure.mode: mirror" $mode) -}}
{{- end -}}
{{- if and (ne $v.exposure.hostNetwork.adminHost "127.0.0.1") (ne $mode "hostNetwork") -}}
{{- fail (printf "exposure.hostNetwork.adminHost has no effect with exposure.mode: %s" $mode) -}}
{{- end -}}
{{- if and $v.service.loadBalancerSourceRanges (ne $v.service.type "LoadBalancer") -}}
{{- fail "service.loadBalancerSourceRanges has no effect without service.type: LoadBalancer" -}}
{{- end -}}
{{- if and (ne $v.service.externalTrafficPolicy "Cluster") (not (has $mode (list "nodePort" "mirror"))) (ne $v.service.type "LoadBalancer") -}}
{{- fail (printf "service.externalTrafficPolicy has no effect with exposure.mode: %s, which opens no NodePort" $mode) -}}
{{- end -}}
{{- if and $v.route.enabled (eq $v.route.kind "TLSRoute") (or $v.route.timeouts $v.route.caConfigMap) -}}
{{- fail "route.timeouts and route.caConfigMap have no effect with route.kind: TLSRoute, with which the Gateway sees no requests" -}}
{{- end -}}
{{- if and $v.route.enabled $v.route.caConfigMap (not $v.tls.enabled) -}}
{{- fail "route.caConfigMap has no effect without tls.enabled" -}}
{{- end -}}
{{- $hosted := default dict (default dict $v.config.storage).hosted -}}
{{- if and $v.config.hosted (not $v.hosted.enabled) (not $hosted.directory) (not (include "berth.hostedBucket" .)) -}}
{{- fail "config.hosted has no effect without hosted.enabled or config.storage.hosted.bucket: repositories on an emptyDir would be lost with the pod" -}}
{{- end -}}
{{- if and (or $v.spool.tls.caSecret $v.spool.tls.serverName) $v.spool.enabled (not $v.tls.enabled) -}}
{{- fail "spool.tls has no effect without tls.enabled" -}}
{{- end -}}
{{- if and $v.storage.medium $v.persistence.enabled -}}
{{- fail "storage.medium has no effect with persistence.enabled: the cache is on the PersistentVolume" -}}
{{- end -}}
{{- end }}
