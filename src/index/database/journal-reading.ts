import { closeSync, openSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import type { Event } from './activity.ts'
import { parseEvent, parseHeader } from './journal-lines.ts'

const chunkSize = 65_536
/** Characters of the longest line: a name, a digest and a tag. */
const maxLine = 4096

/**
 * Passes all events of a journal on. Returns its `since`; undefined if there is no journal, or if a
 * part of it is missing. Its last line may be cut off.
 */
export function readJournal(path: string, onEvent: (event: Event) => void): number | undefined {
  let since: number | undefined
  let isDamaged = false
  for (const line of linesOf(path)) {
    if (since === undefined) {
      since = parseHeader(line)
      if (since === undefined) return undefined
      continue
    }
    const event = parseEvent(line)
    if (event === undefined) isDamaged = true
    else onEvent(event)
  }
  return isDamaged ? undefined : since
}

/** Lines that end with a line feed; none of a file that cannot be opened. */
function* linesOf(path: string): Generator<string, void, undefined> {
  const file = openToRead(path)
  if (file === undefined) return
  try {
    yield* linesIn(file)
  } finally {
    closeSync(file)
  }
}

function* linesIn(file: number): Generator<string, void, undefined> {
  const buffer = Buffer.alloc(chunkSize)
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for (;;) {
    const length = readSync(file, buffer, 0, chunkSize, null)
    if (length === 0) return
    const lines = (rest + decoder.write(buffer.subarray(0, length))).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
    // A damaged file: what follows belongs to no line.
    if (rest.length > maxLine) {
      yield ''
      return
    }
  }
}

function openToRead(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch {
    return undefined
  }
}
