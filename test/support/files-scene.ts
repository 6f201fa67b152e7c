import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { LayerBlob } from '../../src/archive/archive.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { type Blob, blobOf, type Image, manifestOf } from './images.ts'
import { layerBlob } from './layer-blobs.ts'
import { estargzLayer, zstdChunkedLayer } from './lazy-layers.ts'
import { type TarItem, tarFile } from './tar-file.ts'

/** Would be a script if a page believed it. */
export const hostileName = `<img src=x onerror="document.title='hacked'">.html`
const hostileText = `<script>document.title='hacked'</script>\u202e\u001b[31m`
export const tool = randomBytes(3 * 1024 * 1024)
/** Entries of the directory `many`, which is more than a page. */
export const many = 2500

const base = gzipLayer([
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/motd', content: 'hello\n' },
  { name: 'etc/old', content: 'gone' },
  { name: 'etc/os-release', type: '2', linkName: '../usr/lib/os-release' },
  { name: 'usr/lib/os-release', content: 'ID=test\n' },
  { name: 'opt/cache/lower', content: 'lower' },
  ...Array.from({ length: many }, (_, at) => ({ name: `many/file-${at}`, content: '' })),
])
/** By its table of contents. */
const middle = estargzLayer(
  [
    { name: 'etc/motd', content: 'hello again\n' },
    { name: 'etc/.wh.old' },
    { name: 'bin/tool', content: tool, mode: 0o4755 },
    { name: 'bin/tool2', type: '1', linkName: 'bin/tool' },
  ],
  { chunkSize: 1024 * 1024 },
)
const top = zstdChunkedLayer([
  { name: 'opt/cache/', type: '5', mode: 0o755 },
  { name: 'opt/cache/.wh..wh..opq' },
  { name: 'opt/cache/upper', content: 'upper' },
  {
    name: 'srv/data.json',
    content: '{"id":12345678901234567890,"list":[1,{}],"text":"a \\"b\\" {"}',
  },
  { name: `srv/${hostileName}`, content: hostileText },
  { name: 'srv/name\u202egnp.exe', content: 'x' },
  { name: 'srv/long.txt', content: 'a line of text\n'.repeat(30_000) },
])
const bomb = gzipLayer([{ name: 'zeros', content: Buffer.alloc(200 * 1024 * 1024) }])

export type FilesScene = Awaited<ReturnType<typeof makeFilesScene>>

/** Images whose layers are of all kinds. */
export async function makeFilesScene() {
  return {
    amd64: await imageOf('amd64', [base, middle, top]),
    arm64: await imageOf('arm64', [base, gzipLayer([{ name: 'only-arm64', content: 'arm' }])]),
    bomb: await imageOf('amd64', [bomb]),
    layers: { base: base.digest, top: top.digest },
  }
}

function gzipLayer(items: readonly TarItem[]): LayerBlob {
  return layerBlob(gzipSync(tarFile(items), { level: 1 }), {
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  })
}

async function imageOf(architecture: string, layers: readonly LayerBlob[]): Promise<Image> {
  const history = layers.map((_, at) => ({ created_by: `RUN make part-${at}` }))
  const config = blobOf(Buffer.from(JSON.stringify({ architecture, os: 'linux', history })))
  return manifestOf(
    mediaTypes.ociManifest,
    {
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: config.digest,
        size: config.bytes.length,
      },
      layers: layers.map(({ mediaType, digest, size, annotations }) => ({
        ...{ mediaType, digest, size, annotations },
      })),
    },
    { blobs: [config, ...(await Promise.all(layers.map(contentOf)))] },
  )
}

async function contentOf({ digest, size, read }: LayerBlob): Promise<Blob> {
  const chunks: Uint8Array[] = []
  for await (const chunk of read({ start: 0, end: size })) chunks.push(chunk)
  return { digest, bytes: Buffer.concat(chunks) }
}
