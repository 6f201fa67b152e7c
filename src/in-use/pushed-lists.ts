import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ImageSource } from './image-source.ts'

type Log = { readonly warn: (fields: object, message: string) => void }

type PushedListsOptions = {
  /** Has one file for each cluster: an image reference on each line. Need not exist. */
  readonly directory: string
  /** Milliseconds after which a list is too old to be believed. */
  readonly expiry: number
  /** Milliseconds between two reads of the directory. */
  readonly interval: number
  readonly log: Log
}

/** Bytes of one list: 100,000 references. */
const maxList = 16 * 1024 * 1024
const maxLists = 1000
const listName = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/

/**
 * Lists of images that other clusters use. Each cluster replaces its list from time to time; one that
 * stops doing so makes the whole unknown until its list is removed, because its workloads still run.
 */
export function createPushedLists(options: PushedListsOptions): ImageSource {
  const { directory, expiry, interval, log } = options
  const stop = new AbortController()
  let lists: readonly List[] = []
  let changes = 0
  let failure: string | undefined = 'not read yet'

  const poll = async (): Promise<void> => {
    try {
      const read = await readLists(directory, lists)
      if (!isSame(read, lists)) changes += 1
      lists = read
      failure = undefined
    } catch (err) {
      failure = `cannot read the lists of other clusters in ${directory}: ${err instanceof Error ? err.message : ''}`
      log.warn({ directory, err }, 'cannot read the lists of images in use')
    }
  }

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await poll()
      await sleep(interval, undefined, { signal: stop.signal }).catch(() => {})
    }
  }
  const running = run()

  return {
    images: function* () {
      for (const { images } of lists) yield* images
    },
    uses: function* () {
      for (const { cluster, images } of lists)
        for (const image of images)
          yield { image, kind: 'Cluster', namespace: '', name: cluster, imageId: image }
    },
    // Nodes of other clusters do not pull from here.
    toPull: () => [],
    version: () => changes,
    problem: () => {
      if (failure !== undefined) return failure
      const old = lists.find(({ modified }) => Date.now() - modified > expiry)
      return (
        old &&
        `the list of cluster ${old.cluster} is ${minutes(Date.now() - old.modified)} min old; push a new one, or remove ${join(directory, old.cluster)}`
      )
    },
    close: async () => {
      stop.abort()
      await running
    },
  }
}

/**
 * Replaces a cluster's list in one step. `text`: an image reference on each line, or separated by
 * spaces, as kubectl's jsonpath prints them.
 * @throws Error for an invalid name, or a list that is empty: it would allow to delete everything.
 */
export async function putList(directory: string, cluster: string, text: string): Promise<number> {
  if (!listName.test(cluster))
    throw new Error(
      `invalid name of a cluster: ${JSON.stringify(cluster)}; use lower-case letters, digits, - and .`,
    )
  const images = parse(text)
  if (images.length === 0)
    throw new Error('the list has no image; a running cluster has some, so it was not stored')
  await mkdir(directory, { recursive: true })
  const temporary = join(directory, `.${cluster}-${process.pid}`)
  try {
    await using file = await open(temporary, 'wx', 0o644)
    await file.writeFile(`${images.join('\n')}\n`)
    await file.sync()
    await rename(temporary, join(directory, cluster))
  } finally {
    await rm(temporary, { force: true })
  }
  return images.length
}

type List = {
  readonly cluster: string
  readonly modified: number
  readonly images: readonly string[]
}

async function readLists(directory: string, known: readonly List[]): Promise<readonly List[]> {
  const names = (await readdir(directory).catch(emptyIfMissing)).filter((name) =>
    listName.test(name),
  )
  if (names.length > maxLists) throw new Error(`more than ${maxLists} lists`)
  return Promise.all(names.toSorted().map((cluster) => readList(directory, cluster, known)))
}

async function readList(directory: string, cluster: string, known: readonly List[]): Promise<List> {
  const path = join(directory, cluster)
  const { mtimeMs: modified } = await stat(path)
  const same = known.find((list) => list.cluster === cluster && list.modified === modified)
  if (same !== undefined) return same
  await using file = await open(
    path,
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  )
  const found = await file.stat()
  if (!found.isFile() || found.size > maxList)
    throw new Error(`${path} is not a file of at most ${maxList} bytes`)
  return { cluster, modified, images: parse(await file.readFile('utf8')) }
}

function parse(text: string): readonly string[] {
  return [...new Set(text.split(/\s+/).filter((word) => word !== ''))]
}

function isSame(one: readonly List[], other: readonly List[]): boolean {
  return one.length === other.length && one.every((list, at) => list === other[at])
}

function emptyIfMissing(error: unknown): readonly string[] {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
  throw error
}

function minutes(milliseconds: number): number {
  return Math.round(milliseconds / 60_000)
}
