import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** An image whose blobs are never evicted. */
export type Pin = {
  readonly name: RepositoryName
  readonly digest: Digest
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Its manifests, configs and layers, also those that are not stored, with sizes in bytes. */
  readonly parts: ReadonlyMap<Digest, number>
}

/** The pinned images of a cache. They outlive the process. */
export interface Pins {
  /** Bytes that may be pinned. */
  readonly limit: number
  list(): readonly Pin[]
  find(name: RepositoryName, digest: Digest): Pin | undefined
  /** Whether a pinned image has the blob. */
  holds(digest: Digest): boolean
  /** Bytes of all pinned images, each blob once. */
  bytes(): number
  /**
   * Replaces an earlier pin of the image.
   * @throws RegistryError UNSUPPORTED, status 409: there is no room for it; UNAVAILABLE: the disk fails.
   */
  add(pin: Pin): Promise<void>
  /** False: the image is not pinned. */
  remove(name: RepositoryName, digest: Digest): Promise<boolean>
}
