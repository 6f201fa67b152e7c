import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import type { Temporary } from '../temporary.ts'

/** The file is rewritten when more than half of it is outdated, and more than this, in bytes. */
const maxOutdated = 64 * 1024
/** A file longer than this times its maximum was not written by Berth. */
const maxFileFactor = 4
/** Characters of a line. */
const maxLine = 4096
/** Lines that are written at once. */
const linesPerWrite = 1000
/** After a failed write, nothing is written for this time, in milliseconds. */
const failurePause = 5000

/**
 * Keys and values in memory, which evicts the least recently used, with a file from which they are
 * restored after the next start. Neither keys nor values may contain tabs or newlines.
 */
export interface DurableMap {
  get(key: string): string | undefined
  /** Without counting as a use. */
  peek(key: string): string | undefined
  /**
   * The entry is set at once; the promise is for the file, and rejects when it cannot be written.
   */
  set(key: string, value: string): Promise<void>
  delete(key: string): Promise<void>
  keys(): Iterable<string>
  /** Writes all entries, in the order of use. */
  close(): Promise<void>
}

type DurableMapOptions = {
  readonly path: string
  readonly temporary: Temporary
  /** Maximum bytes of all lines; the file may have twice as many. */
  readonly maxSize: number
  readonly onAdd?: (key: string) => void
  readonly onRemove?: (key: string) => void
  /** The file was written. */
  readonly onWritten?: () => void
}

/**
 * The file is a log: a line for each change, `KEY<tab>VALUE`, or `KEY` alone for a deletion. A line
 * truncated by a kill or a full disk is ignored. The file is rewritten, by a temporary file and a
 * rename, when most of it is outdated or when it is not what was written. There is no fsync:
 * entries lost in a power failure have to be requested again.
 */
export async function openDurableMap(options: DurableMapOptions): Promise<DurableMap> {
  const { path, temporary, maxSize, onAdd, onRemove, onWritten } = options
  const entries = new LRUCache<string, string>({
    maxSize,
    sizeCalculation: (value, key) => Buffer.byteLength(lineOf(key, value)),
    dispose: (_value, key, reason) => {
      if (reason !== 'set') onRemove?.(key)
    },
  })
  let pending: string[] = []
  let writing: Promise<void> | undefined
  /** Bytes of the file; undefined when it has to be rewritten. */
  let length: number | undefined
  let pausedUntil = 0

  const put = (key: string, value: string): void => {
    const isNew = !entries.has(key)
    entries.set(key, value)
    if (isNew && entries.has(key)) onAdd?.(key)
  }

  for await (const line of linesOf(path, maxFileFactor * maxSize)) {
    const [key = '', value] = line.split('\t')
    if (value === undefined) entries.delete(key)
    else put(key, value)
  }

  const append = async (text: string, expected: number): Promise<void> => {
    const file = await open(path, 'a', 0o644)
    try {
      await file.write(text)
      const { size } = await file.stat()
      // Another program removed or changed the file, so it lacks entries.
      length = size === expected ? size : undefined
    } finally {
      await file.close()
    }
  }

  const rewrite = async (): Promise<void> => {
    const { path: draft, handle } = await temporary.create()
    try {
      const keys = [...entries.rkeys()]
      for (let at = 0; at < keys.length; at += linesPerWrite) {
        const lines = keys.slice(at, at + linesPerWrite).map((key) => {
          const value = entries.peek(key)
          return value === undefined ? '' : lineOf(key, value)
        })
        await handle.write(lines.join(''))
      }
      await handle.chmod(0o644)
      const { size } = await handle.stat()
      await rename(draft, path)
      length = size
    } finally {
      await handle.close()
      await rm(draft, { force: true })
    }
  }

  const writeOnce = async (): Promise<void> => {
    const text = pending.join('')
    const expected = (length ?? 0) + Buffer.byteLength(text)
    pending = []
    if (performance.now() < pausedUntil) return
    try {
      if (length === undefined || expected > 2 * entries.calculatedSize + maxOutdated)
        await rewrite()
      else await append(text, expected)
      if (length === undefined) await rewrite()
      onWritten?.()
    } catch (error) {
      length = undefined
      pausedUntil = performance.now() + failurePause
      throw error
    }
  }

  /** Changes during a write in flight are written by the next one. */
  const write = async (): Promise<void> => {
    while (writing !== undefined) await writing.catch(() => {})
    if (pending.length === 0) return
    writing = writeOnce().finally(() => {
      writing = undefined
    })
    await writing
  }

  const log = (line: string): Promise<void> => {
    pending.push(line)
    return write()
  }

  return {
    get: (key) => entries.get(key),
    peek: (key) => entries.peek(key),
    set: (key, value) => {
      put(key, value)
      return log(lineOf(key, value))
    },
    delete: async (key) => {
      if (entries.delete(key)) await log(`${key}\n`)
    },
    keys: () => entries.keys(),
    close: async () => {
      while (writing !== undefined) await writing.catch(() => {})
      await rewrite()
    },
  }
}

function lineOf(key: string, value: string): string {
  return `${key}\t${value}\n`
}

async function* linesOf(path: string, maxSize: number): AsyncGenerator<string, void, undefined> {
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : 0),
    () => 0,
  )
  if (size === 0 || size > maxSize) return
  let rest = ''
  try {
    for await (const chunk of createReadStream(path, 'utf8')) {
      const lines = `${rest}${chunk}`.split('\n')
      rest = lines.pop() ?? ''
      // An invalid line; or the last line without a newline, which was truncated.
      if (rest.length > maxLine) return
      yield* lines
    }
  } catch {
    // An unreadable file is ignored: its entries have to be requested again.
  }
}
