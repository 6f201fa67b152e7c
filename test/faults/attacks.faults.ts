import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, beforeEach, suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashPassword } from '../../src/auth/auth.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { type Child, startChild } from '../support/child.ts'
import { get, wrongBodies } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { limitMemory } from '../support/limited-memory.ts'
import { startProber } from '../support/prober.ts'
import { pullImage } from '../support/pull.ts'
import { connectRaw, type RawConnection } from '../support/raw.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024
const limit = 256 * mebibyte
const repository = 'good/app'
const login = { authorization: `Basic ${basicOf('alice', 'p')}` }

let upstream: ScriptedUpstream
let image: Image
let authority: Authority

before(async () => {
  upstream = await startScriptedUpstream()
  authority = await createAuthority('attacks')
})
after(async () => {
  await upstream.close()
  await authority.remove()
})
beforeEach(() => {
  upstream.behave()
  image = makeImage()
  upstream.put(repository, 'v1', image)
})

/** What an attacker may reach. */
type Target = { readonly url: string; readonly admin: string; readonly upstream: ScriptedUpstream }
type Attack = (target: Target) => Promise<void>

type Options = { readonly tls?: boolean; readonly users?: boolean }

/** A Berth that may use 256 MiB, in which an image is warm. */
async function startTarget(t: TestContext, { tls, users }: Options): Promise<Child> {
  const directory = await ownDirectory(t)
  const file = async (name: string, text: string) => {
    await writeFile(join(directory, name), text)
    return join(directory, name)
  }
  const pair = tls ? await authority.issue(['IP:127.0.0.1']) : undefined
  const memory = await limitMemory(limit)
  const child = await startChild({
    directory,
    wrapper: memory.wrapper,
    environment: {
      UV_THREADPOOL_SIZE: '4',
      NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size-percentage=40',
    },
    config: {
      upstreams: [
        { url: upstream.url, tags: { ttl: '1s' } },
        { prefix: 'away', url: 'http://127.0.0.1:9' },
      ],
      storage: { cache: { maxSize: '100MiB', scrubRate: '0B' } },
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
  t.after(async () => {
    await child.kill('SIGKILL')
    t.diagnostic(`peak ${Math.round((await memory.peak()) / mebibyte)} MiB`)
    const killed = await memory.killed()
    await memory.remove()
    assert.equal(killed, 0, 'the kernel ended it for want of memory')
  })
  return child
}

/** Pulls the image again and again, and tries again when it is asked to. */
function startGoodClient(url: string) {
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

async function survives(t: TestContext, options: Options, attacks: readonly Attack[]) {
  const child = await startTarget(t, options)
  const url = options.tls ? child.url.replace('http:', 'https:') : child.url
  const goodUrl = child.url
  if (!options.tls) {
    if (!options.users) await pullImage(child, repository, image, 'v1')
    else await get(`${child.url}/v2/`, { headers: login })
  }
  const prober = startProber(`${child.admin}/livez`)
  const client = options.tls ? undefined : startGoodClient(goodUrl)
  await Promise.all(attacks.map((attack) => attack({ url, admin: child.admin, upstream })))
  const before = client?.count() ?? 0
  if (client) await eventually('pulls go on', () => client.count() > before + 1)
  const { count, failures, slowest, lag } = await prober.stop()
  t.diagnostic(`${count} probes, slowest ${Math.round(slowest)} ms, lag ${Math.round(lag)} ms`)
  assert.ok(child.isRunning(), `it has ended by ${child.endedBy()}: ${child.output().slice(-2000)}`)
  assert.deepEqual(failures, [])
  // A second is what the issue asks; what the machine itself was late is nobody's fault.
  assert.ok(slowest < 1000 + 5 * lag, `/livez took ${slowest} ms`)
  assert.deepEqual(await client?.stop(), client && [])
  assert.deepEqual(wrongBodies, [])
}

/** Connections that are opened, used, held for a while and left. */
async function hold(
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

const pipelined: Attack = async ({ url }) => {
  const wrong = Array.from({ length: 70 }, (_, at) =>
    get(`${url}/v2/`, { headers: { authorization: `Basic ${basicOf(`x${at}`, 'p')}` } }),
  )
  await hold(url, 40, ({ send }, at) => {
    const header = `Authorization: Basic ${basicOf(`y${at}`, 'p')}`
    const one = `GET /v2/ HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`
    for (let times = 0; times < 100; times += 1) send(one.repeat(500))
  })
  await Promise.all(wrong)
}

const silent: Attack = async ({ url, admin }) => {
  for (const place of [url, admin]) {
    const { hostname, port } = new URL(place)
    const sockets = Array.from({ length: 1500 }, () =>
      connect(Number(port), hostname).on('error', () => {}),
    )
    await sleep(2000)
    for (const socket of sockets) socket.destroy()
  }
}

const slowHeaders: Attack = ({ url }) =>
  hold(url, 2000, ({ send }) =>
    send(`GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ${'x'.repeat(20_000)}`),
  )

const stalledReaders: Attack = async ({ url, upstream: from }) => {
  const blob = randomBlob(30 * mebibyte)
  from.putBlob('p/large', blob)
  await hold(
    url,
    700,
    ({ ask }) => ask(`GET /v2/p/large/blobs/${blob.digest} HTTP/1.1`, 'Host: x'),
    5,
  )
}

const longLists: Attack = async ({ url, upstream: from }) => {
  const tags = Array.from({ length: 100_000 }, (_, at) => `${'t'.repeat(50)}-${at}`)
  from.on('/tags/list', ({ reply }) =>
    reply(200, { 'content-type': 'application/json' }, JSON.stringify({ tags })),
  )
  await hold(url, 60, ({ ask }, at) => ask(`GET /v2/p/list-${at}/tags/list HTTP/1.1`, 'Host: x'), 8)
}

/** What is made of one takes many times its bytes. */
const longManifests: Attack = async ({ url, upstream: from }) => {
  const layer = { mediaType: 'application/x', digest: randomBlob(1).digest, size: 1 }
  const layers = JSON.stringify(Array.from({ length: 34_000 }, () => layer))
  for (let at = 0; at < 100; at += 1) {
    const head = `{"mediaType":"${mediaTypes.ociManifest}","config":{},"at":${at}`
    from.on(`/v2/p/long-${at}/manifests/`, ({ reply }) =>
      reply(200, {}, `${head},"layers":${layers}}`),
    )
  }
  await hold(
    url,
    100,
    ({ ask }, at) => ask(`GET /v2/p/long-${at}/manifests/v1 HTTP/1.1`, 'Host: x'),
    6,
  )
}

const failingNames: Attack = ({ url }) =>
  hold(url, 200, ({ ask }, at) => {
    for (let name = 0; name < 200; name += 1) {
      const path = `/v2/away/${'n'.repeat(100)}/${at}-${name}/manifests/${'t'.repeat(100)}`
      ask(`GET ${path} HTTP/1.1`, 'Host: x')
    }
  })

const announcements: Attack = async ({ url, upstream: from }) => {
  const digests = Array.from({ length: 20 }, () => randomBlob(32).digest)
  for (const digest of digests)
    from.on(`GET /v2/p/promise/blobs/${digest}`, ({ head, write, end }) => {
      head(200, { 'content-length': String(49_000_000) })
      void write('x').then(end)
    })
  await hold(url, 20, ({ ask }, at) =>
    ask(`GET /v2/p/promise/blobs/${digests[at]} HTTP/1.1`, 'Host: x'),
  )
}

suite('in 256 MiB, nothing ends the process, /livez answers, and pulls go on:', () => {
  for (const [what, options, attack] of [
    ['requests pipelined behind wrong logins (R201)', { users: true }, pipelined],
    ['silent connections to both ports (R208)', {}, silent],
    ['headers that do not end (X178)', {}, slowHeaders],
    ['readers that take nothing (L91)', {}, stalledReaders],
    ['readers over TLS that take nothing (R206)', { tls: true }, stalledReaders],
    ['long lists of tags (R206)', {}, longLists],
    ['manifests of 4 MiB (R206)', {}, longManifests],
    ['names of an upstream that is away (R206)', {}, failingNames],
    ['blobs that are announced and do not come (R202)', {}, announcements],
  ] as const)
    test(what, (t) => survives(t, options, [attack]))
})
