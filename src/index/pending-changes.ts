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
}

type Options = {
  /** Changes with more rows than that are lost: a manifest has a row for each of its references. */
  readonly maxRows: number
  /** Changes are lost that `sendTo` should have sent. */
  readonly onLoss: () => void
}

export function createPendingChanges({ maxRows, onLoss }: Options): PendingChanges {
  let pending: Change[] = []
  /** Of what is pending, and of what was sent and is not applied yet. */
  let rows = 0
  let send: ((changes: readonly Change[]) => Promise<void>) | undefined
  let scheduled = false
  let lost = { changes: false, pulls: false }

  const keep = (changes: readonly Change[]): void => {
    for (const change of changes) {
      const isPull = change.kind === 'pulled'
      const more = rowsOf(change)
      if ((rows === 0 || rows + more <= maxRows) && (isPull || !lost.changes)) {
        pending.push(change)
        rows += more
      } else lost = isPull ? { ...lost, pulls: true } : { ...lost, changes: true }
    }
  }

  const flush = (): void => {
    scheduled = false
    if (send === undefined || pending.length === 0) return
    const batch = pending
    pending = []
    const inBatch = sum(batch)
    send(batch).then(
      () => {
        rows -= inBatch
      },
      () => {
        // It is unknown whether they were applied. Pulls may be applied twice.
        rows -= inBatch
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
      rows -= sum(pending)
      pending = pending.filter(isPulled)
      rows += sum(pending)
    },
    takeLosses: () => {
      const losses = lost
      lost = { changes: false, pulls: false }
      return losses
    },
  }
}

function sum(changes: readonly Change[]): number {
  return changes.reduce((rows, change) => rows + rowsOf(change), 0)
}

function rowsOf(change: Change): number {
  if (change.kind !== 'manifest') return 1
  return 1 + change.manifest.references.length + change.manifest.foreign.length
}

function isPulled(change: Change): change is Pulled {
  return change.kind === 'pulled'
}
