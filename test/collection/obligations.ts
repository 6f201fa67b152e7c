import assert from 'node:assert/strict'
import type { Digest } from '../../src/oci/digest.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import type { Image } from '../support/images.ts'
import type { Scene } from './scene.ts'

type Lease = { readonly repository: string; readonly digest: Digest; readonly until: number }

/**
 * What clients count on, and workloads. Checked by looking at the files: a request would itself
 * restore and lease what it asks for.
 */
export interface Obligations {
  /** By `REPOSITORY:TAG`. */
  readonly tags: Map<string, Image>
  /** A client was told that the repository has the blob. */
  leaseBlob(repository: string, digest: Digest): void
  leaseImage(repository: string, image: Image): void
  releaseBlob(repository: string, digest: Digest): void
  releaseImage(repository: string, image: Image): void
  /** A workload names an image, which the repository has. */
  use(repository: string, image: Image): void
  endUse(image: Image): void
  isUsed(image: Image): boolean
  check(scene: Scene): Promise<void>
}

export function createObligations(life: number): Obligations {
  const tags = new Map<string, Image>()
  const blobs = new Map<string, Lease>()
  const images = new Map<string, Lease & { readonly image: Image }>()
  const used = new Map<Digest, { readonly image: Image; readonly repositories: Set<string> }>()
  const until = () => Date.now() + life
  const keyOf = (repository: string, digest: Digest) => `${repository}@${digest}`

  const check = async (scene: Scene): Promise<void> => {
    const look = createLook(scene)
    for (const [key, image] of tags) {
      const [repository = '', tag = ''] = key.split(':')
      const link = await scene.store.links.tag(parseRepositoryName(repository), tag as Tag)
      assert.equal(link?.digest, image.digest, `${key} has changed`)
      await look.image(repository, image, `tag ${key}`)
    }
    for (const { repository, digest, until: end } of blobs.values())
      if (end > Date.now()) await look.blob(repository, digest, 'a lease')
    for (const { repository, image, until: end } of images.values())
      if (end > Date.now()) await look.image(repository, image, 'a lease')
    for (const { image, repositories } of used.values()) {
      await look.bytes(image, 'a workload')
      for (const repository of repositories) await look.image(repository, image, 'a workload')
    }
  }

  return {
    tags,
    leaseBlob: (repository, digest) =>
      void blobs.set(keyOf(repository, digest), { repository, digest, until: until() }),
    leaseImage: (repository, image) =>
      void images.set(keyOf(repository, image.digest), {
        repository,
        digest: image.digest,
        image,
        until: until(),
      }),
    releaseBlob: (repository, digest) => void blobs.delete(keyOf(repository, digest)),
    releaseImage: (repository, image) => {
      for (const [key, each] of images)
        if (each.repository === repository && contains(each.image, image.digest)) images.delete(key)
      for (const each of used.values())
        if (contains(each.image, image.digest)) each.repositories.delete(repository)
      for (const [key, each] of tags)
        if (key.startsWith(`${repository}:`) && each.digest === image.digest) tags.delete(key)
    },
    use: (repository, image) => {
      const entry = used.get(image.digest) ?? { image, repositories: new Set() }
      entry.repositories.add(repository)
      used.set(image.digest, entry)
    },
    endUse: (image) => void used.delete(image.digest),
    isUsed: ({ digest }) => used.has(digest),
    check,
  }
}

function contains(image: Image, digest: Digest): boolean {
  return image.digest === digest || image.children.some((child) => contains(child, digest))
}

/** In the trash it would still be readable, but nothing that is needed may get there. */
function createLook({ store }: Scene) {
  const hasBytes = async (digest: Digest, why: string): Promise<void> =>
    assert.ok(await store.blobs.isStored(digest), `${digest} was removed, although ${why} needs it`)
  const blob = async (repository: string, digest: Digest, why: string): Promise<void> => {
    const isLinked = await store.links.hasBlob(parseRepositoryName(repository), digest)
    assert.ok(isLinked, `${repository} lost its link to ${digest}, although ${why} needs it`)
    await hasBytes(digest, why)
  }
  const image = async (
    repository: string,
    { digest, blobs, children }: Image,
    why: string,
  ): Promise<void> => {
    const isLinked = await store.links.hasManifest(parseRepositoryName(repository), digest)
    assert.ok(isLinked, `${repository} lost ${digest}, although ${why} needs it`)
    await hasBytes(digest, why)
    for (const each of blobs) await blob(repository, each.digest, why)
    for (const child of children) await image(repository, child, why)
  }
  const bytes = async ({ digest, blobs, children }: Image, why: string): Promise<void> => {
    for (const each of [{ digest }, ...blobs]) await hasBytes(each.digest, why)
    for (const child of children) await bytes(child, why)
  }
  return { blob, image, bytes }
}
