import type { Change, Pulled } from './change.ts'

/** Changes that the database does not have yet. */
export interface PendingChanges {
  add(changes: readonly Change[]): void
  /** Sends all changes from now on, in batches; the first contains what is pending. */
  sendTo(send: (changes: readonly Change[]) => Promise<void>): void
  /** Sends what is pending now, before a question. */
  flush(): void
  /** Waits for changes: all until something is lost, then only pulls. */
  pause(): void
  /** Something was lost since the last call: changes, or pulls. */
  takeLosses(): { readonly changes: boolean; readonly pulls: boolean }
  /** Changes that are pending or on their way. */
  count(): number
}

type Options = {
  /** More changes than that are lost. */
  readonly max: number
  /** Changes are lost that `sendTo` should have sent. */
  readonly onLoss: () => void
}

export function createPendingChanges({ max, onLoss }: Options): PendingChanges {
  let pending: Change[] = []
  let sent = 0
  let send: ((changes: readonly Change[]) => Promise<void>) | undefined
  let scheduled = false
  let lost = { changes: false, pulls: false }

  const keep = (changes: readonly Change[]): void => {
    for (const change of changes) {
      const isPull = change.kind === 'pulled'
      if (pending.length + sent < max && (isPull || !lost.changes)) pending.push(change)
      else lost = isPull ? { ...lost, pulls: true } : { ...lost, changes: true }
    }
  }

  const flush = (): void => {
    scheduled = false
    if (send === undefined || pending.length === 0) return
    const batch = pending
    pending = []
    sent += batch.length
    send(batch).then(
      () => {
        sent -= batch.length
      },
      () => {
        // It is unknown whether they were applied. Pulls may be applied twice.
        sent -= batch.length
        lost = { ...lost, changes: true }
        keep(batch.filter(isPulled))
      },
    )
  }

  return {
    add: (changes) => {
      const before = lost.changes
      keep(changes)
      if (send !== undefined && lost.changes && !before) onLoss()
      if (scheduled || send === undefined) return
      scheduled = true
      setImmediate(flush)
    },
    sendTo: (to) => {
      send = to
      flush()
    },
    flush,
    pause: () => {
      send = undefined
      // They are not sent, and what was sent before may be lost.
      lost = { ...lost, changes: true }
      pending = pending.filter(isPulled)
    },
    takeLosses: () => {
      const losses = lost
      lost = { changes: false, pulls: false }
      return losses
    },
    count: () => pending.length + sent,
  }
}

function isPulled(change: Change): change is Pulled {
  return change.kind === 'pulled'
}
