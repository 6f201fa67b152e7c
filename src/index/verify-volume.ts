import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../oci/digest.ts'
import { maxManifestSize } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { batches } from './batches.ts'
import type { Ask } from './database/database.ts'
import { inLanes } from './in-lanes.ts'
import type { IndexSource } from './index-source.ts'
import { readConfigs } from './read-configs.ts'

export type OnSubject = (name: RepositoryName, subject: Digest, manifest: Digest) => Promise<void>

type VerifyOptions = {
  readonly ask: Ask
  readonly source: IndexSource
  /** Milliseconds of rest for each millisecond of work on a disk. */
  readonly rest: number
  /** Called for each manifest with a subject. */
  readonly onSubject: OnSubject | undefined
  readonly onBlobs: (count: number) => void
  readonly signal: AbortSignal
}

/** Manifests that exist but cannot be read, so that it is unknown what they reference. */
export type Unreadable = { readonly name: RepositoryName; readonly digest: Digest }

const batchSize = 500
const tagBatchSize = 64
/** Bytes of manifests in one message. */
const manifestBatchSize = 8 * 1024 * 1024
const maxUnreadable = 100

/** Compares the whole volume with the database. Rejects when the volume cannot be read. */
export async function verifyVolume(options: VerifyOptions): Promise<readonly Unreadable[]> {
  const failure = new AbortController()
  const signal = AbortSignal.any([options.signal, failure.signal])
  try {
    return await verify({ ...options, signal })
  } finally {
    // What else runs ends as well.
    failure.abort()
  }
}

async function verify(options: VerifyOptions): Promise<readonly Unreadable[]> {
  const { ask, source, signal, onBlobs } = options
  const { links, blobs, width = 1 } = source
  const unreadable: Unreadable[] = []
  const step = createPacer(options)

  const verifyBlobs = async (): Promise<void> => {
    let count = 0
    for await (const batch of batches(blobs.list(), batchSize)) {
      await step(() => ask('foundBlobs', batch))
      count += batch.length
      onBlobs(count)
    }
  }

  const readManifest = async (name: RepositoryName, digest: Digest) => {
    const bytes = await blobs.read(digest, maxManifestSize)
    if (bytes !== undefined) return [{ digest, bytes }]
    const size = (await blobs.stat(digest))?.size ?? Number.POSITIVE_INFINITY
    if (size <= maxManifestSize && unreadable.length < maxUnreadable)
      unreadable.push({ name, digest })
    return []
  }

  const addManifests = async (name: RepositoryName, digests: readonly Digest[]): Promise<void> => {
    let manifests: { readonly digest: Digest; readonly bytes: Buffer }[] = []
    let size = 0
    const send = async (): Promise<void> => {
      const batch = manifests
      manifests = []
      size = 0
      if (batch.length > 0) await ask('addManifests', batch)
    }
    await inLanes(digests, width, async (digest) => {
      const [manifest] = await step(() => readManifest(name, digest))
      if (manifest === undefined) return
      manifests.push(manifest)
      size += manifest.bytes.length
      if (size >= manifestBatchSize / width) await send()
    })
    await send()
  }

  const readTag = async (name: RepositoryName, tag: Tag) => {
    const link = await links.tag(name, tag)
    return link === undefined ? [] : [{ tag, digest: link.digest, at: Date.now() - link.age }]
  }

  const verifyRepository = async (name: RepositoryName): Promise<void> => {
    for await (const batch of batches(links.blobsOf(name), batchSize))
      await step(() => ask('foundLinks', name, batch))
    for await (const batch of batches(links.manifestsOf(name), batchSize))
      await addManifests(name, await step(() => ask('foundManifests', name, batch)))
    const tags = (await links.tags(name)) ?? []
    for await (const batch of batches(tags, tagBatchSize))
      await step(async () => {
        const found = await Promise.all(batch.map((tag) => readTag(name, tag)))
        await ask('foundTags', name, found.flat())
      })
    await reportSubjects(options, name)
  }

  await ask('beginVerification')
  for (const table of await ask('tables')) await step(() => ask('checkTable', table))
  await verifyBlobs()
  await inLanes(links.names(), width, verifyRepository)
  signal.throwIfAborted()
  await source.confirm?.()
  await ask('finishVerification')
  await readConfigs({ ask, source, signal })
  return unreadable
}

async function reportSubjects(
  { ask, source, onSubject }: VerifyOptions,
  name: RepositoryName,
): Promise<void> {
  if (onSubject === undefined) return
  await inLanes(await ask('subjects', name), source.width ?? 1, ({ digest, subject }) =>
    onSubject(name, subject, digest),
  )
}

/** Does steps with rests that leave the disk to others, if the source is one. */
function createPacer({ source, rest, signal }: VerifyOptions) {
  let owed = 0
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    signal.throwIfAborted()
    if (source.width !== undefined) return work()
    const start = performance.now()
    const result = await work()
    owed += rest * (performance.now() - start)
    // Timers are not more precise.
    if (owed >= 2) {
      await sleep(owed, undefined, { signal })
      owed = 0
    }
    return result
  }
}
