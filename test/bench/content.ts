import { createHash, randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { mediaTypes } from '../../src/oci/manifest.ts'

/** A repository in Distribution's layout, which every peer can serve unchanged. */
export type Content = {
  readonly root: string
  readonly name: string
  /** Digests by description, such as `200MB`. */
  readonly blobs: Readonly<Record<string, string>>
  readonly manifest: string
}

const megabyte = 1_000_000

/** Random blobs of the given sizes in megabytes, and the manifest of an image with them, tagged `latest`. */
export function createContent(root: string, sizes: readonly number[]): Content {
  const name = 'bench/image/app'
  const blobs = sizes.map((size) => [`${size}MB`, createBlob(root, size), size] as const)
  const config = putBytes(root, Buffer.from('{"architecture":"amd64","os":"linux"}'))
  const layers = blobs.map(([, digest, size]) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest,
    size: size * megabyte,
  }))
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 37 },
      layers,
    }),
  )
  const manifest = putBytes(root, bytes)
  const repository = join(root, 'docker/registry/v2/repositories', name)
  const link = (path: string, digest: string) => write(join(repository, path, 'link'), digest)
  for (const digest of [config, ...blobs.map(([, digest]) => digest)]) {
    link(`_layers/sha256/${digest.slice(7)}`, digest)
  }
  link(`_manifests/revisions/sha256/${manifest.slice(7)}`, manifest)
  link('_manifests/tags/latest/current', manifest)
  link(`_manifests/tags/latest/index/sha256/${manifest.slice(7)}`, manifest)
  return {
    root,
    name,
    manifest,
    blobs: Object.fromEntries(blobs.map(([label, digest]) => [label, digest])),
  }
}

export function blobFile(root: string, digest: string): string {
  const encoded = digest.slice('sha256:'.length)
  return join(root, 'docker/registry/v2/blobs/sha256', encoded.slice(0, 2), encoded, 'data')
}

/** Many tiny blobs, as in a cache that was in use for a long time. */
export function createManyBlobs(root: string, count: number): void {
  for (let at = 0; at < count; at += 1) putBytes(root, Buffer.from(`blob ${at}`))
}

function createBlob(root: string, size: number): string {
  const temporary = join(root, 'new')
  mkdirSync(root, { recursive: true })
  const file = openSync(temporary, 'w')
  const hash = createHash('sha256')
  const block = randomBytes(megabyte)
  for (let at = 0; at < size; at += 1) {
    block.writeUInt32LE(at, 0)
    hash.update(block)
    writeSync(file, block)
  }
  closeSync(file)
  const digest = `sha256:${hash.digest('hex')}`
  const path = blobFile(root, digest)
  mkdirSync(dirname(path), { recursive: true })
  renameSync(temporary, path)
  return digest
}

function putBytes(root: string, bytes: Buffer): string {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  write(blobFile(root, digest), bytes)
  return digest
}

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}
