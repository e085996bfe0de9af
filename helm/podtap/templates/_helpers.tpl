{{- define "podtap.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "podtap.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "podtap.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "podtap.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "podtap.agent.fullname" -}}{{ include "podtap.fullname" . }}-agent{{- end }}
{{- define "podtap.collector.fullname" -}}{{ include "podtap.fullname" . }}-collector{{- end }}

{{/* Labels that select pods: they never change. Takes a list of root and component. */}}
{{- define "podtap.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "podtap.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Takes a list of root and component. */}}
{{- define "podtap.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "podtap.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: podtap
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "podtap.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end }}
{{- end }}

{{- define "podtap.agent.serviceAccountName" -}}
{{- if .Values.agent.serviceAccount.create }}{{ default (include "podtap.agent.fullname" .) .Values.agent.serviceAccount.name }}
{{- else }}{{ default "default" .Values.agent.serviceAccount.name }}{{- end }}
{{- end }}

{{- define "podtap.collector.serviceAccountName" -}}
{{- if .Values.collector.serviceAccount.create }}{{ default (include "podtap.collector.fullname" .) .Values.collector.serviceAccount.name }}
{{- else }}{{ default "default" .Values.collector.serviceAccount.name }}{{- end }}
{{- end }}

{{/* Where agents and clients find the collector. */}}
{{- define "podtap.collector.address" -}}
{{ include "podtap.collector.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.collector.port }}
{{- end }}

{{- define "podtap.tls.enabled" -}}{{ if ne .Values.tls.mode "disabled" }}true{{ end }}{{- end }}

{{- define "podtap.tls.collectorSecret" -}}
{{- if eq .Values.tls.mode "secret" }}{{ required "tls.secret.collector is needed with tls.mode secret" .Values.tls.secret.collector }}
{{- else }}{{ include "podtap.collector.fullname" . }}-tls{{- end }}
{{- end }}

{{- define "podtap.tls.clientSecret" -}}
{{- if eq .Values.tls.mode "secret" }}{{ required "tls.secret.client is needed with tls.mode secret" .Values.tls.secret.client }}
{{- else }}{{ include "podtap.fullname" . }}-client-tls{{- end }}
{{- end }}

{{/* Names that the collector's certificate must hold, as a JSON list. */}}
{{- define "podtap.tls.names" -}}
{{- $name := include "podtap.collector.fullname" . -}}
{{- list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) "localhost" | toJson }}
{{- end }}

{{/* Settings as a file: what is empty is left out. Takes a map. */}}
{{- define "podtap.settings" -}}
{{- $settings := dict }}
{{- range $key, $value := . }}
{{- if or (kindIs "bool" $value) $value }}{{ $_ := set $settings $key $value }}{{ end }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{/* TLS, or leave to do without it. That also lets the admin port be plain text on the node's address, which TLS does by itself. */}}
{{- define "podtap.settings.tls" -}}
{{- if include "podtap.tls.enabled" . -}}
tls-ca: /etc/podtap/tls/ca.crt
tls-cert: /etc/podtap/tls/tls.crt
tls-key: /etc/podtap/tls/tls.key
{{- else -}}
insecure: true
{{- end }}
{{- end }}

{{- define "podtap.agent.usesRuntime" -}}
{{- if has (index .Values.agent.config "discovery") (list "auto" "cri") }}true{{ end }}
{{- end }}

{{- define "podtap.agent.entersPods" -}}
{{- if or .Values.agent.podNetns.enabled .Values.agent.podLoopback.enabled }}true{{ end }}
{{- end }}

{{- define "podtap.agent.config" -}}
{{- $agent := .Values.agent -}}
{{- $config := merge (deepCopy $agent.config) (include "podtap.settings.tls" . | fromYaml) }}
{{- $_ := set $config "collector" (include "podtap.collector.address" .) }}
{{- if include "podtap.agent.usesRuntime" . }}
{{- $_ := set $config "cri-endpoint" (printf "unix:///run/cri/%s" (base $agent.cri.socket)) }}
{{- end }}
{{- if $agent.podNetns.enabled }}{{ $_ := set $config "pod-netns" $agent.podNetns.mode }}{{ end }}
{{- if $agent.podLoopback.enabled }}{{ $_ := set $config "pod-loopback" true }}{{ end }}
{{- if and (eq (index $agent.config "discovery") "proc") (not $agent.proc.enabled) }}
{{- fail "agent.config.discovery proc needs agent.proc.enabled" }}
{{- end }}
{{- include "podtap.settings" $config }}
{{- end }}

{{- define "podtap.collector.config" -}}
{{- $collector := .Values.collector -}}
{{- $config := merge (deepCopy $collector.config) (include "podtap.settings.tls" . | fromYaml) }}
{{- $any := ternary "[::]" "0.0.0.0" (eq $collector.ipFamily "IPv6") }}
{{- $_ := set $config "listen" (printf "%s:%d" $any (int $collector.port)) }}
{{- $_ := set $config "admin-listen" (printf "%s:%d" $any (int $collector.adminPort)) }}
{{- $_ := set $config "store" "sqlite:/var/lib/podtap" }}
{{- include "podtap.settings" $config }}
{{- end }}
