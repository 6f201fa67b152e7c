import { connect } from 'node:net'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { randomBlob } from '../support/images.ts'
import { type Attack, hold, mebibyte, survives } from '../support/under-attack.ts'

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
    test(what, (t) => survives(t, options, attack))
})
