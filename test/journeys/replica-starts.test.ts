import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { createSignatures } from '../../src/replicas/signature.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { get } from '../support/client.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
let group: ReplicaGroup
let berths: Berth[]

before(async () => {
  group = await createReplicaGroup(3)
  berths = await Promise.all(
    group.addresses.map((_, at) =>
      startBerth({
        config: { upstreams: [{ prefix: 'up', url: upstream.url }], replicas: group.config(at) },
      }),
    ),
  )
  for (const berth of berths)
    await eventually('it knows all', async () => (await berth.metric('berth_replicas')) === 3)
})
after(async () => {
  for (const berth of berths) {
    await checkInvariants(berth)
    await removeBerth(berth)
  }
  await group.remove()
})

function blobOf(owner: number): Blob {
  const blob = randomBlob(1000)
  if (group.ownerOf(blob.digest) !== owner) return blobOf(owner)
  upstream.putBlob('p/r', blob)
  return blob
}

async function pullAt(berth: Berth | undefined, blob: Blob): Promise<void> {
  const { status, body } = await get(`${berth?.url}/v2/up/p/r/blobs/${blob.digest}`)
  assert.deepEqual([status, body.equals(blob.bytes)], [200, true])
}

const gets = ({ digest }: Blob) => upstream.count(`GET /v2/p/r/blobs/${digest}`)
const isAskedAgain = (berth: Berth | undefined) =>
  berth?.logs().some(({ msg }) => /was started again/.test(String(msg))) ?? false

test('a replica that failed and was started again at its address is the owner for all again', async () => {
  const [owner, ...others] = berths
  await owner?.stop()
  for (const other of others) await pullAt(other, blobOf(0))
  berths = await Promise.all([owner?.restart() ?? assert.fail(), ...others])
  for (const other of others) await eventually('it is told', () => isAskedAgain(other), 20)
  const blobs = Array.from({ length: 5 }, () => blobOf(0))
  for (const blob of blobs) await Promise.all(berths.map((berth) => pullAt(berth, blob)))
  assert.deepEqual(blobs.map(gets), [1, 1, 1, 1, 1])
})

test('nobody without the secret can say that a replica was started', async () => {
  const [, other] = group.addresses
  const method = 'PUT'
  const target = `/started/${other}:30028`
  const put = async (secret: string) => {
    const authorization = createSignatures(secret, Date.now).sign({ method, target, writer: '' })
    const reply = await fetch(group.urlOf(0) + target, { method, headers: { authorization } })
    return reply.status
  }
  assert.equal(await put('the secret of other replicas'), 401)
  assert.equal(await put(await readFile(group.secretFile, 'utf8')), 204)
})
