import { type Digest, isDigest, parseDigest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import { parseManifest } from '../../oci/manifest.ts'
import { parseTag } from '../../oci/reference.ts'
import type { Inventory, RepositoryInventory, Resolved } from '../../registry/registry.ts'
import type { Removal } from '../answers.ts'
import type { Call, Handler } from '../call.ts'
import { isObject } from '../json-parts.ts'
import { isSet } from '../schema/requests.ts'
import { type UsesOptions, usesOf } from '../uses.ts'

type Options = UsesOptions & { readonly inventory: Inventory }
type RemovalCall = Call<'deleteTag'> | Call<'deleteManifest'>

/** Manifests that are removed with one. */
const maxParts = 500
/** Bytes of descriptors in a list of referrers. */
const maxListSize = 512 * 1024

/** As a client's DELETE: the manifest stays until retention, or somebody, removes it. */
export function createDeleteTag(options: Options): Handler<'deleteTag'> {
  return async (call) => {
    const { resolved, writable } = resolveWritable(options, call)
    const { name, repository } = resolved
    const tag = parseTag(call.texts.tag)
    const found = await repository.manifest({ tag }, { isView: true })
    if (found === undefined)
      throw new RegistryError('MANIFEST_UNKNOWN', { message: `${name} has no tag ${tag}` })
    const { digest } = found
    const wanted = call.query.digest === undefined ? undefined : parseDigest(call.query.digest)
    if (wanted !== undefined && wanted !== digest)
      throw new RegistryError('DENIED', {
        status: 412,
        message: `${tag} was not removed: meanwhile it points to ${digest}`,
        advice: 'look at it again',
      })
    const tags = await tagsOf(options, resolved, digest)
    const body: Removal = {
      name,
      digest,
      removed: !isSet(call.query.dryRun),
      tags: [tag],
      manifests: [],
      remainingTags: tags.filter((other) => other !== tag),
      frees: 0,
      inUse: usesOf(options, {
        identity: call.identity,
        repository: resolved,
        digest,
        tags: [tag],
      }),
    }
    const isWanted = wanted && ((current: Digest | undefined) => current === wanted)
    if (body.removed && !(await writable.deleteTag(tag, isWanted)))
      throw new RegistryError('MANIFEST_UNKNOWN', { message: `${name} has no tag ${tag}` })
    return { body }
  }
}

/**
 * Removes a manifest with all its tags, and in hosted repositories its parts: children that no other index
 * has, and referrers, as long as they have no tag. A part that something needs stays.
 */
export function createDeleteManifest(options: Options): Handler<'deleteManifest'> {
  return async (call) => {
    const { resolved, writable } = resolveWritable(options, call)
    const { name } = resolved
    const digest = parseDigest(call.texts.reference)
    const inventory = options.inventory.of(name)
    const image = await inventory.image(digest)
    if (image === undefined)
      throw new RegistryError('MANIFEST_UNKNOWN', { message: `${name} has no manifest ${digest}` })
    const { tags, parents } = image
    const parts = inventory.kind === 'hosted' ? await partsOf(resolved, inventory, digest) : []
    const inUse = usesOf(options, { identity: call.identity, repository: resolved, digest, tags })
    const preview: Removal = {
      name,
      digest,
      removed: false,
      tags,
      manifests: [digest, ...parts],
      remainingTags: [],
      frees: await inventory.freed([digest, ...parts]),
      inUse,
      blocked: reasonToKeep(inUse.isInUse, parents),
    }
    if (isSet(call.query.dryRun)) return { body: preview }
    if (!(await writable.deleteManifest(digest)))
      throw new RegistryError('MANIFEST_UNKNOWN', { message: `${name} has no manifest ${digest}` })
    const removed: Digest[] = [digest]
    for (const part of parts) if (await tryRemove(writable, part)) removed.push(part)
    return { body: { ...preview, removed: true, manifests: removed, blocked: undefined } }
  }
}

function resolveWritable({ access }: Options, call: RemovalCall) {
  const resolved = access.resolve(call, 'delete')
  const { writable, name, readOnly } = resolved
  if (writable !== undefined) return { resolved, writable }
  throw new RegistryError('UNSUPPORTED', {
    message: `cannot delete from ${name}: ${readOnly ?? 'it is read-only'}`,
  })
}

async function tagsOf({ inventory }: Options, { name }: Resolved, digest: Digest) {
  return (await inventory.of(name).image(digest))?.tags ?? []
}

function reasonToKeep(isInUse: boolean, parents: readonly Digest[]): string | undefined {
  if (isInUse) return 'a workload uses it'
  const [parent] = parents
  return parent === undefined ? undefined : `the index ${parent} contains it`
}

/** It may be needed by now. */
async function tryRemove(
  { deleteManifest }: NonNullable<Resolved['writable']>,
  digest: Digest,
): Promise<boolean> {
  try {
    return await deleteManifest(digest)
  } catch (error) {
    if (isRegistryError(error, 'UNSUPPORTED')) return false
    throw error
  }
}

/** Owners first, so that nothing is removed that a manifest still references. */
async function partsOf(
  { repository }: Resolved,
  inventory: RepositoryInventory,
  root: Digest,
): Promise<readonly Digest[]> {
  const gone = new Set<Digest>([root])
  for (const owner of gone) {
    if (gone.size > maxParts) break
    const { descriptors } = await repository.referrers(owner, { maxSize: maxListSize })
    const candidates = [...(await childrenOf(repository, owner)), ...descriptors.flatMap(digestIn)]
    for (const digest of candidates) {
      if (gone.has(digest)) continue
      const image = await inventory.image(digest)
      const isPart = image !== undefined && image.tags.length === 0
      if (isPart && image.parents.every((parent) => gone.has(parent))) gone.add(digest)
    }
  }
  gone.delete(root)
  return [...gone]
}

async function childrenOf(
  repository: Resolved['repository'],
  digest: Digest,
): Promise<readonly Digest[]> {
  // A manifest that cannot be read has no parts that are known.
  const finding = Promise.resolve(repository.manifest({ digest }, { isView: true }))
  const found = await finding.catch(() => undefined)
  if (found === undefined) return []
  const { isIndex, references } = parseManifest(found.bytes, found.mediaType)
  return isIndex ? references.map((each) => each.digest) : []
}

function digestIn(value: unknown): readonly Digest[] {
  const { digest } = isObject(value) ? value : {}
  return typeof digest === 'string' && isDigest(digest) ? [digest] : []
}
