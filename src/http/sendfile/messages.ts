import type { Rest } from '../../oci/content.ts'

/**
 * A range of a file to send to a socket, and then the rest if its condition holds. Both descriptors stay open until it
 * has ended.
 */
export type Task = {
  readonly socket: number
  readonly file: number
  readonly position: number
  readonly until: number
  readonly rest?: Rest | undefined
}

/** `position`: the bytes before it are sent. `errno`: of the call that ended the task, else 0. */
export type Progress = {
  readonly position: number
  readonly hasEnded: boolean
  readonly errno: number
}

export type ToThread = Task & { readonly id: number }

/** `ready`, once: tasks are begun after it. */
export type FromThread = 'ready' | (Progress & { readonly id: number })

export const errors = {
  wouldBlock: 11,
  brokenPipe: 32,
  reset: 104,
  notConnected: 107,
  timedOut: 110,
} as const
