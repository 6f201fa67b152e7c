import { closeSync, fstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import type { Event } from './activity.ts'
import { formatEvent, formatHeader } from './journal-lines.ts'

/**
 * A file of events that survives the database. Nothing is synced: a loss is safe, because
 * everything counts as pulled at the time of the loss then.
 */
export interface Journal {
  /** A failure makes the next call write everything anew. */
  append(events: readonly Event[]): void
  close(): void
}

type JournalOptions = {
  readonly path: string
  /** All that the journal must contain. */
  readonly content: () => { readonly since: number; readonly events: Iterable<Event> }
}

/** Bytes of a journal that is not worth compacting. */
const minCompacted = 1024 * 1024
/** Characters that are written with one system call. */
const chunkSize = 65_536

export function createJournal({ path, content }: JournalOptions): Journal {
  let file: number | undefined
  let size = 0
  let compactedSize = 0

  const write = (to: number, text: string): void => {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(to, bytes, at)
  }

  const close = (): void => {
    if (file !== undefined) closeSync(file)
    file = undefined
  }

  const writeContent = (to: number): void => {
    const { since, events } = content()
    let text = formatHeader(since)
    for (const event of events) {
      text += formatEvent(event)
      if (text.length < chunkSize) continue
      write(to, text)
      text = ''
    }
    write(to, text)
  }

  const compact = (): void => {
    close()
    const temporary = `${path}.new`
    const to = openSync(temporary, 'w', 0o600)
    try {
      writeContent(to)
      renameSync(temporary, path)
    } catch (error) {
      closeSync(to)
      rmSync(temporary, { force: true })
      throw error
    }
    file = to
    size = fstatSync(to).size
    compactedSize = size
  }

  const appendTo = (to: number, events: readonly Event[]): void => {
    write(to, events.map(formatEvent).join(''))
    // The danger: the file was deleted, and lines go nowhere.
    const found = fstatSync(to)
    size = found.size
    if (found.nlink === 0 || size > Math.max(minCompacted, 2 * compactedSize)) compact()
  }

  return {
    append: (events) => {
      try {
        if (file === undefined) compact()
        else if (events.length > 0) appendTo(file, events)
      } catch {
        // Full or read-only. The database knows the events as well.
        close()
      }
    },
    close,
  }
}
