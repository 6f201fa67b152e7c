import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { removeDirectory } from './directory.ts'
import { type Blob, blobOf, type Image, manifestOf } from './images.ts'
import { run } from './programs.ts'

/** A layer that unpacks: what goes over the wire, and the digest of the tar in it. */
export type Layer = Blob & { readonly diffId: string; readonly mediaType: string }

/**
 * A layer of files that differ each time, `size` bytes of which do not compress, made by tar itself.
 * `gzip` false: as a plain tar.
 */
export async function makeLayer(name: string, size: number, gzip = true): Promise<Layer> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-layer-'))
  try {
    await mkdir(join(directory, 'opt', name), { recursive: true })
    await writeFile(join(directory, 'opt', name, 'data'), randomBytes(size), { mode: 0o640 })
    await writeFile(join(directory, 'opt', name, 'text'), `${name}\n`.repeat(1000))
    await symlink('data', join(directory, 'opt', name, 'link'))
    return await packLayer(directory, 'opt', gzip)
  } finally {
    await removeDirectory(directory)
  }
}

/** A layer with this entry of `directory`. */
export async function packLayer(directory: string, name: string, gzip = true): Promise<Layer> {
  const file = join(directory, 'layer.tar')
  await run(['tar', '--create', '--file', file, '--numeric-owner', name], { directory })
  const tar = await readFile(file)
  const blob = blobOf(gzip ? gzipSync(tar, { level: 1 }) : tar)
  const mediaType = `application/vnd.oci.image.layer.v1.tar${gzip ? '+gzip' : ''}`
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`
  return { ...blob, diffId, mediaType }
}

type LayeredOptions = {
  readonly layers: readonly Layer[]
  readonly architecture?: string
  /** Docker's media types instead of OCI's. */
  readonly docker?: boolean
}

/** An image that a runtime can unpack, though it could not run it. */
export function makeLayeredImage(options: LayeredOptions): Image {
  const { layers, architecture = 'amd64', docker = false } = options
  const config = blobOf(
    Buffer.from(
      JSON.stringify({
        architecture,
        os: 'linux',
        created: '2024-01-01T00:00:00Z',
        config: { Cmd: ['/opt/nothing'] },
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
        history: layers.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'a test' })),
      }),
    ),
  )
  const fields = {
    config: {
      mediaType: docker
        ? 'application/vnd.docker.container.image.v1+json'
        : 'application/vnd.oci.image.config.v1+json',
      digest: config.digest,
      size: config.bytes.length,
    },
    layers: layers.map(({ mediaType, digest, bytes }) => ({
      mediaType: docker ? 'application/vnd.docker.image.rootfs.diff.tar.gzip' : mediaType,
      digest,
      size: bytes.length,
    })),
  }
  const type = docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest
  return manifestOf(type, fields, { blobs: [config, ...layers] })
}

/** The digests of an image's layers, uncompressed, as its config has them. */
export function diffIdsOf({ blobs: [config] }: Image): readonly string[] {
  const parsed = JSON.parse(config?.bytes.toString() ?? '{}') as {
    rootfs?: { diff_ids?: readonly string[] }
  }
  return parsed.rootfs?.diff_ids ?? []
}
