import type { TestContext } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../src/oci/reference.ts'
import { createHostedStore, type HostedStore, type Upload } from '../../src/store/store.ts'
import { ownDirectory } from './directory.ts'
import { temporaryFiles } from './disk.ts'
import type { Blob } from './images.ts'
import { type Watched, watchedTelemetry } from './telemetry.ts'

export type HostedUnderTest = Watched & {
  readonly root: string
  readonly store: HostedStore
  /** Blobs that came back from the trash because they were read. */
  readonly restored: readonly Digest[]
  /** Unfinished files. */
  leftovers(): Promise<readonly string[]>
  /** Closes the store, and opens another one on the same volume. */
  restarted(): Promise<HostedUnderTest>
}

/** A store of hosted repositories on a disk, closed at the end of the test. */
export async function hostedStore(t: TestContext, at?: string): Promise<HostedUnderTest> {
  const root = at ?? (await ownDirectory(t))
  const watched = watchedTelemetry()
  const restored: Digest[] = []
  const store = await createHostedStore({
    root,
    telemetry: watched.telemetry,
    onRestored: (digest) => void restored.push(digest),
  })
  t.after(() => store.close())
  return {
    ...watched,
    root,
    store,
    restored,
    leftovers: () => temporaryFiles(root),
    restarted: async () => {
      await store.close()
      return hostedStore(t, root)
    },
  }
}

export const app = parseRepositoryName('team/app')

export function startUpload({ uploads }: HostedStore, name = app): Promise<Upload> {
  return uploads.create(name, { writer: 'user alice', algorithm: 'sha256' })
}

/** Uploads a blob, and links it. */
export async function pushBlob(
  store: HostedStore,
  { digest, bytes }: Blob,
  name: RepositoryName = app,
): Promise<void> {
  const upload = await startUpload(store, name)
  await upload.append([bytes])
  await upload.commit(digest)
  await store.links.addBlob(name, digest)
}

/** All values of an iterable. */
export async function all<Value>(values: AsyncIterable<Value>): Promise<readonly Value[]> {
  const found: Value[] = []
  for await (const value of values) found.push(value)
  return found
}
