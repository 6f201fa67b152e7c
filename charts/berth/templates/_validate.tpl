{{/*
Rejects values that are valid alone and contradict each other, which a schema cannot express. Each message names the
value to set instead.
*/}}
{{- define "berth.validate" -}}
{{- $v := .Values -}}
{{- $mode := $v.exposure.mode -}}
{{- $kind := include "berth.kind" . -}}
{{- $config := include "berth.config" . | fromYaml -}}
{{- $accounts := $v.auth.serviceAccounts -}}
{{- $users := or (include "berth.hasUsers" .) $accounts.enabled -}}
{{- $anonymous := eq (default "none" $config.auth.anonymous) "pull" -}}
{{- $open := eq (default "none" $config.auth.anonymous) "rules" -}}

{{- if not $v.image.repository -}}
{{- fail "image.repository is not set, and no image of Berth is published: build it and copy it to the nodes with `npm run image -- --load nodes` (then set image.repository=localhost/berth and image.pullPolicy=Never), or push it to a registry that nodes can pull from without Berth with `npm run image -- --push REGISTRY/berth` (then set image.repository=REGISTRY/berth)" -}}
{{- end -}}
{{- if regexMatch `^(localhost:[0-9]+|127\.[0-9.]+(:[0-9]+)?|\[::1\](:[0-9]+)?)/` $v.image.repository -}}
{{- fail (printf "image.repository: %s is served by Berth itself, which must run before anything can be pulled from it: use another registry, or copy the image to the nodes (`npm run image -- --load nodes`)" $v.image.repository) -}}
{{- end -}}
{{- include "berth.refuseWithoutEffect" . -}}
{{- if and $v.peers.enabled (eq $mode "hostNetwork") -}}
{{- fail "peers.enabled: with exposure.mode: hostNetwork the port would be open on the nodes, where no NetworkPolicy protects it: use another exposure.mode" -}}
{{- end -}}

{{- if and (ne $mode "hostNetwork") (not $users) (not $anonymous) (not $open) -}}
{{- fail "without users, every client could pull whatever Berth's credentials can read: set htpasswd.existingSecret, htpasswd.lines or auth.serviceAccounts.enabled, or set config.auth.anonymous: pull to allow anonymous pulls" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $at, $upstream := $config.upstreams -}}
{{- $prefix := default "" $upstream.prefix -}}
{{- if hasKey $seen $prefix -}}
{{- fail (printf "two upstreams have the prefix %q: `upstream` has the empty prefix; give each entry of config.upstreams a different one" $prefix) -}}
{{- end -}}
{{- $_ := set $seen $prefix true -}}
{{- $type := default "anonymous" (default dict $upstream.credentials).type -}}
{{- if and $anonymous (not $users) (ne $type "anonymous") (ne (default "none" $upstream.anonymous) "pull") -}}
{{- fail (printf "no client could pull from %s: there are no users, and anonymous pulls with its credentials are not allowed; set htpasswd, or configure it under config.upstreams with anonymous: pull" $upstream.url) -}}
{{- end -}}
{{- end -}}
{{- if $accounts.enabled -}}
{{- if regexMatch `^(https://)?kubernetes\.default(\.svc|$)` $accounts.audience -}}
{{- fail "auth.serviceAccounts.audience is the API server's own, which the tokens of all pods have: choose another, such as berth" -}}
{{- end -}}
{{- if and (eq $accounts.method "published-keys") (not (hasPrefix "https://" $accounts.issuer)) -}}
{{- fail "auth.serviceAccounts.method: published-keys needs auth.serviceAccounts.issuer, the https:// URL at which the issuer publishes its keys" -}}
{{- end -}}
{{- if and (eq $accounts.method "token-review") $accounts.issuer -}}
{{- fail "auth.serviceAccounts.issuer has no effect with auth.serviceAccounts.method: token-review, where the API server decides" -}}
{{- end -}}
{{- if not $config.auth.access -}}
{{- fail "auth.serviceAccounts.enabled: without rules, service accounts may do nothing: add rules with groups such as system:serviceaccounts:NAMESPACE to config.auth.access" -}}
{{- end -}}
{{- end -}}
{{- if and $v.htpasswd.existingSecret $v.htpasswd.lines -}}
{{- fail "htpasswd.existingSecret and htpasswd.lines exclude each other: set one of them" -}}
{{- end -}}
{{- $identities := compact (list $v.google.workloadIdentityProvider $v.google.gkeServiceAccount) -}}
{{- if gt (len $identities) 1 -}}
{{- fail "google.workloadIdentityProvider and google.gkeServiceAccount exclude each other: set one of them (google.impersonate needs the first)" -}}
{{- end -}}
{{- if and $v.aws.existingSecret (or $v.aws.roleArn $v.aws.podIdentity) -}}
{{- fail "aws.existingSecret excludes aws.roleArn and aws.podIdentity, because keys take precedence over a role: set one of them" -}}
{{- end -}}
{{- if and $v.google.impersonate (not $v.google.workloadIdentityProvider) -}}
{{- fail "google.impersonate needs google.workloadIdentityProvider; on GKE, set google.gkeServiceAccount instead" -}}
{{- end -}}
{{- if and $v.upstreamCredentials (not $v.upstream) -}}
{{- fail "upstreamCredentials needs `upstream`, which is not set; set the credentials of other upstreams under config.upstreams" -}}
{{- end -}}

{{- if and (ne $kind "DaemonSet") (has $mode (list "hostPort" "hostNetwork")) -}}
{{- fail (printf "exposure.mode: %s needs one pod on each node: leave kind empty, or set kind: DaemonSet" $mode) -}}
{{- end -}}
{{- if has (int $v.exposure.port) (list 9026 9027) -}}
{{- fail "exposure.port: port 9026 is used by the admin listener and 9027 by the trust agent: set another port" -}}
{{- end -}}
{{- if and (eq $mode "mirror") (not $v.exposure.mirror.hosts) (not $v.upstream) -}}
{{- fail "exposure.mode: mirror needs exposure.mirror.hosts, the registries whose images nodes pull through Berth" -}}
{{- end -}}
{{- if and (eq $mode "mirror") $v.exposure.mirror.hosts -}}
{{- $known := list -}}
{{- range $config.upstreams -}}
{{- $known = append $known (.url | trimPrefix "https://" | trimPrefix "http://" | splitList "/" | first) -}}
{{- if eq .url "https://registry-1.docker.io" -}}{{- $known = append $known "docker.io" -}}{{- end -}}
{{- end -}}
{{- range $v.exposure.mirror.hosts -}}
{{- if not (has . $known) -}}
{{- fail (printf "exposure.mirror.hosts: no upstream has the host %s, so Berth could not serve its images: add it to config.upstreams" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.service.type "LoadBalancer") (ne $mode "service") -}}
{{- fail "service.type: LoadBalancer needs exposure.mode: service, because a LoadBalancer opens a second port on the nodes" -}}
{{- end -}}
{{- if and $v.ingress.enabled (eq $mode "hostNetwork") -}}
{{- fail "ingress.enabled: with exposure.mode: hostNetwork the registry listens on the nodes' loopback addresses only, which an Ingress cannot reach: use another exposure.mode" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- if $v.route.enabled -}}
{{- if eq $mode "hostNetwork" -}}
{{- fail "route.enabled: with exposure.mode: hostNetwork the registry listens on the nodes' loopback addresses only, which a Gateway cannot reach: use another exposure.mode" -}}
{{- end -}}
{{- if not (and $v.route.host $v.route.parentRefs) -}}
{{- fail "route.enabled needs route.host, and in route.parentRefs the Gateway to which the route is attached" -}}
{{- end -}}
{{- if and $v.ingress.enabled (ne $v.ingress.host $v.route.host) -}}
{{- fail "ingress.host and route.host differ, but the registry has one name: set both to it, or disable one" -}}
{{- end -}}
{{- if and (eq $v.route.kind "TLSRoute") (not $v.tls.enabled) -}}
{{- fail "route.kind: TLSRoute needs tls.enabled, because the Gateway passes TLS through to Berth" -}}
{{- end -}}
{{- if and (eq $v.route.kind "HTTPRoute") $v.tls.enabled (not $v.route.caConfigMap) -}}
{{- fail "route.enabled: with tls.enabled, the Gateway needs the authority of Berth's certificate: set route.caConfigMap, or route.kind: TLSRoute to pass TLS through, or tls.enabled: false" -}}
{{- end -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would both scrape the same pods: enable one of them" -}}
{{- end -}}
{{- if and (eq $mode "hostNetwork") (or $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled) (eq $v.exposure.hostNetwork.adminHost "127.0.0.1") -}}
{{- fail "metrics: Prometheus cannot reach the nodes' loopback addresses, where metrics are served: set exposure.hostNetwork.adminHost: 0.0.0.0" -}}
{{- end -}}

{{- if $v.persistence.enabled -}}
{{- if eq $kind "DaemonSet" -}}
{{- fail "persistence.enabled: only one pod can use a cache volume, and a DaemonSet has one pod on each node: set kind: Deployment and replicas: 1" -}}
{{- end -}}
{{- if or $v.autoscaling.enabled (gt (int $v.replicas) 1) -}}
{{- fail "persistence.enabled: only one pod can use a cache volume: set replicas: 1 and autoscaling.enabled: false" -}}
{{- end -}}
{{- end -}}
{{- if include "berth.hostedBucket" . -}}
{{- if $v.hosted.enabled -}}
{{- fail "hosted.enabled creates a volume, but config.storage.hosted.bucket has the repositories: set one of them" -}}
{{- end -}}
{{- $several := or (eq $kind "DaemonSet") $v.autoscaling.enabled (gt (int $v.replicas) 1) -}}
{{- if and $several (not $v.peers.enabled) (not $config.storage.hosted.readOnly) (ne $mode "hostNetwork") -}}
{{- fail "config.storage.hosted.bucket: the requests of a push reach several pods, and only one has the bytes that were sent: set peers.enabled, by which pods continue each other's uploads, or one replica" -}}
{{- end -}}
{{- end -}}
{{- if $v.hosted.enabled -}}
{{- if eq $kind "DaemonSet" -}}
{{- fail "hosted.enabled: only one pod can write to the volume of hosted repositories, and a DaemonSet has one pod on each node: use another exposure.mode, or leave kind empty" -}}
{{- end -}}
{{- if or $v.autoscaling.enabled (gt (int $v.replicas) 1) -}}
{{- fail "hosted.enabled: only one pod can write to the volume of hosted repositories: set replicas: 1 and autoscaling.enabled: false; for several replicas, set config.storage.hosted.bucket instead of hosted.enabled, or install a second release that has this one as an upstream with push: true" -}}
{{- end -}}
{{- if and (eq $kind "Deployment") (has "ReadWriteMany" $v.hosted.accessModes) -}}
{{- fail "hosted.accessModes: with ReadWriteMany, the pods of a Deployment could write to the volume from two nodes at once: leave kind empty, which creates a StatefulSet" -}}
{{- end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $kind "DaemonSet") -}}
{{- fail "autoscaling.enabled: a DaemonSet has one pod on each node and cannot be scaled: set kind: Deployment, or autoscaling.enabled: false" -}}
{{- end -}}
{{- $size := int64 (include "berth.bytes" (include "berth.volumeSize" .)) -}}
{{- if $v.storage.cacheLimit -}}
{{- if ge (int64 (include "berth.bytes" $v.storage.cacheLimit)) $size -}}
{{- fail (printf "storage.cacheLimit: %s must be less than the volume's size, %s: otherwise a full cache would cause the pod to be evicted" $v.storage.cacheLimit (include "berth.volumeSize" .)) -}}
{{- end -}}
{{- end -}}
{{- if lt $size 67108864 -}}
{{- fail (printf "the cache volume of %s is too small: set at least 64Mi" (include "berth.volumeSize" .)) -}}
{{- end -}}
{{- $shutdown := add (include "berth.milliseconds" $config.shutdown.delay) (include "berth.milliseconds" $config.shutdown.deadline) -}}
{{- if ge (int64 $shutdown) (int64 (mul $v.terminationGracePeriodSeconds 1000)) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d must be longer than config.shutdown.delay and config.shutdown.deadline together (%s and %s): otherwise the kubelet would kill the pod during pulls" (int $v.terminationGracePeriodSeconds) (toString $config.shutdown.delay) (toString $config.shutdown.deadline)) -}}
{{- end -}}

{{- if and $v.tls.enabled (not $v.tls.existingSecret) (not $v.tls.certManager.enabled) -}}
{{- fail "tls.enabled needs tls.existingSecret or tls.certManager.enabled" -}}
{{- end -}}
{{- if and $v.tls.existingSecret $v.tls.certManager.enabled -}}
{{- fail "tls.existingSecret and tls.certManager.enabled exclude each other: set one of them" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.enabled) -}}
{{- fail "tls.certManager.enabled creates a certificate that is not used: set tls.enabled as well" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (eq $mode "mirror") (not $v.tls.certManager.ipAddresses) (not $v.trust.server) -}}
{{- fail "tls.certManager.ipAddresses: with exposure.mode: mirror, nodes reach Berth at their own addresses: list them here, so that the certificate is valid for them" -}}
{{- end -}}

{{- if and $v.spool.enabled (not (and $v.spool.user $v.spool.passwordSecret)) -}}
{{- fail "spool.enabled needs spool.user and spool.passwordSecret: the spooler logs in as a user of Berth" -}}
{{- end -}}
{{- if and $v.spool.enabled (semverCompare "<1.29-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "spool.enabled needs Kubernetes 1.29, which has native sidecars; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and $v.spool.enabled (include "berth.isHostNetwork" .) -}}
{{- fail "spool.enabled: on the host network, the spooler's port would be open on each node; choose another exposure.mode" -}}
{{- end -}}
{{- if and $v.spool.enabled (regexMatch "^local(/|$)" $v.spool.prefix) (not $v.hosted.enabled) (not (include "berth.hostedBucket" .)) -}}
{{- fail "spool.enabled needs hosted.enabled or config.storage.hosted.bucket, or as spool.prefix that of an upstream with push: true" -}}
{{- end -}}
{{- $spoolVolume := and $v.spool.enabled $v.spool.persistence.enabled -}}
{{- if and $spoolVolume (not (has "ReadWriteMany" $v.spool.persistence.accessModes)) (or (eq $kind "DaemonSet") $v.autoscaling.enabled (gt (int $v.replicas) 1)) -}}
{{- fail "spool.persistence: several pods share a volume only with accessModes: [ReadWriteMany]; or set replicas: 1 and autoscaling.enabled: false" -}}
{{- end -}}
{{- if and $v.spool.enabled $v.tls.existingSecret (not $v.spool.tls.caSecret) (not $v.spool.tls.serverName) -}}
{{- fail "spool.enabled with tls.existingSecret: set spool.tls.caSecret to the Secret with the ca.crt of the authority, or, for a certificate of a public one, spool.tls.serverName to its name" -}}
{{- end -}}

{{- if and $v.trust.credentialProvider (not (and $accounts.enabled $accounts.kubelets)) -}}
{{- fail "trust.credentialProvider needs auth.serviceAccounts.enabled and auth.serviceAccounts.kubelets: otherwise kubelets get no tokens that Berth accepts" -}}
{{- end -}}

{{- $secret := $v.pullSecret -}}
{{- if and $secret.namespaces (not $secret.dockerconfigjson) (not (and $secret.username $secret.password)) -}}
{{- fail "pullSecret.namespaces needs the content of the Secrets: set pullSecret.dockerconfigjson, or pullSecret.username and pullSecret.password" -}}
{{- end -}}
{{- if and $secret.dockerconfigjson (or $secret.username $secret.password) -}}
{{- fail "pullSecret.dockerconfigjson and pullSecret.username exclude each other: set one of them" -}}
{{- end -}}
{{- if and (include "berth.trustedSecret" .) (include "berth.hasTrust" .) (hasPrefix "http://" (include "berth.trustServer" .)) -}}
{{- fail "trust.caSecret has no effect, because nodes reach Berth over plain HTTP: set tls.enabled, or an https:// URL as trust.server" -}}
{{- end -}}
{{- if and (include "berth.hasTrust" .) (eq $mode "service") (not (include "berth.publicHost" .)) (not $v.trust.server) -}}
{{- fail "trust.enabled: nodes cannot resolve the names of Services: set ingress.enabled, route.enabled, trust.server, or another exposure.mode" -}}
{{- end -}}
{{- end }}
