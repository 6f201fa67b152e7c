import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { Digest } from '../../oci/digest.ts'
import { type Stamp, stampOf } from '../../oci/file-stamp.ts'
import type { BlockChecksums } from '../block-checksums.ts'
import { minChecksummed, writeChecksums } from '../checksum-file.ts'
import { isMissing, makeDirectory } from '../files.ts'
import { blobDirectory, blobPath } from '../paths.ts'
import type { Temporary } from '../temporary.ts'
import type { DurableFiles } from './durable-files.ts'
import type { WriteAccess } from './write-access.ts'

const maxDurable = 10_000

type StagedBlob = {
  readonly digest: Digest
  /** A verified file, which is on disk. */
  readonly path: string
  readonly checksums?: BlockChecksums
}

/** Where verified files become blobs. */
export interface BlobPlace extends Pick<WriteAccess, 'change'> {
  /**
   * Moves a file to its place. An older file of the same digest is replaced: it may have become
   * corrupt.
   */
  install(blob: StagedBlob): Promise<void>
  /** The file with this stamp was installed by this process. */
  trust(digest: Digest, stamp: Stamp): void
  /** The blob that is stored is one that this process has verified and synced. */
  isDurable(digest: Digest): Promise<boolean>
}

type BlobPlaceOptions = {
  readonly root: string
  readonly files: DurableFiles
  readonly temporary: Temporary
  readonly access: WriteAccess
  /** The blob need not be verified when it is read. */
  readonly onTrust: (digest: Digest, stamp: Stamp) => void
}

export function createBlobPlace(options: BlobPlaceOptions): BlobPlace {
  const { root, files, temporary, access, onTrust } = options
  const durable = new LRUCache<Digest, Stamp>({ max: maxDurable })

  /** Without an fsync: a blob without checksums, or with damaged ones, is hashed before its ranges. */
  const addChecksums = async (digest: Digest, checksums: BlockChecksums): Promise<void> => {
    await makeDirectory(blobDirectory(root, digest))
    await writeChecksums({ root, digest, checksums, temporary: await temporary.path() })
  }

  return {
    change: access.change,

    install: async ({ digest, path, checksums }) => {
      if (checksums !== undefined && checksums.size >= minChecksummed)
        await addChecksums(digest, checksums)
      const stable = dirname(blobDirectory(root, digest))
      await files.install({ from: path, to: blobPath(root, digest), stable })
    },

    trust: (digest, stamp) => {
      durable.set(digest, stamp)
      onTrust(digest, stamp)
    },

    isDurable: async (digest) => {
      const known = durable.get(digest)
      if (known === undefined) return false
      const file = await stat(blobPath(root, digest), { bigint: true }).catch((error: unknown) => {
        if (!isMissing(error)) throw error
      })
      if (file === undefined) return false
      const now = stampOf(file)
      return now.file === known.file && now.changed === known.changed
    },
  }
}
