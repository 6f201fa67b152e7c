import type { Digest } from '../../oci/digest.ts'
import { parseManifestDetails } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { addReferrer, type Remote, removeReferrer } from '../../remote/remote.ts'
import { createLocks } from '../locks.ts'
import type { ProxiedManifests } from '../proxied-manifests.ts'

type Referrer = Parameters<typeof addReferrer>[2]

/**
 * The lists of referrers at an upstream without the referrers API (distribution-spec, "Referrers Tag Schema").
 *
 * The danger: Berth answers the API for such an upstream, too, so clients that ask for it (cosign, crane) do not
 * maintain the tag, and what they sign would be found by nobody. So Berth maintains it, and says so by `OCI-Subject` to
 * those that would. Changes through this process come one after another; others may come in between.
 */
export interface ReferrersTags {
  /** Adds what was pushed just now, unless the upstream lists it, or it refers to nothing. */
  add(name: RepositoryName, referrer: Referrer): Promise<void>
  /** Removes what was deleted just now, if it is listed. */
  remove(name: RepositoryName, referrer: Referrer): Promise<void>
}

type ReferrersTagsOptions = {
  readonly remote: Remote
  readonly manifests: Pick<ProxiedManifests, 'addPushed'>
}

export function createReferrersTags({ remote, manifests }: ReferrersTagsOptions): ReferrersTags {
  const locks = createLocks()

  const change = async (
    how: typeof addReferrer,
    name: RepositoryName,
    referrer: Referrer,
  ): Promise<void> => {
    const subject = subjectOf(referrer)
    if (subject === undefined) return
    await locks.exclusive(`${name}@${subject}`, async () => {
      const index = await how(remote, name, referrer)
      if (index === undefined) return
      const { digest, bytes, tag } = index
      await manifests.addPushed(name, { digest, bytes, tags: [tag] })
    })
  }

  return {
    add: (name, referrer) => change(addReferrer, name, referrer),
    remove: (name, referrer) => change(removeReferrer, name, referrer),
  }
}

/** Undefined for what is no valid manifest, too: it can be deleted. */
function subjectOf({ bytes }: Referrer): Digest | undefined {
  try {
    return parseManifestDetails(bytes).subject?.digest
  } catch {
    return undefined
  }
}
