import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { get, getCompared } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { connectRaw } from '../support/raw.ts'
import { answerInTwo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
/** What an upstream is asked in a second, at most, and how much of it may be asked at once. */
const rate = 200
const directory = await useDirectory()
const upstream = await useUpstream()
const config = { upstreams: [{ url: upstream.url }], log: { level: 'error' } }
const berth = useBerth({ config })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
})

const manifestUrl = (reference: string) => `${berth.url}/v2/${name}/manifests/${reference}`

/** Asks one after the other, by so many clients, and tells how often which status came. */
async function flood(
  clients: number,
  each: number,
  ask: (at: number) => Promise<{ readonly status: number }>,
): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>()
  const work = async (client: number) => {
    for (let at = 0; at < each; at += 1) {
      const { status } = await ask(client * each + at)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, client) => work(client)))
  return statuses
}

async function metrics(): Promise<readonly string[]> {
  const text = (await get(`${berth.admin}/metrics`)).body.toString()
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

test('a flood of names that do not exist reaches the upstream at a bounded rate, and pulls go on (L93)', async () => {
  await pullImage(berth, name, image, 'v1')
  await get(manifestUrl('missing'))
  const [before, known] = [upstream.requests.length, await metrics()]
  const began = performance.now()
  const flooding = flood(250, 3, (at) => get(manifestUrl(`missing-${at}`)))
  await pullImage(berth, name, image, 'v1')
  const cold = makeImage()
  upstream.put('p/cold', 'v1', cold)
  await pullImage(berth, 'p/cold', cold, 'v1')
  const statuses = await flooding
  const seconds = (performance.now() - began) / 1000
  assert.deepEqual([...statuses], [[404, 750]])
  const asked = upstream.requests.slice(before).filter(({ path }) => path.includes('/manifests/'))
  assert.ok(asked.length >= 750)
  const most = rate + rate * seconds + 1
  assert.ok(asked.length <= most, `${asked.length} requests in ${seconds} s`)
  const lines = await metrics()
  assert.ok(lines.length < known.length + 50, `${lines.length} series`)
  assert.doesNotMatch(lines.join(), /missing-|"missing"/)
})

test('a popular tag is served from memory after one request to the upstream (L95)', async () => {
  await get(manifestUrl('v1'))
  const before = upstream.requests.length
  const began = performance.now()
  const statuses = await flood(50, 20, async () => {
    const reply = await get(manifestUrl('v1'))
    assert.equal(reply.headers['x-cache'], 'hit')
    return reply
  })
  assert.deepEqual([...statuses], [[200, 1000]])
  assert.equal(upstream.requests.length, before)
  // Five thousand a second is what the cases ask; the clients and a loaded machine get their share.
  assert.ok(performance.now() - began < 30_000)
})

test('clients above the connection limit do not affect those within it (L92)', async () => {
  await berth.start({ config: { ...config, limits: { connections: 20 } } })
  const blob = randomBlob(12_000_000)
  upstream.putBlob(name, blob)
  const path = `/v2/${name}/blobs/${blob.digest}`
  const readers = await Promise.all(
    Array.from({ length: 20 }, () => connectRaw(berth.url, { paused: true })),
  )
  for (const { ask } of readers) ask(`GET ${path} HTTP/1.1`, 'Host: x')
  const inFlight = () => berth.metric('berth_http_in_flight')
  await eventually('all read', async () => (await inFlight()) === 20)
  const beyond = await Promise.all(Array.from({ length: 200 }, () => connectRaw(berth.url)))
  for (const client of beyond) {
    client.ask('GET /v2/ HTTP/1.1', 'Host: x')
    assert.equal((await client.reply()).status, 503)
    client.reset()
  }
  assert.equal((await get(`${berth.admin}/readyz`)).status, 200)
  for (const reader of readers) {
    reader.resume()
    assert.ok((await reader.reply()).body.equals(blob.bytes))
    reader.socket.destroy()
  }
  assert.equal(upstream.count(path), 1)
})

test('many users log in during a blob download, and neither waits for the other', async (t) => {
  const users = Array.from({ length: 8 }, (_, at) => [`user-${at}`, `password-${at}`] as const)
  const lines = users.map(async ([user, password]) => `${user}:${await hashPassword(password, 10)}`)
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, `${(await Promise.all(lines)).join('\n')}\n`)
  await berth.start({ config: { ...config, auth: { htpasswd } } })
  const header = (at: number) => {
    const [user = '', password = ''] = users[at % users.length] ?? []
    return { authorization: `Basic ${basicOf(user, password)}` }
  }
  const blob = randomBlob(5_000_000)
  upstream.putBlob(name, blob)
  const gate = Promise.withResolvers<void>()
  t.after(() => gate.resolve())
  upstream.on(`GET /v2/${name}/blobs/${blob.digest}`, answerInTwo(blob.bytes, 1000, gate.promise))
  const url = `${berth.url}/v2/${name}/blobs/${blob.digest}`
  const headers = header(0)
  const begun = Promise.withResolvers<void>()
  const first = getCompared(url, blob.bytes, { headers, onFirst: () => begun.resolve() })
  await begun.promise

  let verified = 0
  const logins = flood(60, 1, async (at) => {
    const reply = await get(`${berth.url}/v2/`, { headers: header(at) })
    verified += 1
    return reply
  })
  gate.resolve()
  const pulls = Array.from({ length: 10 }, () => getCompared(url, blob.bytes, { headers }))
  for (const { status, complete, size } of await Promise.all([first, ...pulls]))
    assert.deepEqual([status, complete, size], [200, true, blob.bytes.length])
  assert.ok(verified < 60, 'the blob has come before the last has logged in')
  assert.deepEqual([...(await logins)], [[200, 60]])
  const again = performance.now()
  assert.deepEqual(
    [...(await flood(60, 1, (at) => get(`${berth.url}/v2/`, { headers: header(at) })))],
    [[200, 60]],
  )
  assert.ok(performance.now() - again < 5000, 'a login is verified once')
})

test('requests above the queue limit get Retry-After, and cached content is served (L93)', async (t) => {
  const missing = upstream.count('manifests/missing-')
  await pullImage(berth, name, image, 'v1')
  const gate = Promise.withResolvers<void>()
  t.after(() => gate.resolve())
  upstream.on('manifests/missing', async ({ reply }) => {
    await gate.promise
    reply(404)
  })
  // Of one repository 16 are asked at once, half of the slots, and 2000 wait.
  const clients = await Promise.all(Array.from({ length: 210 }, () => connectRaw(berth.url)))
  for (const [client, { ask }] of clients.entries()) {
    for (let at = 0; at < 10; at += 1)
      ask(`GET /v2/${name}/manifests/missing-${client}-${at} HTTP/1.1`, 'Host: x')
  }
  const inFlight = () => berth.metric('berth_http_in_flight')
  await eventually('the queue is full', async () => (await inFlight()) >= 2016)
  const refused = await clients.at(-1)?.reply()
  assert.equal(refused?.status, 503)
  assert.ok(Number(refused?.headers['retry-after']) >= 1)
  await pullImage(berth, name, image)
  assert.equal(upstream.count('manifests/missing-'), missing + 16)
  for (const client of clients) client.reset()
})
