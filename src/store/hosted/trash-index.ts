import type { Digest } from '../../oci/digest.ts'
import type { RunId } from './run-id.ts'

/** Blobs in the trash whose run is remembered; about 100 bytes each. */
const maxRemembered = 200_000

/** Which run removed a blob last. */
export interface TrashIndex {
  /** Undefined: the blob is not in the trash. */
  runOf(digest: Digest): Promise<RunId | undefined>
  add(digest: Digest, run: RunId): Promise<void>
  delete(digest: Digest): Promise<void>
  /** The run has been freed. */
  forget(run: RunId): Promise<void>
}

type TrashIndexOptions = {
  /** Blobs in the trash, those of the oldest run first. */
  readonly scan: () => AsyncIterable<{ readonly digest: Digest; readonly run: RunId }>
  /** The newest run with the blob, looked up on the disk. */
  readonly find: (digest: Digest) => Promise<RunId | undefined>
}

/**
 * In memory, because each HEAD before a push asks for a blob that does not exist. The trash is
 * scanned at the first use. If it has too many blobs, each request looks on the disk.
 */
export function createTrashIndex({ scan, find }: TrashIndexOptions): TrashIndex {
  const runs = new Map<Digest, RunId>()
  let isTooLarge = false
  let loading: Promise<void> | undefined

  const put = (digest: Digest, run: RunId): void => {
    if (isTooLarge) return
    runs.set(digest, run)
    isTooLarge = runs.size > maxRemembered
    if (isTooLarge) runs.clear()
  }

  const load = async (): Promise<void> => {
    for await (const { digest, run } of scan()) {
      put(digest, run)
      if (isTooLarge) return
    }
  }

  const loaded = (): Promise<void> => {
    loading ??= load().catch((error: unknown) => {
      loading = undefined
      throw error
    })
    return loading
  }

  return {
    runOf: async (digest) => {
      await loaded()
      return isTooLarge ? find(digest) : runs.get(digest)
    },
    add: async (digest, run) => {
      await loaded()
      put(digest, run)
    },
    delete: async (digest) => {
      await loaded()
      runs.delete(digest)
    },
    forget: async (run) => {
      await loaded()
      for (const [digest, other] of runs) if (other === run) runs.delete(digest)
    },
  }
}
