{{/* A PersistentVolumeClaim. Arguments: root, name, and the values of its section. */}}
{{- define "berth.claim" -}}
{{- $annotations := deepCopy .values.annotations -}}
{{- if .values.keep }}{{ $_ := set $annotations "helm.sh/resource-policy" "keep" }}{{ end -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  namespace: {{ include "berth.namespace" .root }}
  labels:
    {{- include "berth.labels" .root | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  accessModes:
    {{- toYaml .values.accessModes | nindent 4 }}
  {{- with .values.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .values.size }}
{{- end }}
