import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually } from './berth.ts'
import { basicOf } from './canaries.ts'
import { type Authority, createAuthority } from './certificates.ts'
import { type Child, startChild } from './child.ts'
import { get, wrongBodies } from './client.ts'
import { ownDirectory } from './directory.ts'
import { type Image, makeImage } from './images.ts'
import { limitMemory } from './limited-memory.ts'
import { startProber } from './prober.ts'
import { pullImage } from './pull.ts'
import { connectRaw, type RawConnection } from './raw.ts'
import { type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts'

export const mebibyte = 1024 * 1024
const limit = 256 * mebibyte
const repository = 'good/app'
/** A port without a listener. */
export const nowhere = 'http://127.0.0.1:9'
const login = { authorization: `Basic ${basicOf('alice', 'p')}` }

/** What an attack may reach: what others can, the upstream, and the disk. */
export type Target = {
  readonly url: string
  readonly admin: string
  readonly upstream: ScriptedUpstream
  readonly cache: string
  /** The image that the well-behaved client pulls. */
  readonly image: Image
}
export type Attack = (target: Target) => Promise<void>

type Options = { readonly tls?: boolean; readonly users?: boolean; readonly maxSize?: string }

type Scene = {
  readonly upstream: ScriptedUpstream
  readonly image: Image
  readonly authority: Authority
}

/** A Berth that may use 256 MiB, in which an image is warm. */
async function startTarget(
  t: TestContext,
  { upstream, authority }: Scene,
  { tls, users, maxSize = '100MiB' }: Options,
): Promise<Child> {
  const memory = await limitMemory(limit)
  let child: Child | undefined
  // Before its directory is removed.
  t.after(async () => {
    await child?.kill('SIGKILL')
    t.diagnostic(`peak ${Math.round((await memory.peak()) / mebibyte)} MiB`)
    const killed = await memory.killed()
    await memory.remove()
    assert.equal(killed, 0, 'the kernel ended it for want of memory')
  })
  const directory = await ownDirectory(t)
  const file = async (name: string, text: string) => {
    await writeFile(join(directory, name), text)
    return join(directory, name)
  }
  const pair = tls ? await authority.issue(['IP:127.0.0.1']) : undefined
  child = await startChild({
    directory,
    wrapper: memory.wrapper,
    environment: {
      UV_THREADPOOL_SIZE: '4',
      NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size-percentage=40 --v8-pool-size=2',
    },
    config: {
      upstreams: [
        { url: upstream.url, tags: { ttl: '1s' }, redirects: [nowhere] },
        { prefix: 'away', url: nowhere },
      ],
      storage: { cache: { maxSize, scrubRate: '0B' } },
      ...(pair && {
        tls: {
          certificate: await file('tls.crt', pair.certificate),
          key: await file('tls.key', pair.key),
        },
      }),
      ...(users && {
        auth: { htpasswd: await file('htpasswd', `alice:${await hashPassword('p', 10)}\n`) },
      }),
    },
  })
  return child
}

/** Pulls the image repeatedly, and retries when the response requests it. */
function startGoodClient(url: string, image: Image) {
  const failures: string[] = []
  let [pulls, isOver] = [0, false]

  const fetch = async (path: string, bytes: Buffer): Promise<void> => {
    for (let tries = 0; tries < 20 && !isOver; tries += 1) {
      const reply = await get(`${url}/v2/${repository}/${path}`, { headers: login }).catch(
        () => undefined,
      )
      if (reply?.status === 200 && reply.body.equals(bytes)) return
      const after = Number(reply?.headers['retry-after'] ?? 0)
      if (reply !== undefined && after === 0) failures.push(`${path}: ${reply.status}`)
      await sleep(Math.min(after * 1000, 1000) + 50)
    }
  }

  const pull = async (): Promise<void> => {
    await fetch('manifests/v1', image.bytes)
    for (const { digest, bytes } of image.blobs) await fetch(`blobs/${digest}`, bytes)
    pulls += 1
    await sleep(50)
  }

  const working = (async () => {
    while (!isOver) await pull()
  })()
  return {
    count: () => pulls,
    stop: async () => {
      isOver = true
      await working
      return failures
    },
  }
}

async function startScene(t: TestContext): Promise<Scene> {
  const upstream = await startScriptedUpstream()
  t.after(() => upstream.close())
  const authority = await createAuthority('attacks')
  t.after(() => authority.remove())
  const image = makeImage()
  upstream.put(repository, 'v1', image)
  return { upstream, image, authority }
}

/** What a Berth in 256 MiB goes through, beside a client that pulls all the time. */
export async function survives(t: TestContext, options: Options, attack: Attack): Promise<void> {
  const scene = await startScene(t)
  const { upstream, image } = scene
  const child = await startTarget(t, scene, options)
  const url = options.tls ? child.url.replace('http:', 'https:') : child.url
  if (!options.tls) {
    if (!options.users) await pullImage(child, repository, image, 'v1')
    else await get(`${child.url}/v2/`, { headers: login })
  }
  const prober = startProber(`${child.admin}/livez`)
  const client = options.tls ? undefined : startGoodClient(child.url, image)
  await attack({ url, admin: child.admin, upstream, cache: child.cache, image })
  const before = client?.count() ?? 0
  if (client) await eventually('pulls go on', () => client.count() > before + 1)
  const { count, failures, slowest, lag } = await prober.stop()
  t.diagnostic(`${count} probes, slowest ${Math.round(slowest)} ms, lag ${Math.round(lag)} ms`)
  assert.ok(child.isRunning(), `it has ended by ${child.endedBy()}: ${child.output().slice(-2000)}`)
  assert.deepEqual(failures, [])
  // The time that a kubelet gives a probe (charts/berth); delays of the machine itself are subtracted.
  assert.ok(slowest < 3000 + 5 * lag, `/livez took ${slowest} ms`)
  assert.deepEqual(await client?.stop(), client && [])
  assert.deepEqual(wrongBodies, [])
}

/** Connections that are opened, used, held for a while and left. */
export async function hold(
  url: string,
  count: number,
  use: (connection: RawConnection, at: number) => void,
  seconds = 3,
): Promise<void> {
  const held: RawConnection[] = []
  for (let at = 0; at < count; at += 1) {
    const connection = await connectRaw(url, { paused: true }).catch(() => undefined)
    if (connection === undefined) continue
    held.push(connection)
    use(connection, at)
  }
  await sleep(seconds * 1000)
  for (const { reset } of held) reset()
}
