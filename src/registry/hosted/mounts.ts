import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { WritableRepository } from '../repository.ts'
import { complete } from './hosted-index.ts'
import type { HostedParts } from './parts.ts'

/** Repositories in which a blob is looked for; each costs a system call. */
const maxLooks = 1000

type MountRequest = Parameters<WritableRepository['mount']>[0]

type MountsOptions = HostedParts & {
  /** Whether a name leads to a hosted repository, and not to an upstream. */
  readonly isHosted: (name: RepositoryName) => boolean
}

/**
 * Links a blob of another repository. False means at the same time that the blob does not exist, and
 * that the client may not know whether it does (distribution-spec, "Mounting a blob from another
 * repository").
 */
export function createMount({ store, index, leases, quotas, now, isHosted }: MountsOptions) {
  const { blobs, links } = store

  const hasBlob = async (name: RepositoryName, digest: Digest): Promise<boolean> =>
    isHosted(name) && links.hasBlob(name, digest)

  /** Access is decided before anything is looked up. */
  const findSource = async (
    name: RepositoryName,
    { digest, from, mayPull }: MountRequest,
  ): Promise<RepositoryName | undefined> => {
    if (from !== undefined) return mayPull(from) && (await hasBlob(from, digest)) ? from : undefined
    if (mayPull(name) && (await hasBlob(name, digest))) return name
    const others = await complete(index, ({ linkedIn }) => linkedIn(digest))
    let looks = 0
    // The directories answer while the index is read, as after a start.
    for await (const other of others ?? links.names()) {
      if (mayPull(other) && (await hasBlob(other, digest))) return other
      looks += 1
      if (looks === maxLooks) return undefined
    }
    return undefined
  }

  const link = async (name: RepositoryName, digest: Digest, size: number): Promise<void> => {
    if (await links.hasBlob(name, digest)) return
    const reservation = await quotas.reserve(name, size)
    let stored = 0
    try {
      await links.addBlob(name, digest)
      index?.apply([
        { kind: 'blob', digest, size, at: now() },
        { kind: 'link', name, digest },
      ])
      stored = size
    } finally {
      reservation.end(stored)
    }
  }

  return async (name: RepositoryName, request: MountRequest): Promise<boolean> => {
    const { digest } = request
    await leases.renew(digest)
    if ((await findSource(name, request)) === undefined) return false
    const stat = await blobs.stat(digest)
    if (stat === undefined) return false
    await link(name, digest, stat.size)
    return (await blobs.stat(digest)) !== undefined
  }
}
