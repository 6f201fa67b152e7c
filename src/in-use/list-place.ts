import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Bytes of one list: 100,000 references. */
const maxList = 16 * 1024 * 1024

/** Where lists of other clusters are, each as a text. */
export interface ListPlace {
  /** In messages. */
  readonly name: string
  /** `modified`: milliseconds since the epoch. A list that has changed has another `version`. */
  list(): Promise<
    readonly { readonly cluster: string; readonly modified: number; readonly version: string }[]
  >
  read(cluster: string): Promise<string>
  put(cluster: string, text: string): Promise<void>
  /** False: there is no such list. */
  remove(cluster: string): Promise<boolean>
  close(): Promise<void>
}

/** One file for each list. The directory need not exist. */
export function createListDirectory(directory: string): ListPlace {
  return {
    name: directory,

    list: async () => {
      const names = await readdir(directory).catch(undefinedIfMissing)
      const visible = (names ?? []).filter((name) => !name.startsWith('.'))
      return Promise.all(
        visible.map(async (cluster) => {
          const { mtimeMs } = await stat(join(directory, cluster))
          return { cluster, modified: mtimeMs, version: String(mtimeMs) }
        }),
      )
    },

    read: async (cluster) => {
      const path = join(directory, cluster)
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
      await using file = await open(path, flags)
      const found = await file.stat()
      if (!found.isFile() || found.size > maxList)
        throw new Error(`${path} is not a file of at most ${maxList} bytes`)
      return file.readFile('utf8')
    },

    put: async (cluster, text) => {
      await mkdir(directory, { recursive: true })
      const temporary = join(directory, `.${cluster}-${process.pid}`)
      try {
        await using file = await open(temporary, 'wx', 0o644)
        await file.writeFile(text)
        await file.sync()
        await rename(temporary, join(directory, cluster))
      } finally {
        await rm(temporary, { force: true })
      }
    },

    remove: async (cluster) =>
      (await rm(join(directory, cluster)).then(() => true, undefinedIfMissing)) ?? false,
    close: async () => {},
  }
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
  throw error
}
