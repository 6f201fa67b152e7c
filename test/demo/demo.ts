import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { startArtifactRegistry } from '../support/artifact-registry.ts'
import { get, type Reply } from '../support/client.ts'
import { type Command, startCommand } from '../support/command.ts'
import { startGoogle } from '../support/google.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { sumIn } from '../support/telemetry.ts'
import { heading, type Round, row, size } from './report.ts'

const name = 'my-project/my-repository/team/app'
/** Milliseconds for each answer, and bytes per second for each download, as from another region. */
const latency = 60
const rate = 25_000_000
const layers = [16, 12, 8, 4, 2, 1]

const directory = mkdtempSync(join(tmpdir(), 'berth-demo-'))
let berth: Command | undefined
process.once('exit', () => {
  berth?.signal('SIGKILL')
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/**
 * 1. Starts fakes of Google's services and of Artifact Registry, with realistic latency, in this process.
 * 2. Starts Berth as `npm start` does, but on free ports and with an empty cache.
 * 3. Pulls three times; before the last pull, the registry and Google's services are stopped.
 */
async function main(): Promise<void> {
  const google = await startGoogle({ grant: 'impersonation' })
  const registry = await startArtifactRegistry({ accessTokens: google.accessTokens })
  registry.delay(latency)
  registry.behave({ rate })
  const image = makeImage({ layers: layers.map((mebibytes) => randomBlob(mebibytes * 1024 ** 2)) })
  registry.put(name, 'v1', image)
  const file = await google.configure(directory)
  const { host, admin } = await startBerth({
    url: registry.url,
    credentials: { type: 'google', file },
  })

  write(`
Berth between a client and Artifact Registry; no network required

  upstream   a fake Artifact Registry at ${registry.host}; requires a service account:
             ${latency} ms for each answer, ${rate / 1e6} MB/s for each download
  Berth      at ${host}, with an empty cache
  image      ${host}/${name}:v1
             ${layers.length} layers, ${size(sizeOf(image))}

${heading}`)

  const pullAs = async (label: string): Promise<Round> => {
    const fetchedBefore = await metric(admin, 'bytes', 'source="upstream"')
    const requestsBefore = registry.requests.length
    const begun = performance.now()
    const replies = await pull(host, image)
    const round = {
      pull: label,
      seconds: (performance.now() - begun) / 1000,
      received: replies.reduce((sum, { body }) => sum + body.length, 0),
      fetched: (await metric(admin, 'bytes', 'source="upstream"')) - fetchedBefore,
      requests: registry.requests.length - requestsBefore,
      answers: replies.map(({ headers }) => String(headers['x-cache'])),
    }
    write(row(round))
    return round
  }

  const cold = await pullAs('cold')
  const warm = await pullAs('warm')
  await Promise.all([registry.stop(), google.stop()])
  await pullAs('upstream stopped')

  const hits = await metric(admin, 'requests', 'result="hit"')
  const all = await metric(admin, 'requests')
  const fetched = await metric(admin, 'bytes', 'source="upstream"')
  const sent = await metric(admin, 'bytes', 'source="cache"')
  write(`
  hit rate   ${((hits / all) * 100).toFixed(0)} %: ${hits} of ${all} requests (/metrics)
  bytes      ${size(sent)} to the client, ${size(fetched)} from the upstream; every byte verified
  warm       ${(cold.seconds / warm.seconds).toFixed(1)} times as fast as cold
`)
  await stopBerth()
  write(
    '\n  Berth has stopped and all files are removed. To use your own registries: npm start\n\n',
  )
}

type Listening = { readonly host: string; readonly admin: string }

async function startBerth(upstream: object): Promise<Listening> {
  const file = join(directory, 'berth.yaml')
  writeFileSync(
    file,
    stringify({
      listen: 'localhost:0',
      admin: '127.0.0.1:0',
      storage: { directory: join(directory, 'data') },
      upstreams: [upstream],
    }),
  )
  // Node's compile cache is there, too.
  const environment = { TMPDIR: directory }
  berth = startCommand(['serve', '--config', file], { directory, environment })
  const [line] = await berth.wrote(/^\{.*"msg":"listening".*\}$/m)
  const { listen, admin } = JSON.parse(line) as Record<'listen' | 'admin', { port: number }[]>
  return { host: `localhost:${listen[0]?.port}`, admin: `http://127.0.0.1:${admin[0]?.port}` }
}

/** With SIGINT, as Ctrl-C does. */
async function stopBerth(): Promise<void> {
  berth?.signal('SIGINT')
  const end = await berth?.finished
  if (end?.status !== 0)
    throw new Error(`Berth exited with ${end?.status ?? end?.signal}:\n${end?.stderr}`)
}

/** Pulls as a client does: the manifest by its tag, then its blobs concurrently. Compares all bytes. */
async function pull(host: string, { bytes, blobs }: Image): Promise<readonly Reply[]> {
  const fetchExactly = async (path: string, wanted: Buffer): Promise<Reply> => {
    const reply = await get(`http://${host}/v2/${name}/${path}`)
    if (reply.status !== 200 || !reply.body.equals(wanted))
      throw new Error(`${path}: ${reply.status} ${reply.body.toString('utf8', 0, 500)}`)
    return reply
  }
  return [
    await fetchExactly('manifests/v1', bytes),
    ...(await Promise.all(blobs.map((blob) => fetchExactly(`blobs/${blob.digest}`, blob.bytes)))),
  ]
}

async function metric(
  admin: string,
  name: 'requests' | 'bytes',
  ...labels: readonly string[]
): Promise<number> {
  const { body } = await get(`${admin}/metrics`)
  return sumIn(body.toString(), `berth_cache_${name}_total`, labels)
}

function sizeOf({ bytes, blobs }: Image): number {
  return blobs.reduce((sum, blob) => sum + blob.bytes.length, bytes.length)
}

function write(text: string): void {
  process.stdout.write(text)
}

await main()
