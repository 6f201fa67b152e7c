import { createHash, hash, randomBytes } from 'node:crypto'
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** The job of a process of this file, as JSON in its first argument. */
export type PushJob = {
  readonly port: number
  readonly connections: number
} & (
  | {
      readonly kind: 'layer'
      /** Bytes. */
      readonly size: number
      /** Whether all connections push the same layer. */
      readonly same: boolean
    }
  | { readonly kind: 'images'; readonly images: number }
)

/** Milliseconds from the first request to the last 201, and the pushed content. */
export type Pushed = {
  readonly elapsed: number
  readonly bytes: number
  readonly images: number
}

const job: PushJob = JSON.parse(process.argv[2] ?? '{}')
const agent = new Agent({ keepAlive: true, maxSockets: job.connections })
const piece = randomBytes(4 * 1024 * 1024)

async function send(options: RequestOptions, body?: Buffer | Iterable<Buffer>) {
  const sent = request({ host: '127.0.0.1', port: job.port, agent, ...options })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve)
    sent.once('error', reject)
  })
  if (body === undefined || Buffer.isBuffer(body)) sent.end(body)
  else await pipeline(Readable.from(body, { objectMode: true, highWaterMark: 1 }), sent)
  const answer = await answered
  answer.resume()
  if ((answer.statusCode ?? 500) >= 300)
    throw new Error(`${options.method} ${options.path}: ${answer.statusCode}`)
  const location = answer.headers.location ?? ''
  const url = location === '' ? undefined : new URL(location, `http://127.0.0.1:${job.port}`)
  return url === undefined ? '' : url.pathname + url.search
}

/** As docker pushes: POST, one streamed PATCH, PUT with the digest. */
async function pushBlob(name: string, digest: string, body: Buffer | Iterable<Buffer>) {
  const headers = { 'content-type': 'application/octet-stream' }
  const session = await send({ method: 'POST', path: `/v2/${name}/blobs/uploads/` })
  const patched = await send({ method: 'PATCH', path: session, headers }, body)
  const end = `${patched}${patched.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
  await send({ method: 'PUT', path: end })
}

function* layer(seed: Buffer, size: number): Generator<Buffer, void, undefined> {
  yield seed
  for (let left = size - seed.length; left > 0; left -= piece.length)
    yield left < piece.length ? piece.subarray(0, left) : piece
}

function digestOf(parts: Iterable<Buffer>): string {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(part)
  return `sha256:${sum.digest('hex')}`
}

async function pushLayers({ size, same }: { size: number; same: boolean }): Promise<Pushed> {
  const seeds = Array.from({ length: job.connections }, () => randomBytes(32))
  const layers = seeds.map((each) => (same ? (seeds[0] ?? each) : each))
  const digests = layers.map((seed) => digestOf(layer(seed, size)))
  const start = performance.now()
  await Promise.all(
    layers.map((seed, at) => pushBlob(`bench/${at}`, digests[at] ?? '', layer(seed, size))),
  )
  const elapsed = performance.now() - start
  return { elapsed, bytes: size * job.connections, images: 0 }
}

/** Images of a config and two layers, each with content of its own. */
async function pushImages(images: number): Promise<Pushed> {
  const descriptor = (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: `sha256:${hash('sha256', bytes, 'hex')}`,
    size: bytes.length,
  })
  let left = images
  let bytes = 0
  const work = async (name: string) => {
    for (; left > 0; ) {
      left -= 1
      const config = Buffer.from(
        JSON.stringify({ os: 'linux', id: randomBytes(16).toString('hex') }),
      )
      const layers = [randomBytes(10_000), randomBytes(10_000)]
      const manifest = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
          layers: layers.map((each) =>
            descriptor(each, 'application/vnd.oci.image.layer.v1.tar+gzip'),
          ),
        }),
      )
      for (const blob of [...layers, config])
        await pushBlob(name, `sha256:${hash('sha256', blob, 'hex')}`, blob)
      const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
      const path = `/v2/${name}/manifests/v${left}`
      await send({ method: 'PUT', path, headers }, manifest)
      bytes += manifest.length + config.length + 20_000
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: job.connections }, (_, at) => work(`bench/small-${at}`)))
  return { elapsed: performance.now() - start, bytes, images }
}

const pushed = job.kind === 'layer' ? await pushLayers(job) : await pushImages(job.images)
process.stdout.write(JSON.stringify(pushed))
agent.destroy()
