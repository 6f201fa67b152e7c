import type { Identity } from '../auth/auth.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Access } from './access.ts'
import type { InUse } from './answers.ts'

type Use = InUse['uses'][number]

/** What workloads name (in-use/). */
export interface Workloads {
  /** Why it is not known; undefined: it is. */
  problem(): string | undefined
  has(entry: {
    readonly name: RepositoryName
    readonly tag?: Tag | undefined
    readonly digest: Digest
  }): boolean
  usesOf(image: {
    readonly name: RepositoryName
    readonly tag?: Tag | undefined
    readonly digests: readonly Digest[]
  }): Iterable<Use>
  runningOf(name: RepositoryName, tag: Tag): readonly RunningDigest[]
}

/** `pods`: how many run it under a tag. */
type RunningDigest = { readonly digest: Digest; readonly pods: number }

export type UsesOptions = { readonly workloads: Workloads; readonly access: Access }

type Asked = {
  readonly identity: Identity
  readonly repository: { readonly name: RepositoryName; readonly anonymous: boolean }
  readonly digest: Digest
  readonly tags: readonly Tag[]
}

/** Uses in one answer. */
const maxUses = 200

/** Who uses an image, by its digest or one of its tags. */
export function usesOf({ workloads, access }: UsesOptions, asked: Asked): InUse {
  const { identity, repository, digest, tags } = asked
  const { name } = repository
  const isInUse = [undefined, ...tags].some((tag) => workloads.has({ name, tag, digest }))
  const uses = access.seesWorkloads(identity, repository)
    ? distinct(workloads, { name, digest, tags })
    : []
  const problem = workloads.problem()
  return {
    known: problem === undefined,
    problem,
    isInUse,
    uses: uses.slice(0, maxUses),
    truncated: uses.length > maxUses,
  }
}

/** Until there are more than an answer has. */
function distinct(
  workloads: Workloads,
  { name, digest, tags }: Pick<Asked, 'digest' | 'tags'> & { readonly name: RepositoryName },
): readonly Use[] {
  const found = new Map<string, Use>()
  for (const tag of tags.length === 0 ? [undefined] : tags)
    for (const { image, kind, namespace, name: object, node, running } of workloads.usesOf({
      name,
      tag,
      digests: [digest],
    })) {
      found.set([image, kind, namespace, object].join(' '), {
        image,
        kind,
        namespace,
        name: object,
        node,
        running,
      })
      if (found.size > maxUses) return [...found.values()]
    }
  return [...found.values()]
}
