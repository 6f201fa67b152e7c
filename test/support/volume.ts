import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { family, type Image } from './images.ts'

/** Where Distribution keeps the bytes of a digest. */
export function volumePath(root: string, digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(root, 'docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, 'data')
}

/** An image as Distribution's file system driver leaves it behind. */
export async function writeVolume(
  root: string,
  name: string,
  tag: string,
  image: Image,
): Promise<void> {
  const repository = join(root, 'docker/registry/v2/repositories', name)
  const link = (place: string, digest: string) =>
    put(join(repository, place, digest.replace(':', '/'), 'link'), digest)
  for (const { digest, bytes, blobs } of family(image)) {
    await put(volumePath(root, digest), bytes)
    await link('_manifests/revisions', digest)
    for (const blob of blobs) {
      await put(volumePath(root, blob.digest), blob.bytes)
      await link('_layers', blob.digest)
    }
  }
  await put(join(repository, '_manifests/tags', tag, 'current/link'), image.digest)
  await link(`_manifests/tags/${tag}/index`, image.digest)
}

async function put(path: string, content: Buffer | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}
