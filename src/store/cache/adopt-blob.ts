import { open, stat } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'
import type { Stamp } from '../../oci/file-stamp.ts'
import type { VerifiedFile } from '../blob-store.ts'
import { blobOverhead, type Place, placeBlob } from './place-blob.ts'

/** Makes a verified file, which was written elsewhere on the file system, a blob. Undefined: it cannot. */
export async function adoptBlob(
  place: Place,
  { digest, path, size, checksums }: VerifiedFile & { readonly digest: Digest },
): Promise<Stamp | undefined> {
  if (!(await areOnOneDevice(place.root, path))) return undefined
  const reservation = await place.budget.reserve(size + blobOverhead)
  if (reservation === undefined) return undefined
  try {
    if (!(await reservation.arrive(size + blobOverhead))) return undefined
    await using handle = await open(path)
    const checksummer = checksums && { finish: () => checksums }
    const file = { digest, size, path, handle, checksummer, reservation }
    const { stamp, unpin } = await placeBlob(place, file)
    unpin()
    return stamp
  } finally {
    reservation.release()
  }
}

/** Whether a rename can move a file from one to the other. */
async function areOnOneDevice(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([stat(one), stat(other)])
  return first.dev === second.dev
}
