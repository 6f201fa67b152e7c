import type { Digest } from '../../oci/digest.ts'
import type { createBlobReader } from '../blob-reader.ts'
import type { BlobCache } from '../blob-store.ts'
import type { HashTurns } from '../hash-turns.ts'
import { adoptBlob } from './adopt-blob.ts'
import type { CreateFile } from './blob-files.ts'
import { createBlobWriter } from './blob-writer.ts'
import { createCachedUpload } from './cached-upload.ts'

type Options = {
  readonly createFile: CreateFile
  readonly reader: ReturnType<typeof createBlobReader>
  readonly hashTurn: HashTurns
  /** Measures the directories of a blob that was written, or not. */
  readonly measure: (digest: Digest) => void
}

/** How blobs get into the cache: downloaded, pushed, or as they are in memory. */
export function createCacheWrites({
  createFile,
  reader,
  hashTurn,
  measure,
}: Options): Pick<BlobCache, 'create' | 'createUpload' | 'adopt' | 'put'> {
  const create: BlobCache['create'] = (digest, size) =>
    createFile(digest, (place) =>
      createBlobWriter({
        ...place,
        digest,
        size,
        hashTurn,
        onCommit: (stamp) => {
          reader.trust(digest, stamp)
          measure(digest)
        },
        onFailure: (error) => {
          place.onFailure(error)
          measure(digest)
        },
        onSuspect: () => reader.suspect(digest),
      }),
    )

  return {
    create,
    adopt: async (digest, file) => {
      await createFile(`the pushed blob ${digest}`, async (place) => {
        const stamp = await adoptBlob(place, { ...file, digest })
        if (stamp !== undefined) reader.trust(digest, stamp)
        measure(digest)
      })
    },
    createUpload: (algorithm) =>
      createFile('an upload', (place) =>
        createCachedUpload({
          ...place,
          algorithm,
          hashTurn,
          onCommit: (digest, stamp) => {
            reader.trust(digest, stamp)
            measure(digest)
          },
        }),
      ),
    put: async (digest, bytes) => {
      const writer = await create(digest, bytes.length)
      if (writer === undefined) return
      try {
        await writer.write([bytes])
        await writer.commit()
      } catch (error) {
        await writer.abort(error)
      }
    },
  }
}
