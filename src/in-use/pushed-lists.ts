import { setTimeout as sleep } from 'node:timers/promises'
import type { ImageSource } from './image-source.ts'
import type { ListPlace } from './list-place.ts'

type Log = { readonly warn: (fields: object, message: string) => void }

type PushedListsOptions = {
  /** Has an image reference on each line of a list. Closed with this. */
  readonly place: ListPlace
  /** Milliseconds after which a list is too old to be believed. */
  readonly expiry: number
  /** Milliseconds between two reads of the place. */
  readonly interval: number
  readonly log: Log
}

const maxLists = 1000
const listName = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/

/**
 * Lists of images that other clusters use. Each cluster replaces its list from time to time; one that
 * stops doing so makes the whole unknown until its list is removed, because its workloads still run.
 */
export function createPushedLists(options: PushedListsOptions): ImageSource {
  const { place, expiry, interval, log } = options
  const stop = new AbortController()
  let lists: readonly List[] = []
  let changes = 0
  let failure: string | undefined = 'not read yet'

  const poll = async (): Promise<void> => {
    try {
      const read = await readLists(place, lists)
      if (!isSame(read, lists)) changes += 1
      lists = read
      failure = undefined
    } catch (err) {
      failure = `cannot read the lists of other clusters in ${place.name}: ${err instanceof Error ? err.message : ''}`
      log.warn({ place: place.name, err }, 'cannot read the lists of images in use')
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
        `the list of cluster ${old.cluster} is ${minutes(Date.now() - old.modified)} min old; push a new one, or remove it with berth in-use remove ${old.cluster}`
      )
    },
    close: async () => {
      stop.abort()
      await Promise.all([running, place.close()])
    },
  }
}

/**
 * Replaces a cluster's list in one step. `text`: an image reference on each line, or separated by
 * spaces, as kubectl's jsonpath prints them.
 * @throws Error for an invalid name, or a list that is empty: it would allow to delete everything.
 */
export async function putList(place: ListPlace, cluster: string, text: string): Promise<number> {
  if (!listName.test(cluster))
    throw new Error(
      `invalid name of a cluster: ${JSON.stringify(cluster)}; use lower-case letters, digits, - and .`,
    )
  const images = parse(text)
  if (images.length === 0)
    throw new Error('the list has no image; a running cluster has some, so it was not stored')
  await place.put(cluster, `${images.join('\n')}\n`)
  return images.length
}

type List = {
  readonly cluster: string
  readonly modified: number
  readonly version: string
  readonly images: readonly string[]
}

async function readLists(place: ListPlace, known: readonly List[]): Promise<readonly List[]> {
  const found = (await place.list()).filter(({ cluster }) => listName.test(cluster))
  if (found.length > maxLists) throw new Error(`more than ${maxLists} lists`)
  const sorted = found.toSorted((one, other) => (one.cluster < other.cluster ? -1 : 1))
  return Promise.all(
    sorted.map(async (entry) => {
      const same = known.find(
        ({ cluster, version }) => cluster === entry.cluster && version === entry.version,
      )
      return { ...entry, images: same?.images ?? parse(await place.read(entry.cluster)) }
    }),
  )
}

function parse(text: string): readonly string[] {
  return [...new Set(text.split(/\s+/).filter((word) => word !== ''))]
}

function isSame(one: readonly List[], other: readonly List[]): boolean {
  return one.length === other.length && one.every(({ images }, at) => images === other[at]?.images)
}

function minutes(milliseconds: number): number {
  return Math.round(milliseconds / 60_000)
}
