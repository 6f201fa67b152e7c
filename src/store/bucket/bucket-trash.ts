import { z } from 'zod'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import { freeRuns } from '../hosted/free-runs.ts'
import type { RemovedTag, TagVersion, Trash, TrashEntry } from '../hosted/hosted-store.ts'
import { layerLink, referrerLink, revisionLink, trashDirectory } from '../hosted/layout.ts'
import { isRunId, parseRunId, type RunId, timeOfRun } from '../hosted/run-id.ts'
import type { WriteAccess } from '../hosted/write-access.ts'
import type { ObjectStore } from '../object-store.ts'
import { blobPath } from '../paths.ts'
import { childrenOf, entryKey, parseEntry, removedTagsPrefix, runPrefix } from './bucket-keys.ts'
import type { BucketTags } from './bucket-tags.ts'
import type { Marks } from './marks.ts'

const historySchema = z.array(z.object({ digest: z.string().refine(isDigest), at: z.number() }))

/** What is removed at once, with an entry in the trash; a blob gets a mark. */
type RemovedLink = Exclude<TrashEntry, { kind: 'blob' }>

/** {@link Trash}, and the way of links into it. */
export interface BucketTrash extends Trash {
  /** False: it does not exist. */
  take(entry: RemovedLink, run: RunId): Promise<boolean>
  /** What a tag that is in the trash pointed to, newest first. */
  tagHistory(name: RepositoryName, tag: Tag): Promise<readonly TagVersion[]>
  removedTags(name: RepositoryName): AsyncIterable<RemovedTag>
}

type TrashOptions = {
  readonly objects: ObjectStore
  readonly root: string
  readonly access: WriteAccess
  readonly marks: Marks
  readonly tags: BucketTags
}

/** The order of writes: what is removed has its entry first, and loses it last. */
export function createBucketTrash({
  objects,
  root,
  access,
  marks,
  tags,
}: TrashOptions): BucketTrash {
  const runIds = async (): Promise<readonly RunId[]> =>
    (await childrenOf(objects, trashDirectory(root))).filter(isRunId).toSorted().toReversed()

  async function* entriesOf(run: RunId): AsyncGenerator<TrashEntry, void, undefined> {
    const prefix = runPrefix(root, run)
    for await (const page of objects.list(prefix))
      for (const { key } of page.objects) {
        const entry = parseEntry(key.slice(prefix.length))
        if (entry !== undefined) yield entry
      }
  }

  const historyOf = async (
    run: RunId,
    name: RepositoryName,
    tag: Tag,
  ): Promise<readonly TagVersion[]> => {
    const found = await objects.read(entryKey(root, run, { kind: 'tag', name, tag }))
    return found === undefined ? [] : historySchema.parse(JSON.parse(found.bytes.toString()))
  }

  const restore = async (entry: TrashEntry, run: RunId): Promise<boolean> => {
    if (entry.kind === 'blob') return marks.restore(entry.digest)
    if (entry.kind === 'tag') {
      const { name, tag } = entry
      const existed = await tags.exists(name, tag)
      await tags.restore(name, tag, await historyOf(run, name, tag))
      return !existed
    }
    const result = await objects.put(linkKey(root, entry), Buffer.from(entry.digest), 'absent')
    return result.kind === 'created'
  }

  const freeRun = async (run: RunId) => {
    const removed: { readonly digest: Digest; readonly size: number }[] = []
    const keys: string[] = []
    for await (const entry of entriesOf(run)) {
      if (entry.kind === 'blob') removed.push({ digest: entry.digest, size: entry.size })
      else keys.push(entryKey(root, run, entry))
    }
    const freed = await marks.free(removed, run)
    await objects.delete(keys)
    return {
      entries: keys.length + freed.length,
      bytes: freed.reduce((sum, { size }) => sum + size, 0),
    }
  }

  return {
    take: (entry, run) =>
      access.change(async () => {
        const key = entryKey(root, parseRunId(run), entry)
        if (entry.kind === 'tag') {
          const history = await tags.versions(entry.name, entry.tag)
          if (history.length === 0) return false
          await objects.put(key, Buffer.from(JSON.stringify(history)))
          await tags.remove(entry.name, entry.tag)
          return true
        }
        if ((await objects.head(linkKey(root, entry))) === undefined) return false
        await objects.put(key, Buffer.from(entry.digest))
        await objects.delete([linkKey(root, entry)])
        return true
      }),

    tagHistory: async (name, tag) => {
      for (const run of await runIds()) {
        const history = await historyOf(run, name, tag)
        if (history.length > 0) return history
      }
      return []
    },

    removedTags: async function* (name) {
      const seen = new Set<string>()
      for (const run of await runIds()) {
        const prefix = removedTagsPrefix(root, run, name)
        for await (const page of objects.list(prefix, { delimiter: '/' }))
          for (const { key } of page.objects) {
            const tag = key.slice(prefix.length)
            if (!isTag(tag) || seen.has(tag)) continue
            seen.add(tag)
            if (await tags.exists(name, tag)) continue
            const [last] = await historyOf(run, name, tag)
            if (last !== undefined) yield { ...last, tag, removedAt: timeOfRun(run) }
          }
      }
    },

    runs: async () => {
      const prefix = `${trashDirectory(root)}/`
      const found = new Map<RunId, { entries: number; bytes: number }>()
      for await (const page of objects.list(prefix))
        for (const { key } of page.objects) {
          const [run = '', ...path] = key.slice(prefix.length).split('/')
          const entry = isRunId(run) ? parseEntry(path.join('/')) : undefined
          if (!isRunId(run) || entry === undefined) continue
          const { entries, bytes } = found.get(run) ?? { entries: 0, bytes: 0 }
          const size = entry.kind === 'blob' ? entry.size : 0
          found.set(run, { entries: entries + 1, bytes: bytes + size })
        }
      return [...found]
        .map(([run, sums]) => ({ run, at: timeOfRun(run), ...sums }))
        .toSorted((a, b) => (a.run < b.run ? 1 : -1))
    },

    entries: (run) => entriesOf(parseRunId(run)),

    blobs: async function* (run) {
      let removed: ReadonlySet<Digest> | undefined
      for await (const entry of entriesOf(parseRunId(run))) {
        if (entry.kind !== 'blob') continue
        // The deletions of clients have none.
        removed ??= await marks.all()
        if (removed.has(entry.digest)) yield entry.digest
      }
    },

    undo: (run) =>
      access.change(async () => {
        let restored = 0
        for await (const entry of entriesOf(parseRunId(run))) {
          if (await restore(entry, run)) restored += 1
          await objects.delete([entryKey(root, run, entry)])
        }
        return { restored }
      }),

    removedAt: marks.removedAt,

    restoreBlob: (digest) =>
      access.change(async () => {
        await marks.restore(digest)
        return (await objects.head(blobPath(root, digest))) !== undefined
      }),

    free: (what) => access.change(() => freeRuns(what, { runIds, freeRun })),
  }
}

function linkKey(root: string, entry: Exclude<RemovedLink, { kind: 'tag' }>): string {
  switch (entry.kind) {
    case 'layer':
      return layerLink(root, entry.name, entry.digest).path
    case 'manifest':
      return revisionLink(root, entry.name, entry.digest).path
    case 'referrer':
      return referrerLink(root, entry.name, entry).path
  }
}
