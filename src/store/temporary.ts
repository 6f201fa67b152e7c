import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { errnoOf, isMissing, makeDirectory } from './files.ts'
import { temporaryDirectory } from './paths.ts'

/**
 * Age in milliseconds after which the directory of an owner on another host, which cannot be
 * checked, is removed.
 */
const abandonedAfter = 24 * 60 * 60 * 1000

type TemporaryFile = { readonly path: string; readonly handle: FileHandle }

/**
 * Unfinished files. Each process has its own directory, named after host, process id and start
 * time. So a start can distinguish files of a dead process from those that a live process on a
 * shared volume is writing.
 */
export interface Temporary {
  /** The directory of this process. */
  readonly directory: string
  /** Creates a new, empty file that only the user of this process can read and write. */
  create(): Promise<TemporaryFile>
  /** Returns an unused path, for example to rename a file away. */
  path(): Promise<string>
  /**
   * Removes the files of dead processes, or those of all other processes when no other can be
   * alive.
   */
  clean(isAlone?: boolean): Promise<void>
  close(): Promise<void>
}

export function createTemporary(root: string): Temporary {
  const directory = temporaryDirectory(root)
  const own = ownerName(process.pid)
  const ownDirectory = join(directory, own)

  const path = async (): Promise<string> => {
    await makeDirectory(ownDirectory)
    return join(ownDirectory, randomUUID())
  }

  return {
    directory: ownDirectory,
    path,
    create: async () => {
      const noListenerCodes = await path()
      return { path: noListenerCodes, handle: await open(noListenerCodes, 'wx+', 0o600) }
    },
    clean: async (isAlone = false) => {
      const owners = await readdir(directory).catch(() => [])
      const abandoned = await Promise.all(
        owners.map(
          async (owner) => owner !== own && (isAlone || (await isAbandoned(directory, owner))),
        ),
      )
      await Promise.all(
        owners
          .filter((_, at) => abandoned[at])
          .map((owner) => rm(join(directory, owner), { recursive: true, force: true })),
      )
    },
    close: async () => {
      await rm(ownDirectory, { recursive: true, force: true }).catch(() => {})
    },
  }
}

function ownerName(pid: number): string {
  return `${hostname()}+${pid}+${startOf(pid) ?? ''}`
}

/**
 * Clock ticks after boot at which the process started (proc_pid_stat(5), field 22); undefined when
 * the process does not exist.
 */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

async function isAbandoned(directory: string, owner: string): Promise<boolean> {
  const [host, pid] = owner.split('+')
  if (host === hostname() && pid !== undefined)
    return !isRunning(Number(pid)) || owner !== ownerName(Number(pid))
  try {
    const { mtimeMs } = await stat(join(directory, owner))
    return Date.now() - mtimeMs > abandonedAfter
  } catch (error) {
    return !isMissing(error)
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) === 'EPERM'
  }
}
