import { stringify } from 'yaml'
import { conditionOf, type Registry, type RegistryDescription } from '../../install/install.ts'
import { printableText } from '../output/printable.ts'
import { formatTable } from '../output/table.ts'
import type { RegistryInfo } from './registry-info.ts'

type NamedInfo = RegistryInfo & { readonly name: string }

/** A Registry in a list. */
export type RegistrySummary = {
  readonly namespace: string
  readonly name: string
  /** In image names of pods. */
  readonly host: string | null
  readonly url: string | null
  /** Null: it is not known yet. */
  readonly ready: boolean | null
  readonly reason: string | null
  readonly message: string | null
}

export function summaryOf(registry: Registry): RegistrySummary {
  const { metadata, status } = registry
  const ready = conditionOf(registry, 'Ready')
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    host: status.host ?? null,
    url: status.url ?? null,
    ready: ready === undefined || ready.status === 'Unknown' ? null : ready.status === 'True',
    reason: ready?.reason ?? null,
    message: ready?.message ?? null,
  }
}

export function registryTable(
  registries: readonly RegistrySummary[],
  { hasNamespaces }: { readonly hasNamespaces: boolean },
): string {
  const rows = registries.map(({ namespace, name, host, ready, reason }) => [
    ...(hasNamespaces ? [namespace] : []),
    name,
    host ?? '',
    readyText(ready),
    reason ?? '',
  ])
  const header = [...(hasNamespaces ? ['NAMESPACE'] : []), 'NAME', 'HOST', 'READY', 'REASON']
  return formatTable(header, rows)
}

export function infoText({ name, host, status, answers, server, features }: NamedInfo): string {
  const state = answers ? 'answers, and accepts the login' : `answered ${status} to GET /v2/`
  return [
    `Registry ${name} ${state}`,
    `host in image names: ${host}`,
    ...(server === null ? [] : [`server: ${printableText(server)}`]),
    ...Object.entries(features).map(([feature, has]) => `${feature}: ${has}`),
  ].join('\n')
}

export function describeText({ registry, pods, events }: RegistryDescription): string {
  const { metadata, spec, status } = registry
  const conditions = (status.conditions ?? []).map(({ type, reason, message, ...condition }) => [
    type,
    conditionOf(registry, type) === undefined ? 'of an earlier spec' : condition.status,
    reason,
    message,
  ])
  const containers = pods.map(({ name, phase, node = '', restarts, trouble = 'ready' }) => [
    ...[name, phase, node, String(restarts)],
    trouble,
  ])
  const happened = events.map(({ type, reason, involvedObject, message }) => [
    ...[type, reason, `${involvedObject.kind} ${involvedObject.name}`],
    message,
  ])
  const sections = [
    `Registry ${metadata.name} in namespace ${metadata.namespace}`,
    `host in image names: ${status.host ?? 'not known yet'}\nreached by its surrogate at: ${status.url ?? 'not known yet'}`,
    `spec:\n${indented(printableText(stringify(spec)))}`,
    section('conditions', ['TYPE', 'STATUS', 'REASON', 'MESSAGE'], conditions),
    section('surrogate', ['POD', 'PHASE', 'NODE', 'RESTARTS', 'STATE'], containers),
    section('events', ['TYPE', 'REASON', 'OBJECT', 'MESSAGE'], happened),
  ]
  return sections.join('\n\n')
}

function section(
  title: string,
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  return rows.length === 0 ? `${title}: none` : `${title}:\n${indented(formatTable(header, rows))}`
}

function indented(text: string): string {
  return text.trimEnd().replace(/^/gm, '  ')
}

function readyText(ready: boolean | null): string {
  if (ready === null) return 'Unknown'
  return ready ? 'True' : 'False'
}
