import { createHash } from 'node:crypto'
import { isTag, type RepositoryName, type Tag } from '../../src/oci/reference.ts'
import {
  currentLink,
  layerLink,
  referrerLink,
  revisionLink,
} from '../../src/store/hosted/layout.ts'
import { blobPath } from '../../src/store/paths.ts'
import type { HostedStore } from '../../src/store/store.ts'
import { app } from './hosted-store.ts'
import { blobOf, type Image, makeImage } from './images.ts'

/** One change of a push, and how to tell that it has taken effect. */
export type Step = {
  readonly name: string
  run(store: HostedStore): Promise<void>
  isDone(store: HostedStore): Promise<boolean>
  /** The file that it writes last. */
  path(root: string): string
}

export type Push = { readonly image: Image; readonly steps: readonly Step[] }

export function tagOf(text: string): Tag {
  if (!isTag(text)) throw new Error(`not a tag: ${text}`)
  return text
}

/** Large enough to have checksums; `large…` is written to the disk before its end. */
function layerSize(seed: string): number {
  return seed.startsWith('large') ? 140_000_000 : 1_200_000
}

/** The same image for the same seed. */
function imageOf(seed: string): Image {
  const part = createHash('sha512').update(seed).digest()
  return makeImage({
    layers: [blobOf(Buffer.alloc(layerSize(seed), part))],
    extra: { subject: makeImage({ layers: [] }), annotations: { seed } },
  })
}

/** A push of an image in its steps, each of which is durable when it resolves. */
export function pushOf(seed: string, repository: RepositoryName = app): Push {
  const image = imageOf(seed)
  const subject = makeImage({ layers: [] }).digest
  const { digest, bytes } = image
  // The layer; the config is like it.
  const blobs = image.blobs.slice(1).flatMap((blob): readonly Step[] => [
    {
      name: 'layer',
      run: async (store) => {
        const session = { writer: 'user alice', algorithm: 'sha256' } as const
        const upload = await store.uploads.create(repository, session)
        for (let from = 0; from < blob.bytes.length; from += 500_000)
          await upload.append([blob.bytes.subarray(from, from + 500_000)])
        await upload.commit(blob.digest)
      },
      isDone: async ({ blobs }) =>
        (await blobs.read(blob.digest, blob.bytes.length))?.equals(blob.bytes) === true,
      path: (root) => blobPath(root, blob.digest),
    },
    {
      name: 'link',
      run: ({ links }) => links.addBlob(repository, blob.digest),
      isDone: ({ links }) => links.hasBlob(repository, blob.digest),
      path: (root) => layerLink(root, repository, blob.digest).path,
    },
  ])
  const steps: readonly Step[] = [
    ...blobs,
    {
      name: 'manifest',
      run: (store) => store.blobs.put(digest, bytes),
      isDone: async (store) =>
        (await store.blobs.read(digest, bytes.length))?.equals(bytes) === true,
      path: (root) => blobPath(root, digest),
    },
    {
      name: 'revision',
      run: ({ links }) => links.addManifest(repository, digest),
      isDone: ({ links }) => links.hasManifest(repository, digest),
      path: (root) => revisionLink(root, repository, digest).path,
    },
    {
      name: 'referrer',
      run: ({ links }) => links.addReferrer(repository, subject, digest),
      isDone: async ({ links }) => (await links.referrers(repository, subject)).includes(digest),
      path: (root) => referrerLink(root, repository, { subject, digest }).path,
    },
    ...['latest', `v-${seed}`].map(tagOf).map((tag) => ({
      name: `tag ${tag}`,
      run: ({ links }: HostedStore) => links.setTag(repository, tag, digest),
      isDone: async ({ links }: HostedStore) =>
        (await links.tag(repository, tag))?.digest === digest,
      path: (root: string) => currentLink(root, repository, tag),
    })),
  ]
  return { image, steps }
}
