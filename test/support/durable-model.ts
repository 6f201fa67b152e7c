import { dirname } from 'node:path'

/**
 * What a power loss would leave of a directory, as told by the system calls of a process: an entry
 * of a directory is durable when the directory was synced after the entry was made, and the bytes of
 * a file when the file was synced after its last write.
 */
export interface DurableModel {
  /** A line of strace(1) with `-f -y`. */
  read(line: string): void
  /** Whether a file exists, and a power loss would leave it as it is. */
  isDurable(path: string): boolean
  /** Files that a power loss would lose or damage now. */
  fragile(): readonly string[]
}

type Call = { readonly name: string; readonly args: string; readonly result: string }
type Entry = { readonly isFile: boolean; isEntryDurable: boolean; isContentDurable: boolean }

/** `matters`: whether a path is expected to be durable. */
export function createDurableModel(matters: (path: string) => boolean): DurableModel {
  const entries = new Map<string, Entry>()
  /** Beginnings of calls that have not returned, by thread. */
  const begun = new Map<string, string>()
  /** What an fsync that has begun will cover, by thread. */
  const covered = new Map<string, readonly (() => void)[]>()

  const add = (path: string, isFile: boolean): void => {
    if (!entries.has(path))
      entries.set(path, { isFile, isEntryDurable: false, isContentDurable: !isFile })
  }

  /** Directories that existed before are durable. */
  const isDurable = (path: string): boolean => {
    const entry = entries.get(path)
    const isSelf = entry === undefined || (entry.isEntryDurable && entry.isContentDurable)
    return isSelf && (dirname(path) === path || isDurable(dirname(path)))
  }

  const move = (from: string, to: string): void => {
    for (const path of [...entries.keys()])
      if (path === to || path.startsWith(`${to}/`)) entries.delete(path)
    for (const [path, entry] of [...entries]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue
      entries.delete(path)
      entries.set(`${to}${path.slice(from.length)}`, entry)
    }
    const moved = entries.get(to)
    if (moved !== undefined) moved.isEntryDurable = false
  }

  /** What a sync of a path that begins now makes durable. */
  const coverage = (path: string): readonly (() => void)[] => {
    const own = entries.get(path)
    const below = [...entries].filter(([other]) => dirname(other) === path)
    return [
      () => {
        if (own !== undefined) own.isContentDurable = true
      },
      ...below.map(([, entry]) => () => {
        entry.isEntryDurable = true
      }),
    ]
  }

  const apply = (thread: string, { name, args, result }: Call): void => {
    const failed = result.startsWith('-1')
    const [first = '', second = ''] = [...args.matchAll(/"([^"]*)"/g)].map(([, path]) => path ?? '')
    const file = /^\d+<([^>]*)>/.exec(args)?.[1] ?? ''
    if (['fsync', 'fdatasync'].includes(name)) {
      if (!failed) for (const cover of covered.get(thread) ?? coverage(file)) cover()
      covered.delete(thread)
    } else if (failed) return
    else if (name === 'mkdir') add(first, false)
    else if (name === 'openat' && args.includes('O_CREAT')) add(first, true)
    else if (/^p?writev?(64)?$/.test(name)) {
      const entry = entries.get(file)
      if (entry !== undefined) entry.isContentDurable = false
    } else if (name === 'rename') move(first, second)
    else if (name === 'unlink' || name === 'rmdir') entries.delete(first)
  }

  return {
    read: (line) => {
      const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
      const unfinished = /^(.*) <unfinished \.\.\.>$/.exec(rest)
      if (unfinished !== null) {
        const text = unfinished[1] ?? ''
        begun.set(thread, text)
        const synced = /^f(?:data)?sync\(\d+<([^>]*)>/.exec(text)
        if (synced !== null) covered.set(thread, coverage(synced[1] ?? ''))
        return
      }
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
      const whole = resumed === null ? rest : `${begun.get(thread) ?? ''}${resumed[1]}`
      const [, name = '', args = '', result = ''] = /^(\w+)\((.*)\)\s+= (.*)$/.exec(whole) ?? []
      if (name !== '') apply(thread, { name, args, result })
    },

    isDurable: (path) => entries.has(path) && isDurable(path),
    fragile: () =>
      [...entries]
        .filter(([path, { isFile }]) => isFile && matters(path) && !isDurable(path))
        .map(([path]) => path),
  }
}
