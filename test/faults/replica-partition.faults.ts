import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get, getCompared } from '../support/client.ts'
import { type ClusterNetwork, startClusterNetwork } from '../support/cluster-network.ts'
import { removeDirectory } from '../support/directory.ts'
import { type Blob, type Image, makeImage, randomBlob } from '../support/images.ts'
import { type Namespaces, startNamespaces } from '../support/namespaces.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import {
  answerInTwo,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'

/** The packets between the first two replicas that are lost. */
const losses = {
  'all packets': [],
  // As with a tunnel whose MTU is not known.
  'large packets': ['--match', 'length', '--length', '1000:65535'],
} as const

let network: ClusterNetwork
let machines: readonly Namespaces[]
let upstream: ScriptedUpstream
let group: ReplicaGroup
let children: readonly Child[]

before(async () => {
  network = await startClusterNetwork()
  machines = await Promise.all([1, 2, 3].map(() => startNamespaces()))
  for (const [at, machine] of machines.entries()) await network.connect(at + 1, machine, 3)
  upstream = await startScriptedUpstream({ host: network.machine })
  group = await createReplicaGroup(3, [1, 2, 3].map(network.node))
  children = await Promise.all(
    machines.map(({ pid }, at) =>
      startChild({
        config: {
          upstreams: [{ prefix: 'up', url: upstream.url }],
          replicas: group.config(at),
          auth: { anonymous: 'pull' },
        },
        address: network.node(at + 1),
        wrapper: ['nsenter', `--target=${pid}`, '--net', '--'],
      }),
    ),
  )
  for (const child of children)
    await eventually('it knows all', async () => (await child.metric('berth_replicas')) === 3)
})
after(async () => {
  for (const child of children) {
    await checkInvariants(child)
    await child.kill('SIGTERM')
    await removeDirectory(child.directory)
  }
  await upstream.close()
  await group.remove()
  await Promise.all(machines.map(({ close }) => close()))
  await network.close()
})
afterEach(async () => {
  upstream.behave()
  await loseNothing()
})

/** From now on, the first two replicas do not receive these packets of each other. */
async function lose(what: keyof typeof losses): Promise<void> {
  for (const [at, other] of [
    [0, 2],
    [1, 1],
  ] as const)
    await machines[at]?.run([
      ...['iptables', '--append', 'INPUT', '--source', network.node(other)],
      ...losses[what],
      ...['--jump', 'DROP'],
    ])
}

async function loseNothing(): Promise<void> {
  for (const machine of machines) await machine.run(['iptables', '--flush', 'INPUT'])
}

const gets = (text: string) => upstream.count(`GET ${text}`)
const pathOf = ({ digest }: Blob) => `/v2/p/r/blobs/${digest}`
const atUpstream = (path: string) => path.replace('/v2/up/', '/v2/')

/** A new blob that one replica gets for all. */
function blobOf(owner: number, size: number): Blob {
  const blob = randomBlob(size)
  if (group.ownerOf(blob.digest) !== owner) return blobOf(owner, size)
  upstream.putBlob('p/r', blob)
  return blob
}

async function pull(at: number, blob: Blob, onFirst?: () => void): Promise<void> {
  const url = `${children[at]?.url}/v2/up/p/r/blobs/${blob.digest}`
  const { status, complete } = await getCompared(url, blob.bytes, onFirst && { onFirst })
  assert.deepEqual([status, complete], [200, true])
}

/** At all replicas at the same time. */
const pullAtAll = (blob: Blob) => Promise.all([0, 1, 2].map((at) => pull(at, blob)))

async function recover(): Promise<void> {
  await loseNothing()
  await eventually('they ask each other again', async () => {
    const blobs = Array.from({ length: 20 }, (_, at) => blobOf(at % 2, 1000))
    for (const blob of blobs) await pullAtAll(blob)
    return blobs.every((blob) => gets(pathOf(blob)) === 1)
  })
}

async function pullImage(at: number, path: string, image: Image): Promise<void> {
  const { status, body } = await get(`${children[at]?.url}${path}`)
  assert.deepEqual([status, body.equals(image.bytes)], [200, true])
}

for (const what of ['all packets', 'large packets'] as const) {
  test(`two of three replicas lose ${what} of each other: no pull fails, and each blob is one or two GETs`, async (t) => {
    await lose(what)
    const counts: number[] = []
    let slowest = 0
    for (let number = 0; number < 60; number += 1) {
      const blob = blobOf(number % 3, 100_000)
      const since = performance.now()
      await pullAtAll(blob)
      slowest = Math.max(slowest, performance.now() - since)
      counts.push(gets(pathOf(blob)))
    }
    const twice = counts.filter((count) => count === 2).length
    t.diagnostic(
      `${counts.length} blobs, ${twice} of them in 2 GETs, the slowest in ${Math.round(slowest)} ms`,
    )
    assert.ok(Math.max(...counts) <= 2, `${counts}`)
    const ofThird = counts.filter((_, at) => at % 3 === 2)
    assert.ok(
      ofThird.every((count) => count === 1),
      `of the third: ${ofThird}`,
    )
    for (let number = 0; number < 12; number += 1) {
      const image = makeImage()
      const name = `${what.replace(' ', '-')}-${number}`
      upstream.put(name, '1', image)
      const path = `/v2/up/${name}/manifests/1`
      await Promise.all([0, 1, 2].map((at) => pullImage(at, path, image)))
      // The tag, and the manifest it points to.
      assert.ok(gets(atUpstream(path)) <= 2, `${gets(atUpstream(path))} GETs of a tag`)
    }
    await recover()
  })

  test(`two of three replicas lose ${what} of each other in the middle of a download: one continues it`, async (t) => {
    const size = 8_000_000
    const blob = blobOf(0, size)
    const gate = Promise.withResolvers<void>()
    upstream.on(pathOf(blob), answerInTwo(blob.bytes, size / 2, gate.promise), 1)
    let waiting = 12
    const pulls = Array.from({ length: waiting }, (_, at) =>
      pull(at % 3, blob, () => {
        waiting -= 1
      }),
    )
    await eventually('all read', () => waiting === 0)
    await lose(what)
    gate.resolve()
    await Promise.all(pulls)
    t.diagnostic(`GETs: ${gets(pathOf(blob))}`)
    assert.ok(gets(pathOf(blob)) <= 2, `${gets(pathOf(blob))} GETs`)
  })
}
