import { randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasContent, isBerths } from '../store/store.ts'

/** Recognises a volume by a file on it. */
export interface VolumeMark {
  /** Why the volume is not the one that it was; undefined: it is. */
  check(): Promise<string | undefined>
}

/**
 * The danger: the volume is unmounted or replaced while Berth runs, and what is known about the one
 * volume would delete from the other.
 */
export function createVolumeMark(root: string): VolumeMark {
  const path = join(root, '_berth', 'volume')
  let known: string | undefined

  return {
    check: async () => {
      if (known === undefined && !(await hasContent(root))) return undefined
      if (known === undefined && !(await isBerths(root)))
        return 'the volume is that of another registry until something is pushed'
      const mark = (await read(path)) ?? (known === undefined ? await create(path) : undefined)
      known ??= mark
      if (mark === undefined) return `${path} is missing: the volume may have been unmounted`
      return mark === known ? undefined : `${path} has changed: the volume was replaced`
    },
  }
}

async function create(path: string): Promise<string | undefined> {
  const mark = randomUUID()
  await mkdir(dirname(path)).catch(() => {})
  await writeFile(path, mark, { flag: 'wx' }).catch(() => {})
  return read(path)
}

async function read(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text === '' ? undefined : text
}
