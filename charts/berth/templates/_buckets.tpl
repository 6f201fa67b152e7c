{{/* Buckets are configured under `config`. What else the chart has to know of them is here. */}}

{{/* Whether hosted repositories are in a bucket. */}}
{{- define "berth.hostedBucket" -}}
{{- if (default dict (default dict .Values.config.storage).hosted).bucket }}true{{ end -}}
{{- end }}

{{/* The buckets of the cache and of hosted repositories, as a list. */}}
{{- define "berth.buckets" -}}
{{- $storage := default dict .Values.config.storage -}}
{{ compact (list (default dict $storage.cache).bucket (default dict $storage.hosted).bucket) | toJson }}
{{- end }}

{{/* The clouds whose identities the buckets need, as types of credentials. */}}
{{- define "berth.bucketIdentities" -}}
{{- $types := list -}}
{{- range include "berth.buckets" . | fromJsonArray -}}
{{- $types = append $types (get (dict "s3" "aws" "gcs" "google") (default "" .type)) -}}
{{- end -}}
{{ $types | uniq | toJson }}
{{- end }}

{{/* The ports of the buckets' endpoints, as a list. */}}
{{- define "berth.bucketPorts" -}}
{{- $ports := list -}}
{{- range include "berth.buckets" . | fromJsonArray -}}
{{- with .endpoint -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- $ports = append $ports (default (ternary 80 443 (hasPrefix "http://" .)) $port | int) -}}
{{- end -}}
{{- end -}}
{{ without ($ports | uniq) 443 | toJson }}
{{- end }}
