import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { family, type Image } from './images.ts'

/** Where Distribution keeps the bytes of a digest. */
export function volumePath(root: string, digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(root, 'docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, 'data')
}

/** An image as Distribution's drivers leave it behind: paths, and what is there. */
export function volumeFiles(
  name: string,
  tag: string,
  image: Image,
): readonly (readonly [path: string, content: Buffer])[] {
  const repository = join('docker/registry/v2/repositories', name)
  const link = (place: string, digest: string) =>
    [join(repository, place, digest.replace(':', '/'), 'link'), Buffer.from(digest)] as const
  return [
    ...family(image).flatMap(({ digest, bytes, blobs }) => [
      [volumePath('', digest), bytes] as const,
      link('_manifests/revisions', digest),
      ...blobs.flatMap((blob) => [
        [volumePath('', blob.digest), blob.bytes] as const,
        link('_layers', blob.digest),
      ]),
    ]),
    [join(repository, '_manifests/tags', tag, 'current/link'), Buffer.from(image.digest)],
    link(`_manifests/tags/${tag}/index`, image.digest),
  ]
}

export async function writeVolume(
  root: string,
  name: string,
  tag: string,
  image: Image,
): Promise<void> {
  for (const [path, content] of volumeFiles(name, tag, image)) await put(join(root, path), content)
}

async function put(path: string, content: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}
