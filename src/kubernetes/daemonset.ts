import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, ObjectState } from './cluster.ts'

/** Milliseconds between two requests until the first answer. */
const permissionRetryDelay = 10_000
const retryDelay = 1000
const maxAttempts = 3

/** The DaemonSet that this pod belongs to. */
export interface OwnDaemonSet {
  /** Whether it is deleted or is being deleted; false if that cannot be determined. */
  isGone(): Promise<boolean>
  close(): Promise<void>
}

type Log = { readonly warn: (fields: object, message: string) => void }

type Options = {
  readonly cluster: Cluster
  readonly namespace: string
  readonly name: string
  readonly log: Log
}

/**
 * Requests the DaemonSet once at the start, to learn whether the service account may: an uninstall
 * deletes the permission together with the DaemonSet, and 403 then means that both are gone.
 */
export function watchDaemonSet({ cluster, namespace, name, log }: Options): OwnDaemonSet {
  const daemonSet = `${namespace}/${name}`
  const stop = new AbortController()
  let wasAllowed = false

  const request = async (): Promise<ObjectState | undefined> => {
    try {
      return await cluster.daemonSet(namespace, name)
    } catch (err) {
      log.warn(
        { daemonSet, err },
        "the API server did not answer a request for this pod's DaemonSet",
      )
      return undefined
    }
  }

  const checkPermission = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const state = await request()
      if (state === 'forbidden')
        return log.warn(
          { daemonSet },
          "the service account may not get this pod's DaemonSet: files on the node stay when it is deleted; allow get on daemonsets",
        )
      if (state !== undefined) {
        wasAllowed = true
        return
      }
      await sleep(permissionRetryDelay, undefined, { signal: stop.signal }).catch(() => {})
    }
  }
  const checked = checkPermission()

  return {
    isGone: async () => {
      for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
        if (attempt > 0) await sleep(retryDelay)
        const state = await request()
        if (state !== undefined) return state === 'gone' || (state === 'forbidden' && wasAllowed)
      }
      return false
    },
    close: async () => {
      stop.abort()
      await checked
    },
  }
}
