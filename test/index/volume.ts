import type { Change } from '../../src/index/index.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseManifestDetails } from '../../src/oci/manifest.ts'
import {
  parseRepositoryName,
  parseTag,
  type RepositoryName,
  type Tag,
} from '../../src/oci/reference.ts'
import type { Blob, Image } from '../support/images.ts'

type Repository = {
  readonly links: Set<Digest>
  readonly manifests: Set<Digest>
  readonly tags: Map<Tag, { readonly digest: Digest; readonly at: number }>
}

/** A hosted volume in memory: what the index reads, and a change for each thing that is done to it. */
export function createVolume() {
  const stored = new Map<Digest, { readonly bytes: Buffer; readonly modified: number }>()
  const repositories = new Map<RepositoryName, Repository>()
  let version = 0

  const repository = (text: string): [RepositoryName, Repository] => {
    const name = parseRepositoryName(text)
    const found = repositories.get(name) ?? {
      links: new Set(),
      manifests: new Set(),
      tags: new Map(),
    }
    repositories.set(name, found)
    return [name, found]
  }

  const pushBlob = (text: string, { digest, bytes }: Blob, at: number): readonly Change[] => {
    const [name, { links }] = repository(text)
    stored.set(digest, { bytes, modified: at })
    links.add(digest)
    return [
      { kind: 'blob', digest, size: bytes.length, at },
      { kind: 'link', name, digest },
    ]
  }

  const putManifest = (text: string, { digest, bytes }: Blob, at: number, by?: string) => {
    const [name, { manifests }] = repository(text)
    stored.set(digest, { bytes, modified: at })
    manifests.add(digest)
    const manifest = parseManifestDetails(bytes)
    const size = bytes.length
    return [
      { kind: 'blob', digest, size, at },
      { kind: 'manifest', name, digest, size, manifest, at, ...(by !== undefined && { by }) },
    ] satisfies readonly Change[]
  }

  const setTag = (text: string, label: string, digest: Digest, at: number): readonly Change[] => {
    const [name, { tags }] = repository(text)
    const tag = parseTag(label)
    tags.set(tag, { digest, at })
    return [{ kind: 'tag', name, tag, digest, at }]
  }

  return {
    stored,
    repositories,
    /** What another program does changes it. */
    changeFingerprint: () => {
      version += 1
    },
    pushBlob,
    putManifest,
    setTag,
    /** Pushes all that belongs to an image, children first. */
    pushImage: (name: string, image: Image, at: number, tag?: string): readonly Change[] => {
      const push = ({ children, blobs, ...manifest }: Image): readonly Change[] => [
        ...children.flatMap(push),
        ...blobs.flatMap((blob) => pushBlob(name, blob, at)),
        ...putManifest(name, manifest, at),
      ]
      const changes = push(image)
      return tag === undefined ? changes : [...changes, ...setTag(name, tag, image.digest, at)]
    },
    removeBlob: (digest: Digest): readonly Change[] => {
      stored.delete(digest)
      return [{ kind: 'blob-removed', digest }]
    },
    unlink: (text: string, digest: Digest): readonly Change[] => {
      const [name, { links }] = repository(text)
      links.delete(digest)
      return [{ kind: 'unlink', name, digest }]
    },
    removeManifest: (text: string, digest: Digest): readonly Change[] => {
      const [name, { manifests }] = repository(text)
      manifests.delete(digest)
      return [{ kind: 'manifest-removed', name, digest }]
    },
    untag: (text: string, label: string): readonly Change[] => {
      const [name, { tags }] = repository(text)
      const tag = parseTag(label)
      tags.delete(tag)
      return [{ kind: 'tag-removed', name, tag }]
    },
    source: {
      blobs: {
        async *list() {
          for (const [digest, { bytes, modified }] of stored)
            yield { digest, size: bytes.length, modified }
        },
        stat: async (digest: Digest) => {
          const found = stored.get(digest)
          return found && { size: found.bytes.length }
        },
        read: async (digest: Digest, limit: number) => {
          const found = stored.get(digest)
          return found !== undefined && found.bytes.length <= limit ? found.bytes : undefined
        },
      },
      links: {
        async *names() {
          yield* repositories.keys()
        },
        async *blobsOf(name: RepositoryName) {
          yield* repositories.get(name)?.links ?? []
        },
        async *manifestsOf(name: RepositoryName) {
          yield* repositories.get(name)?.manifests ?? []
        },
        tags: async (name: RepositoryName) => [...(repositories.get(name)?.tags.keys() ?? [])],
        tag: async (name: RepositoryName, tag: Tag) => {
          const found = repositories.get(name)?.tags.get(tag)
          return found && { digest: found.digest, age: Date.now() - found.at }
        },
      },
      fingerprint: async () => `${version}`,
    },
  }
}

export type Volume = ReturnType<typeof createVolume>
