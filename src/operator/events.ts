import type { ApiClient } from '../kubernetes/kubernetes.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Registry } from './registry-resource.ts'

export interface Events {
  /** Writes an Event about a Registry whose Ready has another status or reason than before. */
  onStatus(registry: Registry, status: Registry['status']): Promise<void>
  /** Of a Registry that is gone: `NAMESPACE/NAME`. */
  forget(key: string): void
}

type EventsOptions = {
  readonly client: Pick<ApiClient, 'post'>
  readonly log: Telemetry['log']
  /** Milliseconds of a clock that is never set. */
  readonly uptime?: () => number
}

/** Of each Registry: Events at once, and milliseconds until there may be one more. */
const burst = 10
const interval = 5 * 60_000
/** Bytes of a message that Kubernetes takes. */
const maxMessage = 1024
const maxAnswer = 256 * 1024
/** Reasons of a Registry on its way: nobody needs to act. */
const usual = ['Starting', 'NotKnown']

type Reported = { readonly state: string; readonly credit: number; readonly at: number }

/**
 * Events of Registries (kubernetes.io, "Event v1 core"), which the API server removes after an hour. A Registry that changes all the
 * time has few of them: its status says the rest.
 */
export function createEvents({
  client,
  log,
  uptime = () => performance.now(),
}: EventsOptions): Events {
  const reported = new Map<string, Reported>()

  const write = async ({ metadata }: Registry, ready: Condition): Promise<void> => {
    const { namespace, name, uid, resourceVersion } = metadata
    const { status, reason, message } = ready
    const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { generateName: `${name}.`, namespace },
      involvedObject: {
        apiVersion: 'berth.dev/v1alpha1',
        kind: 'Registry',
        ...{ namespace, name, uid, resourceVersion },
      },
      type: status === 'True' || usual.includes(reason) ? 'Normal' : 'Warning',
      reason,
      message: message.slice(0, maxMessage),
      source: { component: 'berth-operator' },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    }
    const path = `/api/v1/namespaces/${namespace}/events`
    const answer = await client.post(path, event, { maxBytes: maxAnswer })
    if (answer.status !== 201)
      throw new Error(`the API server answered ${answer.status}: ${answer.text.slice(0, 200)}`)
  }

  return {
    onStatus: async (registry, status) => {
      const key = `${registry.metadata.namespace}/${registry.metadata.name}`
      const ready = readyOf(status)
      if (ready === undefined) return
      const before = reported.get(key)
      // What another replica, or this one before its start, has written an Event about.
      const earlier = before?.state ?? stateOf(registry, readyOf(registry.status))
      const state = stateOf(registry, ready)
      if (state === earlier) return
      const earned = before === undefined ? burst : (uptime() - before.at) / interval
      const credit = Math.min(burst, (before?.credit ?? 0) + earned)
      reported.set(key, { state, credit: credit < 1 ? credit : credit - 1, at: uptime() })
      if (credit < 1) return
      // Without Events everything else works, such as with a role that somebody else has made.
      await write(registry, ready).catch((err: unknown) =>
        log.warn({ registry: key, err }, 'cannot write an Event'),
      )
    },
    forget: (key) => void reported.delete(key),
  }
}

type Condition = NonNullable<Registry['status']['conditions']>[number]

function readyOf({ conditions }: Registry['status']): Condition | undefined {
  return conditions?.find(({ type }) => type === 'Ready')
}

/** Another Registry of the same name has states of its own. */
function stateOf({ metadata }: Registry, ready: Condition | undefined): string {
  return `${metadata.uid} ${ready?.status} ${ready?.reason}`
}
