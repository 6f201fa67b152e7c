import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createIndex, type Index } from '../../src/index/index.ts'
import { createMemory } from '../../src/memory/memory.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import {
  createLeases,
  createRegistry,
  type Registry,
  type Repository,
  type UploadRef,
  type WritableRepository,
} from '../../src/registry/registry.ts'
import {
  createDiskCache,
  createHostedStore,
  fingerprintOf,
  type HostedStore,
} from '../../src/store/store.ts'
import { eventually } from './berth.ts'
import { ownDirectory } from './directory.ts'
import { type Blob, family, type Image } from './images.ts'
import { watchedTelemetry } from './telemetry.ts'

type HostedOptions = Partial<Omit<Parameters<typeof createRegistry>[0]['hosted'], 'index'>> & {
  /** With an index, which has compared the volume. */
  readonly index?: boolean
}

/** A registry of hosted repositories on a real disk, without HTTP. */
export type HostedRegistry = {
  /** The directory of the volume. */
  readonly root: string
  readonly store: HostedStore
  readonly registry: Registry
  /** Undefined unless `index` was asked for. */
  readonly index: Index | undefined
  /** Both sides of a repository. @throws Error when it is read-only. */
  open(name: string): Opened
  /** Closes it, and opens the same volume again. */
  restart(options?: HostedOptions): Promise<HostedRegistry>
  close(): Promise<void>
}

export type Opened = Repository & WritableRepository

const writer = 'user alice'

export async function openHostedRegistry(
  t: TestContext,
  options: HostedOptions = {},
): Promise<HostedRegistry> {
  let current: HostedRegistry | undefined
  // It is closed before its directory is removed.
  t.after(() => current?.close())
  const own = await ownDirectory(t)
  const open = async (changed: HostedOptions): Promise<HostedRegistry> => {
    const { index = false, ...hosted } = { ...options, ...changed }
    const opened = await openIn(own, index, hosted)
    const restart = async (next: HostedOptions = {}) => {
      await opened.close()
      return open({ ...changed, ...next })
    }
    current = { ...opened, restart }
    return current
  }
  return open({})
}

async function openIn(
  own: string,
  hasIndex: boolean,
  options: Omit<HostedOptions, 'index'>,
): Promise<Omit<HostedRegistry, 'restart'>> {
  const root = join(own, 'hosted')
  const { telemetry } = watchedTelemetry()
  const store = await createHostedStore({ root, telemetry })
  const cache = await createDiskCache({
    root: join(own, 'cache'),
    maxSize: 2 ** 20,
    minimumFree: 0,
    scrubRate: 0,
    scrubInterval: 60_000,
    telemetry,
  })
  const index = hasIndex
    ? createIndex({
        directory: join(root, '_berth'),
        fallbacks: [],
        source: { ...store, fingerprint: () => fingerprintOf(root) },
        telemetry,
      })
    : undefined
  await eventually('the index is verified', () => index?.unverified() === undefined)
  const memory = createMemory(2 ** 28)
  const registry = createRegistry({
    upstreams: [],
    cache,
    hosted: {
      prefixes: [{ prefix: 'local', anonymous: false }],
      store,
      index,
      leases: createLeases({ life: 60_000, now: Date.now }),
      inUse: { hasDigest: () => false, hasTag: () => false, tagsOf: () => [] },
      readOnly: false,
      uploadExpiry: 60_000,
      ...options,
    },
    fillDeadline: 60_000,
    fillStall: 60_000,
    answerTime: 20_000,
    ...memory,
    telemetry,
  })
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= registry.close().then(async () => {
      await index?.close()
      await Promise.all([cache.close(), store.close()])
    })
    return closing
  }

  return {
    root,
    store,
    registry,
    index,
    open: (name) => {
      const { repository, writable } = registry.resolve(parseRepositoryName(name))
      if (writable === undefined) throw new Error(`${name} is read-only`)
      return { ...repository, ...writable }
    },
    close,
  }
}

/** Starts an upload session of sha256. */
export async function startUpload(repository: WritableRepository): Promise<UploadRef> {
  const { id } = await repository.startUpload({ writer, algorithm: 'sha256' })
  return { id, writer }
}

/** The body of a request, in pieces. */
export async function* bodyOf(bytes: Buffer, piece = 65_536) {
  for (let at = 0; at < bytes.length; at += piece) yield [bytes.subarray(at, at + piece)]
}

export async function pushBlob(repository: WritableRepository, blob: Blob): Promise<void> {
  const upload = await startUpload(repository)
  await repository.finishUpload(upload, blob.digest, bodyOf(blob.bytes))
}

/** Pushes an image or an index with everything below it, and points tags to it. */
export async function pushImage(
  repository: WritableRepository,
  image: Image,
  ...tags: readonly string[]
): Promise<void> {
  for (const one of family(image).toReversed()) {
    for (const blob of one.blobs) await pushBlob(repository, blob)
    await putManifest(repository, one, one === image ? tags : [])
  }
}

/** Puts a manifest by its digest. */
export function putManifest(
  repository: WritableRepository,
  { digest, bytes, mediaType }: Image,
  tags: readonly string[] = [],
) {
  return repository.putManifest({
    reference: { digest },
    tags: tags as readonly Tag[],
    bytes,
    contentType: mediaType,
    writer,
  })
}
