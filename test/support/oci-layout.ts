import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { family, type Image } from './images.ts'

/** Writes an image, and all that is below it, as an OCI image layout that names it `tag`. */
export async function writeLayout(
  directory: string,
  tag: string,
  image: Image,
  annotations: Readonly<Record<string, string>> = {},
): Promise<void> {
  const blobs = join(directory, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  for (const member of family(image))
    for (const { digest, bytes } of [member, ...member.blobs])
      await writeFile(join(blobs, digest.replace('sha256:', '')), bytes)
  const descriptor = {
    mediaType: image.mediaType,
    digest: image.digest,
    size: image.bytes.length,
    annotations: { 'org.opencontainers.image.ref.name': tag, ...annotations },
  }
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const index = { schemaVersion: 2, manifests: [descriptor] }
  await writeFile(join(directory, 'index.json'), JSON.stringify(index))
}
