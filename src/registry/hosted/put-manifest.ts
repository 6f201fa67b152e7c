import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { ManifestDetails } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { createRunId } from '../../store/store.ts'
import { assertPrecondition } from '../precondition.ts'
import { parsePushedManifest } from '../pushed-manifest.ts'
import type { WritableRepository } from '../repository.ts'
import type { Closure, Closures } from './closure.ts'
import type { HostedParts } from './parts.ts'

type PutRequest = Parameters<WritableRepository['putManifest']>[0]
type PutResult = Awaited<ReturnType<WritableRepository['putManifest']>>

type PutManifestOptions = HostedParts & {
  readonly closures: Closures
  /** Whether images are accepted whose blobs were not pushed. */
  readonly acceptsSparse: (name: RepositoryName) => boolean
  /** The repository has one manifest more. */
  readonly onAdded: (name: RepositoryName) => void
}

/** A manifest on its way into a repository. */
type Incoming = PutRequest & {
  readonly name: RepositoryName
  readonly digest: Digest
  readonly manifest: ManifestDetails
}

/**
 * Stores a manifest. What it references cannot be collected meanwhile, although no lock keeps the
 * collector away:
 *
 * 1. Look whether the repository has the references, and lease them.
 * 2. Store bytes and link, durably. From now on a collector finds the references in use.
 * 3. Look again. A collector that looked before 2 has moved blobs to the trash by now, or its own
 *    second look finds them in use. Restore what is in the trash; if something is gone for good,
 *    remove the link again.
 * 4. Set the tags.
 */
export function createPutManifest(options: PutManifestOptions) {
  const { store, index, manifests, leases, quotas, locks, closures, now } = options
  const { blobs, links } = store

  const write = async ({ name, digest, manifest, bytes, writer }: Incoming): Promise<void> => {
    const size = bytes.length
    await blobs.put(digest, bytes)
    await links.addManifest(name, digest)
    const at = now()
    index?.apply([
      { kind: 'blob', digest, size, at },
      { kind: 'manifest', name, digest, size, manifest, at, by: writer },
    ])
  }

  const add = async (incoming: Incoming): Promise<void> => {
    const { name, bytes } = incoming
    const reservation = await quotas.reserve(name, bytes.length)
    let stored = 0
    try {
      await write(incoming)
      stored = bytes.length
      options.onAdded(name)
    } finally {
      reservation.end(stored)
    }
  }

  const takeBack = async ({ name, digest }: Incoming): Promise<void> => {
    manifests.forget(name, digest)
    await links.removeManifest(name, digest, createRunId(now()))
    index?.apply([{ kind: 'manifest-removed', name, digest }])
    quotas.freed(name)
  }

  /** Another client's delete cannot come in between: see `locks`. */
  const lookAgain = async (incoming: Incoming, closure: Closure): Promise<readonly Digest[]> => {
    const { name, digest, bytes } = incoming
    if ((await blobs.stat(digest)) === undefined) await blobs.put(digest, bytes)
    return closures.restore(name, closure)
  }

  const assertAllowed = async ({ name, reference, digest, precondition }: Incoming) => {
    if (precondition === undefined) return
    const isThere = 'digest' in reference && (await links.hasManifest(name, digest))
    const link = 'tag' in reference ? await links.tag(name, reference.tag) : undefined
    const current = isThere ? digest : link?.digest
    assertPrecondition(precondition, { name, reference, current })
  }

  const setTag = (incoming: Incoming, tag: Tag): Promise<void> =>
    locks.exclusive(`${incoming.name}:${tag}`, async () => {
      const { name, digest, reference } = incoming
      // Another push may have set it since the first look.
      if ('tag' in reference && reference.tag === tag) await assertAllowed(incoming)
      await links.setTag(name, tag, digest)
      index?.apply([{ kind: 'tag', name, tag, digest, at: now() }])
    })

  const publish = async (incoming: Incoming) => {
    const { name, digest, manifest, bytes, reference, tags } = incoming
    if (manifest.subject !== undefined)
      await links.addReferrer(name, manifest.subject.digest, digest)
    await manifests.remember(name, digest, bytes)
    if ('tag' in reference) await setTag(incoming, reference.tag)
    const others = tags.filter((tag) => !('tag' in reference && reference.tag === tag))
    await Promise.all(others.map((tag) => setTag(incoming, tag)))
  }

  const putOne = async (incoming: Incoming): Promise<void> => {
    const { name, digest, manifest } = incoming
    await leases.renew(digest)
    await assertAllowed(incoming)
    const closure = await closures.find(name, manifest)
    const mayLack = manifest.isIndex || options.acceptsSparse(name)
    if (!mayLack && closure.missing.length > 0) throw blobsUnknown(name, closure.missing)
    const wasThere = await links.hasManifest(name, digest)
    const [mismatch] = closure.mismatches
    // One that was accepted once gets more tags.
    if (!wasThere && mismatch !== undefined) throw sizeMismatch(mismatch)
    await (wasThere ? write(incoming) : add(incoming))
    const lost = await lookAgain(incoming, closure)
    if (lost.length > 0) {
      if (!wasThere) await takeBack(incoming)
      throw blobsUnknown(name, lost)
    }
    await publish(incoming)
  }

  return async (name: RepositoryName, request: PutRequest): Promise<PutResult> => {
    const { digest, manifest } = parsePushedManifest(request)
    await locks.shared(name, () =>
      locks.exclusive(`${name}@${digest}`, () => putOne({ ...request, name, digest, manifest })),
    )
    return { digest, ...(manifest.subject && { subject: manifest.subject.digest }) }
  }
}

/** image-spec, "Content Descriptors": clients do not pull content of another size. Distribution and zot do not look. */
function sizeMismatch({ digest, size, said }: Closure['mismatches'][number]): RegistryError {
  return new RegistryError('MANIFEST_INVALID', {
    message: `invalid manifest: its descriptor of ${digest} says ${said} bytes, and the content has ${size}`,
  })
}

function blobsUnknown(name: RepositoryName, missing: readonly Digest[]): RegistryError {
  const more = missing.length > 1 ? ` and ${missing.length - 1} more` : ''
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', {
    message: `${name} has no blob ${missing[0]}${more}, which the manifest references`,
    advice: 'push it first',
  })
}
