import type { ImageSource, SourceBlob, SourceManifest } from '../archive/archive.ts'
import type { Chunks } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { parseManifest } from '../oci/manifest.ts'
import { formatReference, type Reference, type RepositoryName, type Tag } from '../oci/reference.ts'
import { addReferrer, type Remote, type ResumableBlob } from '../remote/remote.ts'
import { forEachOf } from './for-each-of.ts'
import { createPersistence, type Persistence, type PersistOptions } from './persist.ts'

/**
 * `waiting` is reported of all blobs, before the first other one. `present`: the registry has the blob.
 * `received`: it was read from a registry. `sent` has the bytes up to which it was read for sending.
 */
export type Progress = {
  readonly digest: Digest
  /** Bytes of the blob, and those that were sent. */
  readonly size: number
  readonly sent: number
  readonly state: 'waiting' | 'present' | 'mounted' | 'sending' | 'sent' | 'received'
}

type PushOptions = PersistOptions & {
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
  /** The registry has a manifest that refers to another one, and refuses to list it. */
  readonly onUnlisted?: ((error: RegistryError) => void) | undefined
  readonly signal: AbortSignal
}

export type Pushed = {
  readonly digest: Digest
  /** Bytes of blobs that were sent, and of blobs that the registry had. */
  readonly sent: number
  readonly present: number
}

const defaultParallel = 3

/** A registry of several replicas may answer a write before all of them can read it; in milliseconds. */
const maxProofWait = 10_000

/**
 * Pushes an image with all that it references:
 * 1. Read its manifests, from the index down.
 * 2. HEAD of each config and layer. Those that another repository has are mounted, and the others are uploaded. An upload
 *    that breaks continues.
 * 3. Put the manifests, those that are referenced first, and the root under its tags. One that refers to another is listed
 *    under the tag of referrers, if the registry has no list. If that is refused, the push goes on.
 * 4. Get the root by its digest and by its tags, on new connections: only this proves that the registry has it.
 * Each step is repeated while the registry cannot be reached. A blob that fails ends the other uploads.
 * @throws RegistryError as RemoteWriter does; UNAVAILABLE if the proof fails; errors of the source.
 */
export async function pushImage(options: PushOptions): Promise<Pushed> {
  const { source, image, signal, parallel = defaultParallel } = options
  const persistence = createPersistence(options)
  // The source may be a registry too, which answers or not by itself.
  const manifests = await createPersistence(options).persist({
    attempt: `read the manifests of ${image}`,
    run: () => manifestsOf(source, image),
    signal,
  })
  let sent = 0
  let present = 0
  const blobs = blobsOf(manifests)
  reportWaiting(blobs, options)
  await forEachOf(blobs, {
    parallel,
    signal,
    action: async (blob, until) => {
      const isSent = await pushBlob(blob, { ...options, persistence, signal: until })
      if (isSent) sent += blob.size
      else present += blob.size
    },
  })
  for (const manifest of manifests) await putManifest(manifest, { ...options, persistence })
  await assertPushed({ ...options, persistence })
  return { digest: image, sent, present }
}

/** Reports all blobs of an image as `waiting`, so that the size of the whole is known. */
export async function announceImage(
  source: ImageSource,
  image: Digest,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  reportWaiting(blobsOf(await manifestsOf(source, image)), { onProgress })
}

function reportWaiting(
  blobs: readonly SourceBlob[],
  { onProgress = () => {} }: Pick<PushOptions, 'onProgress'>,
): void {
  for (const { digest, size } of blobs) onProgress({ digest, size, sent: 0, state: 'waiting' })
}

type Pushing = PushOptions & { readonly persistence: Persistence }

async function putManifest(manifest: SourceManifest, pushing: Pushing): Promise<void> {
  const { image, remote, name, tags, signal, persistence } = pushing
  const { digest } = manifest
  const references =
    digest === image && tags.length > 0 ? tags.map((tag) => ({ tag })) : [{ digest }]
  let isListed = false
  for (const reference of references)
    ({ isListed } = await persistence.persist({
      attempt: `put the manifest ${digest} as ${referenceTo(pushing, reference)}`,
      run: () => remote.writer.putManifest(name, reference, manifest, signal),
      signal,
    }))
  if (!isListed) await list(manifest, pushing)
}

async function list(manifest: SourceManifest, pushing: Pushing): Promise<void> {
  const { remote, name, onUnlisted = () => {}, signal, persistence } = pushing
  try {
    await persistence.persist({
      attempt: `list ${manifest.digest} among the referrers of its subject`,
      run: () => addReferrer(remote, name, manifest),
      signal,
    })
  } catch (error) {
    const isFailure = isRegistryError(error, 'UNAVAILABLE', 'TOOMANYREQUESTS')
    if (isFailure || !isRegistryError(error)) throw error
    onUnlisted(error)
  }
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
async function pushBlob(blob: SourceBlob, pushing: Pushing): Promise<boolean> {
  const { remote, name, mountFrom, onProgress = () => {}, signal, persistence } = pushing
  const { writer, origin } = remote
  const { digest, size } = blob
  const place = `${origin}/${name}`
  const isPresent = await persistence.persist({
    attempt: `look for ${digest} in ${place}`,
    run: () => writer.hasBlob(name, digest, signal),
    signal,
  })
  if (isPresent) {
    onProgress({ digest, size, sent: 0, state: 'present' })
    return false
  }
  const open = opener(blob, pushing)
  const upload = writer.resumableUpload(name, { ...blob, open, mountFrom })
  try {
    const state = await persistence.persist({
      attempt: `upload ${digest} (${size} bytes) to ${place}`,
      run: () => upload.run(signal),
      progress: upload.acknowledged,
      signal,
    })
    const isSent = state === 'sent'
    onProgress({ digest, size, sent: isSent ? size : 0, state })
    return isSent
  } finally {
    await upload.close()
  }
}

function opener(blob: SourceBlob, pushing: Pushing): ResumableBlob['open'] {
  const { source, onProgress = () => {}, signal } = pushing
  const { digest, size } = blob
  return (start) => {
    const reading = new AbortController()
    const until = AbortSignal.any([signal, reading.signal])
    const report = (sent: number) => onProgress({ digest, size, sent, state: 'sending' })
    return {
      chunks: counted(source.read(blob, { start, signal: until }), { start, report }),
      close: () => reading.abort(),
    }
  }
}

async function* counted(
  chunks: AsyncIterable<Buffer>,
  { start, report }: { readonly start: number; readonly report: (sent: number) => void },
): AsyncGenerator<Chunks> {
  let sent = start
  for await (const chunk of chunks) {
    yield [chunk]
    sent += chunk.length
    report(sent)
  }
}

/** The danger: a pooled connection may lead to the one replica that has the image, or to a stale cache. */
async function assertPushed(pushing: Pushing): Promise<void> {
  const { remote, name, image, tags, signal, persistence } = pushing
  const how = { signal, isFresh: true }
  const prove = async (reference: Reference, find: () => Promise<Digest | undefined>) => {
    const shown = referenceTo(pushing, reference)
    await persistence.persist({
      attempt: `verify ${shown}`,
      run: async () => {
        if ((await find()) !== image) throw unproven(remote, shown)
      },
      signal,
      maxPatience: maxProofWait,
    })
  }
  await prove({ digest: image }, async () => {
    const found = await remote.manifest(name, { digest: image }, how)
    found?.release()
    return found?.digest
  })
  for (const tag of tags)
    await prove({ tag }, async () => {
      const found = await remote.resolve(name, tag, how)
      if (typeof found !== 'object') return found
      found.release()
      return found.digest
    })
}

function referenceTo({ name }: Pushing, reference: Reference): string {
  return `${name}${'tag' in reference ? ':' : '@'}${formatReference(reference)}`
}

function unproven({ origin }: Remote, reference: string): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} accepted ${reference}, but does not return it`,
    advice: 'retry; if this repeats, another client may push to the same tag',
    retryAfter: 1,
  })
}
