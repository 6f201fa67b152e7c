import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { getCompared } from '../support/client.ts'
import { removeDirectory } from '../support/directory.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { type FileSystem, fillDisk, mountFileSystem } from '../support/mounts.ts'
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
let children: readonly Child[]
/** The disk of the first replica. */
let disk: FileSystem

before(async () => {
  upstream = await startScriptedUpstream()
  group = await createReplicaGroup(3)
  disk = await mountFileSystem('size=24m,nr_inodes=400')
  children = await Promise.all(
    group.addresses.map((_, at) =>
      startChild({
        config: {
          upstreams: [{ prefix: 'up', url: upstream.url }],
          replicas: group.config(at),
          storage: { cache: { scrubRate: 0, minimumFree: 0 } },
        },
        ...(at === 0 && { directory: disk.directory }),
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
    if (child.directory !== disk.directory) await removeDirectory(child.directory)
  }
  await disk.remove()
  await group.remove()
  await upstream.close()
})

/** A blob that the first replica gets for all. */
function ownedBlob(): Blob {
  const blob = randomBlob(2 * mebibyte)
  if (group.ownerOf(blob.digest) !== 0) return ownedBlob()
  upstream.putBlob('p/r', blob)
  return blob
}

const gets = ({ digest }: Blob) => upstream.count(`GET /v2/p/r/blobs/${digest}`)

/** Clients at all replicas, or at one. */
async function pull(blob: Blob, where = children, onFirst?: () => void): Promise<void> {
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
    const gate = Promise.withResolvers<void>()
    upstream.on(begun.digest, answerInTwo(begun.bytes, mebibyte, gate.promise), 1)
    let waiting = clients
    const pulling = pull(begun, children, () => {
      waiting -= 1
    })
    await eventually('all read', () => waiting === 0)
    const neighbour = join(disk.directory, 'neighbour')
    await mkdir(neighbour)
    await spoil(neighbour)
    gate.resolve()
    await pulling
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
