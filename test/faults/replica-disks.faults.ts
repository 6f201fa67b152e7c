import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get, getCompared } from '../support/client.ts'
import { removeDirectory } from '../support/directory.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { type FileSystem, fillDisk, mountFileSystem, ownDisk } from '../support/mounts.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import {
  answerInTwo,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024
const clients = 12
let upstream: ScriptedUpstream
let group: ReplicaGroup
let children: readonly [Child, Child, Child]
/** The disk of the first replica. */
let disk: FileSystem

before(async () => {
  upstream = await startScriptedUpstream()
  group = await createReplicaGroup(3)
  disk = await mountFileSystem('size=24m,nr_inodes=400')
  children = await Promise.all([start(0, disk.directory), start(1), start(2)])
  for (const child of children)
    await eventually('it knows all', async () => (await child.metric('berth_replicas')) === 3)
})
after(async () => {
  for (const child of children) {
    await checkInvariants(child)
    await child.kill('SIGTERM')
    if (child.directory !== disk.directory) await removeDirectory(child.directory)
  }
  await disk.remove()
  await group.remove()
  await upstream.close()
})

function start(at: number, directory?: string): Promise<Child> {
  return startChild({
    config: {
      upstreams: [{ prefix: 'up', url: upstream.url }],
      replicas: group.config(at),
      storage: { cache: { scrubRate: 0, minimumFree: 0 } },
    },
    ...(directory !== undefined && { directory }),
  })
}

/** A blob that one replica gets for all. */
function ownedBlob(owner = 0): Blob {
  const blob = randomBlob(2 * mebibyte)
  if (group.ownerOf(blob.digest) !== owner) return ownedBlob(owner)
  upstream.putBlob('p/r', blob)
  return blob
}

const gets = ({ digest }: Blob) => upstream.count(`GET /v2/p/r/blobs/${digest}`)

/** Clients at all replicas, or at one. */
async function pull(
  blob: Blob,
  where: readonly Child[] = children,
  onFirst?: () => void,
): Promise<void> {
  const pulls = Array.from({ length: clients }, (_, at) =>
    getCompared(
      `${where[at % where.length]?.url}/v2/up/p/r/blobs/${blob.digest}`,
      blob.bytes,
      onFirst && { onFirst },
    ),
  )
  for (const { status, complete } of await Promise.all(pulls))
    assert.deepEqual([status, complete], [200, true])
}

/** Begun at the upstream, and read by clients of all replicas, when `spoil` is called. */
async function pullWhile(blob: Blob, spoil: () => Promise<void>): Promise<void> {
  const gate = Promise.withResolvers<void>()
  upstream.on(blob.digest, answerInTwo(blob.bytes, mebibyte, gate.promise), 1)
  let waiting = clients
  const pulling = pull(blob, children, () => {
    waiting -= 1
  })
  await eventually('all read', () => waiting === 0)
  await spoil()
  gate.resolve()
  await pulling
}

async function useUpInodes(directory: string): Promise<void> {
  for (let at = 0; ; at += 1)
    try {
      await writeFile(join(directory, `file-${at}`), '')
    } catch {
      return
    }
}

for (const [what, spoil] of [
  ['has no inodes', useUpInodes],
  ['is full', fillDisk],
] as const)
  test(`an owner whose disk ${what} is replaced by the next replica`, async (t) => {
    const begun = ownedBlob()
    const neighbour = join(disk.directory, 'neighbour')
    await mkdir(neighbour)
    await pullWhile(begun, () => spoil(neighbour))
    const counts = [gets(begun)]
    for (const where of [children, children.slice(0, 1), children.slice(1)]) {
      const blob = ownedBlob()
      await pull(blob, where)
      counts.push(gets(blob))
    }
    await rm(neighbour, { recursive: true })
    t.diagnostic(`GETs of the upstream: ${counts}`)
    // On a slow machine, the owner may try its disk again meanwhile. Without the others, each client is a GET.
    for (const count of counts) assert.ok(count >= 1 && count <= 3, `${counts}`)
  })

test('an owner whose disk becomes read-only is replaced by the next replica, and serves what it has', async (t) => {
  const [first, second, third] = children
  const failing = await ownDisk(t, 128 * mebibyte)
  await second.kill('SIGTERM')
  const owner = await start(1, failing.directory)
  children = [first, owner, third]
  for (const child of children)
    await eventually('it knows all', async () => (await child.metric('berth_replicas')) === 3)
  const stored = ownedBlob(1)
  const image = makeImage()
  upstream.put('p/r', '1', image)
  const pullImage = async (where: readonly Child[], reference: string) => {
    for (const { url } of where) {
      const { status, body } = await get(`${url}/v2/up/p/r/manifests/${reference}`)
      assert.deepEqual([status, body.equals(image.bytes)], [200, true])
    }
  }
  await pull(stored)
  await pullImage(children, '1')
  const begun = ownedBlob(1)
  await pullWhile(begun, failing.becomeReadOnly)
  const counts = [gets(begun)]
  for (const where of [children, [owner], [first, third], children]) {
    const blob = ownedBlob(1)
    await pull(blob, where)
    counts.push(gets(blob))
  }
  for (const other of [0, 2]) {
    const blob = ownedBlob(other)
    await pull(blob)
    counts.push(gets(blob))
  }
  t.diagnostic(`GETs of the upstream: ${counts}`)
  for (const count of counts) assert.ok(count >= 1 && count <= 3, `${counts}`)
  await pull(stored)
  assert.equal(gets(stored), 1)
  const next = makeImage()
  upstream.put('p/new', '1', next)
  await pullImage([owner], '1')
  const reply = await get(`${owner.url}/v2/up/p/new/manifests/1`)
  assert.deepEqual([reply.status, reply.body.equals(next.bytes)], [200, true])
  t.diagnostic(`/readyz: ${(await get(`${owner.admin}/readyz`)).body}`)
  await owner.kill('SIGTERM')
  assert.match(owner.output(), /"msg":"stopped"/)
  children = [first, await start(1, second.directory), third]
})
