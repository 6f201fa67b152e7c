import { type Blob, family, type Image } from './images.ts'

/** What a fake registry holds, by name. */
export function createContent() {
  const manifests = new Map<string, Image>()
  const blobs = new Map<string, Buffer>()
  const below = (name: string) =>
    [...manifests].flatMap(([key, image]) => {
      const [owner, reference = ''] = key.split('@')
      return owner === name ? [{ reference, image }] : []
    })

  return {
    put: (name: string, tag: string | undefined, image: Image): void => {
      for (const member of family(image)) {
        manifests.set(`${name}@${member.digest}`, member)
        for (const { digest, bytes } of member.blobs) blobs.set(`${name}@${digest}`, bytes)
      }
      if (tag !== undefined) manifests.set(`${name}@${tag}`, image)
    },
    putBlob: (name: string, { digest, bytes }: Blob): void => {
      blobs.set(`${name}@${digest}`, bytes)
    },
    putManifest: (name: string, reference: string, image: Image): void => {
      manifests.set(`${name}@${image.digest}`, image)
      manifests.set(`${name}@${reference}`, image)
    },
    /** A tag, or a manifest and its tags. */
    remove: (name: string, reference: string): boolean => {
      for (const { reference: other, image } of below(name))
        if (image.digest === reference) manifests.delete(`${name}@${other}`)
      return manifests.delete(`${name}@${reference}`) || reference.includes(':')
    },
    manifest: (name: string, reference: string) => manifests.get(`${name}@${reference}`),
    blob: (name: string, digest: string) => blobs.get(`${name}@${digest}`),
    manifests: (name: string): readonly Image[] =>
      below(name).flatMap(({ reference, image }) => (reference === image.digest ? [image] : [])),
    tagged: (name: string) =>
      below(name).filter(({ reference, image }) => reference !== image.digest),
  }
}
