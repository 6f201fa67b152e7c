import type { SpoolEvent } from './spooler-options.ts'

/** Why the spool cannot be read or written, if so; each problem is reported when it comes, and when it has gone. */
export function createProblems(onEvent: (event: SpoolEvent) => void) {
  let found: readonly string[] = []

  /** A problem of one file, until the next scan. */
  const add = (error: unknown): undefined => {
    const message = messageOf(error)
    if (found.includes(message)) return
    found = [...found, message]
    onEvent({ kind: 'broken', error })
  }

  /** All that a scan found. */
  const set = (errors: readonly unknown[]): void => {
    const before = found
    found = [...new Set(errors.map(messageOf))]
    for (const error of errors)
      if (!before.includes(messageOf(error))) onEvent({ kind: 'broken', error })
    if (found.length === 0 && before.length > 0) onEvent({ kind: 'mended' })
  }

  return { add, set, current: () => (found.length === 0 ? undefined : found.join('; ')) }
}

/** Without the names of temporary files, which are others each time. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
}
