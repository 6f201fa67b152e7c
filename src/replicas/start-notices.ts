import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { aborted } from 'node:util'
import { type Members, maxPause } from './members.ts'
import type { Notify } from './notices.ts'
import { maxSilence } from './replica-origin.ts'

/** Between two attempts, in milliseconds. After the last one, no replica leaves this one out for what was before its start. */
const interval = 5000
const maxAttempts = 1 + maxPause / interval

const path = '/started/'

type Options = {
  readonly members: Members
  readonly notify: Notify
  /** Ends the attempts. */
  readonly signal: AbortSignal
}

/**
 * Sends a notice to each other replica, once, that this one has been started, so that all ask it again at the same time.
 * If one does not answer, it is sent again after the next lookup. An earlier version does not know this notice.
 */
export async function announceStart(options: Options): Promise<void> {
  const { members, notify, signal } = options
  const target = path + members.own
  const informed = new Set([members.own])

  const inform = async (member: string): Promise<void> => {
    if (await notify({ member, target, maxWait: maxSilence, signal })) informed.add(member)
  }

  // A lookup may take long, and cannot be ended.
  await Promise.race([members.lookedUp, aborted(signal, members)])
  for (let attempt = 0; attempt < maxAttempts && !signal.aborted; attempt += 1) {
    const others = members.all().filter((member) => !informed.has(member))
    await Promise.allSettled(others.map(inform))
    await sleep(interval, undefined, { signal, ref: false }).catch(() => {})
  }
}

/** Receives the notices of others. False: it is another request. */
export function createAnswerStart({ started }: Members) {
  return ({ method, url = '' }: IncomingMessage, response: ServerResponse): boolean => {
    if (method !== 'PUT' || !url.startsWith(path)) return false
    started(url.slice(path.length))
    response.writeHead(204).end()
    return true
  }
}
