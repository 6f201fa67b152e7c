{{/*
What no schema can say: values that are right by themselves, and wrong together. Each in a sentence that says what to
set instead.
*/}}
{{- define "berth.validate" -}}
{{- $v := .Values -}}
{{- $mode := $v.exposure.mode -}}
{{- $kind := include "berth.kind" . -}}
{{- $config := include "berth.config" . | fromYaml -}}
{{- $users := include "berth.hasUsers" . -}}
{{- $anonymous := eq (default "none" $config.auth.anonymous) "pull" -}}

{{- if not $v.image.repository -}}
{{- fail "image.repository is not set, and no image of Berth is published: build it and bring it to the nodes by `npm run image -- --load nodes` (then image.repository=localhost/berth and image.pullPolicy=Never), or push it to a registry that nodes can pull from without Berth by `npm run image -- --push REGISTRY/berth` (then image.repository=REGISTRY/berth)" -}}
{{- end -}}
{{- if regexMatch `^(localhost:[0-9]+|127\.[0-9.]+(:[0-9]+)?|\[::1\](:[0-9]+)?)/` $v.image.repository -}}
{{- fail (printf "image.repository: %s is Berth itself, which cannot pull its own image before it runs: use another registry, or images that are on the nodes (`npm run image -- --load nodes`)" $v.image.repository) -}}
{{- end -}}
{{- include "berth.refuseWithoutEffect" . -}}

{{- if and (ne $mode "hostNetwork") (not $users) (not $anonymous) -}}
{{- fail "whoever reaches the registry could pull what its credentials can: set htpasswd.existingSecret or htpasswd.lines, or config.auth.anonymous: pull if everybody may" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $at, $upstream := $config.upstreams -}}
{{- $prefix := default "" $upstream.prefix -}}
{{- if hasKey $seen $prefix -}}
{{- fail (printf "two upstreams have the prefix %q: `upstream` has the empty one, and each of config.upstreams needs its own" $prefix) -}}
{{- end -}}
{{- $_ := set $seen $prefix true -}}
{{- $type := default "anonymous" (default dict $upstream.credentials).type -}}
{{- if and $anonymous (not $users) (ne $type "anonymous") (ne (default "none" $upstream.anonymous) "pull") -}}
{{- fail (printf "nobody could pull from %s: there are no users, and what its credentials can read is not open to everybody; set htpasswd, or put it under config.upstreams with anonymous: pull" $upstream.url) -}}
{{- end -}}
{{- end -}}
{{- if and $v.htpasswd.existingSecret $v.htpasswd.lines -}}
{{- fail "htpasswd.existingSecret and htpasswd.lines are two ways to say the same: set one" -}}
{{- end -}}
{{- $identities := compact (list $v.google.workloadIdentityProvider $v.google.gkeServiceAccount) -}}
{{- if gt (len $identities) 1 -}}
{{- fail "google.workloadIdentityProvider and google.gkeServiceAccount are two ways to be the same account: set one (google.impersonate goes with the first)" -}}
{{- end -}}
{{- if and $v.google.impersonate (not $v.google.workloadIdentityProvider) -}}
{{- fail "google.impersonate needs google.workloadIdentityProvider; on GKE without it, set google.gkeServiceAccount" -}}
{{- end -}}
{{- if and $v.upstreamCredentials (not $v.upstream) -}}
{{- fail "upstreamCredentials are those of `upstream`, which is not set; others have theirs under config.upstreams" -}}
{{- end -}}

{{- if and (ne $kind "DaemonSet") (has $mode (list "hostPort" "hostNetwork")) -}}
{{- fail (printf "exposure.mode: %s has one listener on each node: leave kind empty, or set kind: DaemonSet" $mode) -}}
{{- end -}}
{{- if has (int $v.exposure.port) (list 9026 9027) -}}
{{- fail "exposure.port: 9026 is the admin listener and 9027 the trust agent's: two listeners on one port" -}}
{{- end -}}
{{- if and (eq $mode "mirror") (not $v.exposure.mirror.hosts) (not $v.upstream) -}}
{{- fail "exposure.mode: mirror needs exposure.mirror.hosts, the registries whose images come through Berth" -}}
{{- end -}}
{{- if and (eq $mode "mirror") $v.exposure.mirror.hosts -}}
{{- $known := list -}}
{{- range $config.upstreams -}}
{{- $known = append $known (.url | trimPrefix "https://" | trimPrefix "http://" | splitList "/" | first) -}}
{{- if eq .url "https://registry-1.docker.io" -}}{{- $known = append $known "docker.io" -}}{{- end -}}
{{- end -}}
{{- range $v.exposure.mirror.hosts -}}
{{- if not (has . $known) -}}
{{- fail (printf "exposure.mirror.hosts: there is no upstream with the host %s, so Berth would refuse its images" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.service.type "LoadBalancer") (ne $mode "service") -}}
{{- fail "service.type: LoadBalancer goes with exposure.mode: service only: it would open a node port of its own" -}}
{{- end -}}
{{- if and $v.ingress.enabled (eq $mode "hostNetwork") -}}
{{- fail "ingress.enabled: with exposure.mode: hostNetwork the registry listens on the nodes' loopback only, where no Ingress reaches it" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.host is missing" -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would both scrape the same pods: enable one" -}}
{{- end -}}
{{- if and (eq $mode "hostNetwork") (or $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled) (eq $v.exposure.hostNetwork.adminHost "127.0.0.1") -}}
{{- fail "metrics: Prometheus cannot reach the node's loopback: set exposure.hostNetwork.adminHost: 0.0.0.0" -}}
{{- end -}}

{{- if $v.persistence.enabled -}}
{{- if eq $kind "DaemonSet" -}}
{{- fail "persistence.enabled: a volume has one owner, and a DaemonSet many pods: use kind: Deployment with replicas: 1" -}}
{{- end -}}
{{- if or $v.autoscaling.enabled (gt (int $v.replicas) 1) -}}
{{- fail "persistence.enabled: a cache has one owner, as it keeps account of every byte: set replicas: 1 and no autoscaling" -}}
{{- end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $kind "DaemonSet") -}}
{{- fail "autoscaling.enabled: a DaemonSet has as many pods as there are nodes: set kind: Deployment, or autoscaling.enabled: false" -}}
{{- end -}}
{{- $size := int64 (include "berth.bytes" (include "berth.volumeSize" .)) -}}
{{- if $v.storage.cacheLimit -}}
{{- if ge (int64 (include "berth.bytes" $v.storage.cacheLimit)) $size -}}
{{- fail (printf "storage.cacheLimit: %s is not below %s, the size of the volume: a full cache would have the pod evicted" $v.storage.cacheLimit (include "berth.volumeSize" .)) -}}
{{- end -}}
{{- end -}}
{{- if lt $size 67108864 -}}
{{- fail (printf "%s is too small for a cache: at least 64Mi" (include "berth.volumeSize" .)) -}}
{{- end -}}
{{- $shutdown := add (include "berth.milliseconds" $config.shutdown.delay) (include "berth.milliseconds" $config.shutdown.deadline) -}}
{{- if ge (int64 $shutdown) (int64 (mul $v.terminationGracePeriodSeconds 1000)) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is not longer than config.shutdown.delay and deadline together (%s and %s): kubelet would kill running pulls" (int $v.terminationGracePeriodSeconds) (toString $config.shutdown.delay) (toString $config.shutdown.deadline)) -}}
{{- end -}}

{{- if and $v.tls.enabled (not $v.tls.existingSecret) (not $v.tls.certManager.enabled) -}}
{{- fail "tls.enabled needs tls.existingSecret or tls.certManager.enabled" -}}
{{- end -}}
{{- if and $v.tls.existingSecret $v.tls.certManager.enabled -}}
{{- fail "tls.existingSecret and tls.certManager are two certificates: set one" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.enabled) -}}
{{- fail "tls.certManager.enabled makes a certificate that nobody uses: set tls.enabled, too" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (eq $mode "mirror") (not $v.tls.certManager.ipAddresses) (not $v.trust.server) -}}
{{- fail "tls.certManager.ipAddresses: with exposure.mode: mirror nodes ask their own addresses, which the certificate must have" -}}
{{- end -}}

{{- $secret := $v.pullSecret -}}
{{- if and $secret.namespaces (not $secret.dockerconfigjson) (not (and $secret.username $secret.password)) -}}
{{- fail "pullSecret.namespaces: what the secrets are to say is missing: pullSecret.dockerconfigjson, or username and password" -}}
{{- end -}}
{{- if and $secret.dockerconfigjson (or $secret.username $secret.password) -}}
{{- fail "pullSecret.dockerconfigjson and pullSecret.username are two ways to say the same: set one" -}}
{{- end -}}
{{- if and (include "berth.trustedSecret" .) (include "berth.hasTrust" .) (hasPrefix "http://" (include "berth.trustServer" .)) -}}
{{- fail "trust.caSecret is for a server with https: set trust.server or tls.enabled" -}}
{{- end -}}
{{- if and (include "berth.hasTrust" .) (eq $mode "service") (not $v.ingress.enabled) (not $v.trust.server) -}}
{{- fail "trust.enabled: nodes do not resolve the names of Services: set ingress.enabled, trust.server, or another exposure.mode" -}}
{{- end -}}
{{- end }}
