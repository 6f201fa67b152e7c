import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'

/** What refers to an image or one of its platforms. */
export type Referrer = {
  readonly subject: Digest
  readonly digest: string
  readonly artifactType?: string
  readonly size?: number
}

/** A registry that cannot list them has an image nevertheless: the problem is printed. */
export async function referrersOf(
  remote: Remote,
  name: RepositoryName,
  digests: readonly Digest[],
): Promise<readonly Referrer[] | { readonly problem: string }> {
  try {
    const found = await Promise.all(
      [...new Set(digests)].map(async (subject) => {
        const { descriptors } = await remote.referrers(name, subject)
        return descriptors.flatMap((descriptor) => referrerOf(subject, descriptor))
      }),
    )
    return found.flat()
  } catch (error) {
    if (!isRegistryError(error)) throw error
    return { problem: error.message }
  }
}

function referrerOf(subject: Digest, descriptor: unknown): readonly Referrer[] {
  if (typeof descriptor !== 'object' || descriptor === null) return []
  const { digest, artifactType, mediaType, size } = descriptor as Record<string, unknown>
  if (typeof digest !== 'string' || !isDigest(digest)) return []
  const type = [artifactType, mediaType].find((each) => typeof each === 'string' && each !== '')
  return [
    {
      subject,
      digest,
      ...(typeof type === 'string' && { artifactType: type }),
      ...(typeof size === 'number' && { size }),
    },
  ]
}
