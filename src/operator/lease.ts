import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { ApiClient } from '../kubernetes/kubernetes.ts'

export interface Leadership {
  /** Whether this process may work at the moment. */
  isLeader(): boolean
  /** Resolves when it may for the first time. Rejects if the operator is stopped before. */
  readonly elected: Promise<void>
  /** Resolves when it no longer may. */
  readonly lost: Promise<void>
  /** Gives the Lease back, so that another replica need not wait. */
  close(): Promise<void>
}

type Log = Readonly<Record<'info' | 'warn', (fields: object, message: string) => void>>

type LeaseOptions = {
  readonly client: ApiClient
  readonly namespace: string
  readonly name: string
  /** Of this process. */
  readonly identity: string
  readonly log: Log
  /** Milliseconds without a renewal after which another process may take the Lease. */
  readonly duration?: number
}

const lease = z.object({
  metadata: z.object({ resourceVersion: z.string() }),
  spec: z
    .object({
      holderIdentity: z.string().nullish(),
      leaseDurationSeconds: z.number().nullish(),
      renewTime: z.string().nullish(),
      leaseTransitions: z.number().nullish(),
    })
    .default({}),
})
type Lease = z.output<typeof lease>

const maxAnswer = 256 * 1024

/**
 * Elects one of several replicas by a Lease (kubernetes.io, "Leases"):
 *
 * 1. Create the Lease, or take it if nobody holds it, or if its holder has not renewed it for its duration. That is
 *    measured here, since the clocks of two nodes differ.
 * 2. Renew it three times in its duration. The API server refuses a renewal with an old version, so that of two
 *    that try one succeeds.
 * 3. A holder that could not renew it stops its work before the duration is over.
 */
export function keepLease(options: LeaseOptions): Leadership {
  const { client, namespace, name, identity, log, duration = 15_000 } = options
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`
  const path = `${collection}/${encodeURIComponent(name)}`
  const stop = new AbortController()
  const elected = Promise.withResolvers<void>()
  const lost = Promise.withResolvers<void>()
  let heldUntil = 0
  let wasElected = false
  /** The holder's last renewal, and when it was seen here first. */
  let seen: { readonly renewal: string; readonly at: number } | undefined

  const specOf = (before: Lease | undefined) => {
    const isMine = before?.spec.holderIdentity === identity
    const transitions = before?.spec.leaseTransitions ?? 0
    const now = new Date().toISOString().replace('Z', '000Z')
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(duration / 1000),
      renewTime: now,
      ...(!isMine && { acquireTime: now }),
      leaseTransitions: isMine || before === undefined ? transitions : transitions + 1,
    }
  }

  const write = async (before: Lease | undefined, spec: object): Promise<boolean> => {
    const version = before && { resourceVersion: before.metadata.resourceVersion }
    const object = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace, ...version },
      spec: before === undefined ? spec : { ...before.spec, ...spec },
    }
    const { status, text } =
      before === undefined
        ? await client.post(collection, object, { maxBytes: maxAnswer })
        : await client.put(path, object, { maxBytes: maxAnswer })
    if (status === 409) return false
    if (status !== 200 && status !== 201) throw refusal(status, text)
    return true
  }

  const read = async (): Promise<Lease | undefined> => {
    const { status, text } = await client.get(path, { maxBytes: maxAnswer })
    if (status === 404) return undefined
    if (status !== 200) throw refusal(status, text)
    return lease.parse(JSON.parse(text))
  }

  const isTaken = ({ spec, metadata }: Lease): boolean => {
    const { holderIdentity, renewTime, leaseDurationSeconds } = spec
    if (!holderIdentity || holderIdentity === identity) return false
    const renewal = `${holderIdentity} ${renewTime} ${metadata.resourceVersion}`
    if (seen?.renewal !== renewal) seen = { renewal, at: performance.now() }
    return performance.now() - seen.at < (leaseDurationSeconds ?? duration / 1000) * 1000
  }

  const attempt = async (): Promise<void> => {
    const startedAt = performance.now()
    const current = await read()
    if (current !== undefined && isTaken(current)) return
    if (!(await write(current, specOf(current)))) return
    heldUntil = startedAt + duration
    if (wasElected) return
    wasElected = true
    log.info({ lease: name, identity }, 'this replica is the leader')
    elected.resolve()
  }

  const isLeader = () => wasElected && performance.now() < heldUntil

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await attempt()
      } catch (err) {
        log.warn({ lease: name, err }, 'cannot renew the Lease; trying again')
      }
      if (wasElected && performance.now() > heldUntil - duration / 3) {
        heldUntil = 0
        return lost.resolve()
      }
      const delay = (duration / 3) * (0.8 + 0.4 * Math.random())
      await sleep(Math.min(delay, duration / 3), undefined, { signal: stop.signal }).catch(() => {})
    }
  }
  const running = run()

  return {
    isLeader,
    elected: elected.promise,
    lost: lost.promise,
    close: async () => {
      stop.abort()
      await running
      if (!isLeader()) return
      heldUntil = 0
      const current = await read().catch(() => undefined)
      if (current?.spec.holderIdentity !== identity) return
      await write(current, { holderIdentity: '', leaseDurationSeconds: 1 }).catch(() => {})
    },
  }
}

function refusal(status: number, text: string): Error {
  const advice =
    status === 403 ? '; the service account needs get, create and update on leases' : ''
  return new Error(
    `the API server answered ${status} for the Lease${advice}: ${text.slice(0, 200)}`,
  )
}
