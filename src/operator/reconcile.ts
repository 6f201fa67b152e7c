import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { ApiClient } from '../kubernetes/kubernetes.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { berthServices } from './berth-services.ts'
import type { Events } from './events.ts'
import { type Place, placeOf } from './place.ts'
import { refusal } from './refusal.ts'
import type { Registry } from './registry-resource.ts'
import { accepted, type Finding, type Findings, notKnown, refused, statusOf } from './status.ts'
import {
  type SurrogateOptions,
  surrogateDeployment,
  surrogateName,
} from './surrogate-deployment.ts'
import { findPod, type SurrogatePod } from './surrogate-pod.ts'

const finding = z.object({
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
})
/** What `/status` of a surrogate says. */
export const surrogateReport = z.object({ reachable: finding, authenticated: finding })
export type SurrogateReport = z.output<typeof surrogateReport>

export type Reconciling = SurrogateOptions & {
  readonly client: ApiClient
  readonly namespace: string | undefined
  readonly find: (key: string) => Registry | undefined
  readonly podsOf: (registry: Registry) => readonly SurrogatePod[]
  readonly readReport: (podAddress: string) => Promise<SurrogateReport>
  readonly events: Events
  readonly telemetry: Telemetry
  readonly interval: number
}

/** Milliseconds until the next look at a Registry that is not ready, such as one whose surrogate starts. */
const soon = 3000
const maxAnswer = 4 * 1024 * 1024
/** Of an object, who changed what (kubernetes.io, "Server-Side Apply"). */
const fieldManager = 'berth-operator'
const applyType = 'application/apply-patch+yaml'
const mergeType = 'application/merge-patch+json'

const ownerReferences = z.array(z.object({ uid: z.string() })).default([])
const existing = z.object({ metadata: z.object({ ownerReferences }) })

/** One turn of a Registry. Milliseconds until the next one; undefined: it is gone. */
export function createReconcile(parts: Reconciling): (key: string) => Promise<number | undefined> {
  const { client, telemetry, interval } = parts
  return async (key) => {
    const registry = parts.find(key)
    if (registry === undefined || registry.metadata.deletionTimestamp !== undefined) {
      parts.events.forget(key)
      return undefined
    }
    const found = placeOf(registry, await berthServices(parts, registry))
    const place = 'reason' in found ? undefined : found
    const findings =
      'reason' in found ? refused(found) : await keepSurrogate(parts, registry, found)
    const surrogate = surrogateName(registry.metadata)
    const status = statusOf({ registry, findings, place, surrogate, now: new Date() })
    if (!isDeepStrictEqual(status, registry.status)) {
      await writeStatus(client, registry, status)
      await parts.events.onStatus(registry, status)
      const ready = status.conditions?.find(({ type }) => type === 'Ready')
      telemetry.log.info(
        { registry: key, ready: ready?.status, reason: ready?.reason },
        'status changed',
      )
    }
    const isReady = Object.values(findings).every((each: Finding) => each.status === 'True')
    return (isReady ? interval : soon) * (0.9 + 0.2 * Math.random())
  }
}

async function keepSurrogate(
  parts: Reconciling,
  registry: Registry,
  place: Place,
): Promise<Findings> {
  const { client } = parts
  const { deployment, config } = surrogateDeployment(registry, place, parts)
  const path = pathOf(deployment.metadata)
  if (await isForeign(client, path, registry)) {
    const { name } = deployment.metadata
    const message = `there is a Deployment ${name} that does not belong to this Registry: delete it, or give the Registry another name`
    return refused({ reason: 'NameTaken', message })
  }
  const query = `?fieldManager=${fieldManager}&force=true`
  const { status, text } = await client.patch(`${path}${query}`, deployment, {
    type: applyType,
    maxBytes: maxAnswer,
  })
  if (status === 403 || status === 422)
    return refused({ reason: 'SurrogateRefused', message: refusal(text) })
  if (status !== 200 && status !== 201) throw new Error(refusal(text))
  const { pod, deployed } = findPod(parts.podsOf(registry), config)
  return { accepted, deployed, ...(await askSurrogate(parts, pod)) }
}

async function askSurrogate(
  { readReport }: Reconciling,
  pod: SurrogatePod | undefined,
): Promise<SurrogateReport> {
  const address = pod?.status.podIP
  if (pod === undefined || address === undefined) {
    const unknown = notKnown('the surrogate does not run: see the condition Deployed')
    return { reachable: unknown, authenticated: unknown }
  }
  try {
    return await readReport(address)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const unknown = notKnown(
      `the operator cannot ask the surrogate's pod ${pod.metadata.name} at ${address}: ${reason}; see whether a NetworkPolicy keeps it from port 9026`,
    )
    return { reachable: unknown, authenticated: unknown }
  }
}

/** Whether a Deployment of this name exists that this operator did not create. It is not changed. */
async function isForeign(
  client: ApiClient,
  path: string,
  { metadata }: Registry,
): Promise<boolean> {
  const { status, text } = await client.get(path, { maxBytes: maxAnswer })
  if (status === 404) return false
  if (status !== 200) throw new Error(refusal(text))
  const { ownerReferences } = existing.parse(JSON.parse(text)).metadata
  return !ownerReferences.some(({ uid }) => uid === metadata.uid)
}

async function writeStatus(
  client: ApiClient,
  { metadata }: Registry,
  status: Registry['status'],
): Promise<void> {
  const { namespace, name, uid } = metadata
  const path = `/apis/berth.dev/v1alpha1/namespaces/${namespace}/registries/${name}/status?fieldManager=${fieldManager}`
  // The uid: another Registry of the same name has a status of its own.
  const patch = { metadata: { uid }, status: { host: null, url: null, ...status } }
  const answer = await client.patch(path, patch, { type: mergeType, maxBytes: maxAnswer })
  if (answer.status !== 200 && answer.status !== 404) throw new Error(refusal(answer.text))
}

function pathOf({
  namespace,
  name,
}: {
  readonly namespace: string
  readonly name: string
}): string {
  return `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`
}
