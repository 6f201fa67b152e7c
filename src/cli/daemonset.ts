import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Presence } from '../kubernetes/kubernetes.ts'
import type { Logger } from '../telemetry/telemetry.ts'

/** Milliseconds between two questions while there is no answer. */
const learnEvery = 10_000
const askAgainAfter = 1000
const mostAsked = 3

/** The DaemonSet that we are a pod of. */
export interface OwnDaemonSet {
  /** Whether it is deleted, or being so: false where that cannot be found out. */
  isGone(): Promise<boolean>
  close(): Promise<void>
}

type Options = {
  readonly cluster: Cluster
  readonly namespace: string
  readonly name: string
  readonly log: Logger
}

/**
 * Asks once while we run, to learn whether we may ask: an uninstall takes our permission with the
 * DaemonSet, and a permission that is gone then says the same as an object that is gone.
 */
export function watchDaemonSet({ cluster, namespace, name, log }: Options): OwnDaemonSet {
  const daemonSet = `${namespace}/${name}`
  const stop = new AbortController()
  let wasAllowed = false

  const ask = async (): Promise<Presence | undefined> => {
    try {
      return await cluster.daemonSet(namespace, name)
    } catch (err) {
      log.warn({ daemonSet, err }, 'the API server cannot be asked for our DaemonSet')
      return undefined
    }
  }

  const learn = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const presence = await ask()
      if (presence === 'forbidden')
        return log.warn(
          { daemonSet },
          'we may not get our DaemonSet: files stay when it is deleted',
        )
      if (presence !== undefined) {
        wasAllowed = true
        return
      }
      await sleep(learnEvery, undefined, { signal: stop.signal }).catch(() => {})
    }
  }
  const learned = learn()

  return {
    isGone: async () => {
      for (let asked = 0; asked < mostAsked; asked += 1) {
        if (asked > 0) await sleep(askAgainAfter)
        const presence = await ask()
        if (presence !== undefined)
          return presence === 'gone' || (presence === 'forbidden' && wasAllowed)
      }
      return false
    },
    close: async () => {
      stop.abort()
      await learned
    },
  }
}
