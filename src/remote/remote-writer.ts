import type { Chunks } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'

/** A blob to upload. Its bytes are read from the first on, once for each attempt. */
export type BlobToUpload = {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly open: () => OpenedBlob
}

/** A blob whose bytes may be read from any byte on. */
export type ResumableBlob = Omit<BlobToUpload, 'open'> & {
  readonly open: (start: number) => OpenedBlob
  /** A repository of the same upstream that has the blob, if it is known. */
  readonly mountFrom?: RepositoryName | undefined
}

export type OpenedBlob = {
  readonly chunks: AsyncIterable<Chunks>
  /** No more bytes are needed. */
  readonly close: () => void
}

type ManifestToPut = {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly mediaType: string
  /** More tags that are to point to it: only with a digest as reference. */
  readonly tags?: readonly Tag[]
}

type PutManifest = {
  /** The upstream lists it among the referrers of its subject (`OCI-Subject`). */
  readonly isListed: boolean
  /** Those of the further tags that the upstream has set (`OCI-Tag`): old registries set none. */
  readonly tags: readonly Tag[]
}

/** `mounted`: from another repository of the upstream, so that nothing was sent. */
export type Uploaded = 'sent' | 'mounted'

/** One blob on its way, over any number of connections. */
export interface ResumableUpload {
  /**
   * Resolves when the upstream has acknowledged the whole blob. Sends without retries: after an error that
   * is temporary (see isTemporary) it may be called again, and continues where the upstream says.
   */
  run(signal: AbortSignal): Promise<Uploaded>
  /** The most bytes that the upstream has acknowledged so far. */
  acknowledged(): number
  /** To be called at the end: cancels the session of an incomplete upload. Does not reject. */
  close(): Promise<void>
}

/**
 * Writes to one upstream registry. Steps that can be repeated are repeated after failures of the
 * upstream, a few times. Throws a RegistryError: DENIED (403) when the upstream refuses access,
 * UNAVAILABLE (502, 503, 504) when it is broken or unreachable, or what it says against the request.
 */
export interface RemoteWriter {
  /** False also when it is unknown: an upload then shows it. */
  hasBlob(name: RepositoryName, digest: Digest, signal?: AbortSignal): Promise<boolean>
  /**
   * Sends a blob by one PUT, and again from its first byte if that fails. Resolves when the upstream has
   * acknowledged it. `signal` ends the upload.
   */
  uploadBlob(name: RepositoryName, blob: BlobToUpload, signal: AbortSignal): Promise<void>
  /**
   * Mounts a blob from a repository that has it, or sends it in parts, and continues after failures. Nothing is sent
   * before it runs.
   */
  resumableUpload(name: RepositoryName, blob: ResumableBlob): ResumableUpload
  /** False: the upstream did not mount it, and it must be uploaded. */
  mountBlob(
    name: RepositoryName,
    mount: {
      readonly digest: Digest
      readonly from: RepositoryName
      readonly signal?: AbortSignal | undefined
    },
  ): Promise<boolean>
  putManifest(
    name: RepositoryName,
    reference: Reference,
    manifest: ManifestToPut,
    signal?: AbortSignal,
  ): Promise<PutManifest>
  /** A tag, or a manifest with its tags. False: there is none. */
  deleteManifest(name: RepositoryName, reference: Reference): Promise<boolean>
  deleteBlob(name: RepositoryName, digest: Digest): Promise<boolean>
}
