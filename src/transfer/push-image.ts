import type { ImageSource, SourceBlob, SourceManifest } from '../archive/archive.ts'
import type { Chunks } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseManifest } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { BlobToUpload, Remote } from '../remote/remote.ts'
import { forEachOf } from './for-each-of.ts'

/** `present`: the registry has the blob. `sending` has the bytes of this attempt, `sent` all. */
export type Progress = {
  readonly digest: Digest
  /** Bytes of the blob, and those that were sent. */
  readonly size: number
  readonly sent: number
  readonly state: 'present' | 'mounted' | 'sending' | 'sent'
}

type PushOptions = {
  readonly source: ImageSource
  /** One of the source's images. */
  readonly image: Digest
  readonly remote: Remote
  readonly name: RepositoryName
  /** Empty: the image is pushed by its digest alone. */
  readonly tags: readonly Tag[]
  /** Blobs at a time. */
  readonly parallel?: number | undefined
  /** A repository of the same registry that may have the blobs. */
  readonly mountFrom?: RepositoryName | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
  readonly signal: AbortSignal
}

export type Pushed = {
  readonly digest: Digest
  /** Bytes of blobs that were sent, and of blobs that the registry had. */
  readonly sent: number
  readonly present: number
}

const defaultParallel = 3

/**
 * Pushes an image with all that it references:
 * 1. Read its manifests, from the index down.
 * 2. HEAD of each config and layer; upload those that the registry lacks.
 * 3. Put the manifests, those that are referenced first, and the root under its tags.
 * 4. HEAD of the root by its digest and by its tags: only this proves that the registry has it.
 * @throws RegistryError as RemoteWriter does; UNAVAILABLE if the proof fails; errors of the source.
 */
export async function pushImage(options: PushOptions): Promise<Pushed> {
  const { source, image, remote, name, tags, signal, parallel = defaultParallel } = options
  const manifests = await manifestsOf(source, image)
  let sent = 0
  let present = 0
  await forEachOf(blobsOf(manifests), { parallel, signal }, async (blob) => {
    const isSent = await pushBlob(blob, options)
    if (isSent) sent += blob.size
    else present += blob.size
  })
  for (const manifest of manifests) {
    signal.throwIfAborted()
    const isRoot = manifest.digest === image
    if (!isRoot || tags.length === 0)
      await remote.writer.putManifest(name, { digest: manifest.digest }, manifest)
    else for (const tag of tags) await remote.writer.putManifest(name, { tag }, manifest)
  }
  await assertPushed(options)
  return { digest: image, sent, present }
}

/** The manifest after all that it references. */
async function manifestsOf(
  source: ImageSource,
  digest: Digest,
): Promise<readonly SourceManifest[]> {
  const manifest = await source.manifest(digest)
  const { isIndex, references } = parseManifest(manifest.bytes, manifest.mediaType)
  const found = new Map<Digest, SourceManifest>()
  if (isIndex)
    for (const child of references)
      for (const each of await manifestsOf(source, child.digest)) found.set(each.digest, each)
  return [...found.values(), manifest]
}

function blobsOf(manifests: readonly SourceManifest[]): readonly SourceBlob[] {
  const blobs = new Map<Digest, SourceBlob>()
  for (const { bytes, mediaType } of manifests) {
    const { isIndex, references } = parseManifest(bytes, mediaType)
    if (!isIndex) for (const { digest, size } of references) blobs.set(digest, { digest, size })
  }
  return [...blobs.values()]
}

/** False: the registry has it. */
async function pushBlob(blob: SourceBlob, options: PushOptions): Promise<boolean> {
  const { source, remote, name, mountFrom, onProgress = () => {}, signal } = options
  const { digest, size } = blob
  if (await remote.writer.hasBlob(name, digest)) {
    onProgress({ digest, size, sent: 0, state: 'present' })
    return false
  }
  if (
    mountFrom !== undefined &&
    (await remote.writer.mountBlob(name, { digest, from: mountFrom }))
  ) {
    onProgress({ digest, size, sent: 0, state: 'mounted' })
    return false
  }
  const open: BlobToUpload['open'] = () => {
    const reading = new AbortController()
    const until = AbortSignal.any([signal, reading.signal])
    const report = (sent: number) => onProgress({ digest, size, sent, state: 'sending' })
    return {
      chunks: counted(source.read(blob, { signal: until }), report),
      close: () => reading.abort(),
    }
  }
  await remote.writer.uploadBlob(name, { digest, size, open }, signal)
  onProgress({ digest, size, sent: size, state: 'sent' })
  return true
}

async function* counted(
  chunks: AsyncIterable<Buffer>,
  report: (sent: number) => void,
): AsyncGenerator<Chunks> {
  let sent = 0
  for await (const chunk of chunks) {
    yield [chunk]
    sent += chunk.length
    report(sent)
  }
}

/** A registry of several replicas may answer a write before all of them can read it. */
async function assertPushed({ remote, name, image, tags }: PushOptions): Promise<void> {
  const byDigest = await remote.manifest(name, { digest: image })
  byDigest?.release()
  if (byDigest === undefined) throw unproven(remote, `${name}@${image}`)
  for (const tag of tags) {
    const found = await remote.resolve(name, tag)
    if (typeof found === 'object') found.release()
    const digest = typeof found === 'object' ? found.digest : found
    if (digest !== image) throw unproven(remote, `${name}:${tag}`)
  }
}

function unproven({ origin }: Remote, reference: string): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} accepted ${reference}, but does not return it`,
    advice: 'retry; if this repeats, another client may push to the same tag',
  })
}
