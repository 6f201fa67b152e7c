import type { Identity } from '../../auth/auth.ts'
import { type Digest, parseDigest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import { type ManifestDetails, parseManifestDetails } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Inventory, RepositoryInventory, Resolved } from '../../registry/registry.ts'
import { type Access, rightsOf } from '../access.ts'
import type { Details } from '../answers.ts'
import type { Handler } from '../call.ts'
import type { Expiries } from '../expiries.ts'
import { createRunning } from '../running-digests.ts'
import { timeOf } from '../times.ts'
import { type UsesOptions, usesOf } from '../uses.ts'
import { createReferrerTree } from './referrer-tree.ts'

type Options = UsesOptions & { readonly inventory: Inventory; readonly expiries: Expiries }

/** Blobs and children in one answer. */
const maxBlobs = 1000

/** Everything that can change: no upstream is asked for more than a list of referrers. */
export function createGetDetails(options: Options): Handler<'details'> {
  const { inventory, expiries, access } = options
  const referrersOf = createReferrerTree()
  const runningOf = createRunning(options)

  return async (call) => {
    const { identity } = call
    const resolved = access.resolve(call)
    const { name } = resolved
    const digest = parseDigest(call.texts.digest)
    const repository = inventory.of(name)
    const found = await repository.image(digest)
    if (found === undefined)
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `${name} has no manifest ${digest} here`,
      })
    const { tags, parents, pushedAt, pushedBy, pulledAt, pinned } = found
    const problems: string[] = []
    const manifest = await readManifest(resolved, digest, problems)
    const digests = digestsIn(manifest)
    const runningUnder = async (tag: Tag) => ({
      tag,
      digests: await runningOf({ identity, resolved, tag, digest }),
    })
    const [stored, referrers, expiryOf, running] = await Promise.all([
      repository.stored([digest, ...digests.blobs, ...digests.children]),
      referrersOf(resolved, digest, problems),
      tags.length === 0 && repository.kind === 'hosted' ? expiries(name) : undefined,
      Promise.all(tags.map(runningUnder)),
    ])
    return {
      body: {
        name,
        kind: repository.kind,
        upstream: repository.upstream,
        digest,
        may: rightsOf(access, identity, resolved),
        tags,
        stored: stored.has(digest),
        parents,
        children: digests.children.map((each) => ({ digest: each, stored: stored.has(each) })),
        blobs: await describeBlobs({ access, identity, repository, name, digests, stored }),
        referrers: referrers.tree,
        referrersTruncated: referrers.isTruncated,
        pushedAt: timeOf(pushedAt),
        pushedBy,
        pulledAt: timeOf(pulledAt),
        pinned,
        expiry: expiryOf?.({ digest }),
        inUse: usesOf(options, { identity, repository: resolved, digest, tags }),
        running: running.filter(({ digests }) => digests.length > 0),
        problems: [...problems, ...problemOf(inventory, repository)],
      },
    }
  }
}

function problemOf(inventory: Inventory, { kind }: RepositoryInventory): readonly string[] {
  const problem = kind === 'hosted' ? inventory.problem() : undefined
  return problem === undefined ? [] : [`facts may be missing: ${problem}`]
}

async function readManifest(
  { repository }: Resolved,
  digest: Digest,
  problems: string[],
): Promise<ManifestDetails | undefined> {
  try {
    const found = await repository.manifest({ digest }, { isView: true })
    return found && parseManifestDetails(found.bytes, found.mediaType)
  } catch (error) {
    if (!isRegistryError(error)) throw error
    problems.push(`cannot read the manifest: ${error.message}`)
    return undefined
  }
}

type Digests = { readonly blobs: readonly Digest[]; readonly children: readonly Digest[] }

function digestsIn(manifest: ManifestDetails | undefined): Digests {
  const { references = [], isIndex = false } = manifest ?? {}
  const digests = [...new Set(references.map(({ digest }) => digest))].slice(0, maxBlobs)
  return isIndex ? { blobs: [], children: digests } : { blobs: digests, children: [] }
}

type Blobs = {
  readonly access: Access
  readonly identity: Identity
  readonly repository: RepositoryInventory
  readonly name: RepositoryName
  readonly digests: Digests
  readonly stored: ReadonlySet<Digest>
}

/** Images in repositories that the client may not see do not count. */
async function describeBlobs(options: Blobs): Promise<Details['blobs']> {
  const { access, identity, repository, name, digests, stored } = options
  const sharing = await repository.sharing(digests.blobs)
  const visible = new Map<RepositoryName, boolean>()
  const isVisible = (other: RepositoryName): boolean => {
    const known = visible.get(other) ?? access.mayPull(identity, other)
    visible.set(other, known)
    return known
  }
  const counts = new Map<Digest, number>()
  for (const { digest, name: other, manifests } of sharing) {
    // Not the image itself.
    const others = other === name ? manifests - 1 : manifests
    if (isVisible(other)) counts.set(digest, (counts.get(digest) ?? 0) + others)
  }
  return digests.blobs.map((digest) => ({
    digest,
    stored: stored.has(digest),
    sharedBy: Math.max(0, counts.get(digest) ?? 0),
  }))
}
