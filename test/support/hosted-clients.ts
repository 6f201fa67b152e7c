import assert from 'node:assert/strict'
import { digestOf } from '../../src/oci/digest.ts'
import { type Blob, type Image, makeImage, randomBlob } from './images.ts'
import { createPushClient } from './push-client.ts'
import type { Random } from './random.ts'

type HostedClientsOptions = {
  /** Where the registry is now. */
  readonly url: () => string
  /** For how long after a HEAD a blob must not be collected, in milliseconds. */
  readonly grace: number
  /** Tags `pr-…` may be gone after so many milliseconds, and not before. */
  readonly maxAge: number
  readonly random: Random
}

/** Clients of hosted repositories whose images share layers, and who notice whatever is lost. */
export interface HostedClients {
  run(milliseconds: number): Promise<void>
  /** Pulls every image that must be there. */
  pullAll(): Promise<void>
  deleteAll(): Promise<void>
  /** While the registry is being killed, requests may fail; what they were to do is then unknown. */
  expectFailures(expected: boolean): void
  counts(): Readonly<Record<string, number>>
}

type Pushed = {
  readonly repository: string
  readonly tag: string
  readonly image: Image
  readonly at: number
}

const repositories = ['local/one', 'local/two', 'local/three'] as const
const clientCount = 6

export function createHostedClients(options: HostedClientsOptions): HostedClients {
  const { url, grace, maxAge, random } = options
  const { pick } = random
  const layers = Array.from({ length: 24 }, (_, at) => randomBlob(500 + at * 1500))
  /** What must be there, by repository and tag. */
  const pushed = new Map<string, Pushed>()
  /** Everything that was pushed, to be deleted at the end. */
  const images: Pick<Pushed, 'repository' | 'image'>[] = []
  const tally = new Map<string, number>()
  let mayFail = false
  let serial = 0

  const count = (what: string): void => {
    tally.set(what, (tally.get(what) ?? 0) + 1)
  }
  const client = () => createPushClient(url())
  const newImage = (): Image => {
    serial += 1
    const own = [pick(layers), pick(layers), pick(layers)]
    return makeImage({
      layers: [...new Set(own)],
      architecture: `a${serial % 3}`,
      extra: { annotations: { serial: `${serial}` } },
    })
  }

  /** As docker does: what exists is not pushed again. */
  const ensureBlob = async (repository: string, blob: Blob): Promise<void> => {
    const { status } = await client().send('HEAD', `${repository}/blobs/${blob.digest}`)
    if (status === 200) return
    assert.equal(status, 404)
    const from = pick(repositories)
    const path = `${repository}/blobs/uploads/?mount=${blob.digest}&from=${from}`
    const mounted = await client().send('POST', path)
    assert.ok([201, 202].includes(mounted.status), `mount: ${mounted.status}`)
    if (mounted.status === 202) await client().pushBlob(repository, blob)
  }

  const push = async (): Promise<void> => {
    const [repository, image] = [pick(repositories), newImage()]
    const tag = `${pick(['pr', 'v'])}-${serial}`
    const start = performance.now()
    for (const blob of image.blobs) await ensureBlob(repository, blob)
    images.push({ repository, image })
    const response = await client().putManifest(repository, tag, image)
    const text = await response.text()
    const took = performance.now() - start
    // A push that takes longer than the grace period may find its blobs gone.
    if (response.status !== 201 && took > grace) return count('too slow')
    assert.equal(response.status, 201, `${text} after ${took} ms`)
    pushed.set(`${repository}:${tag}`, { repository, tag, image, at: performance.now() })
    count('pushed')
  }

  const pullOne = async (one: Pushed): Promise<void> => {
    const { repository, tag, image, at } = one
    const mayBeGone = () =>
      !pushed.has(`${repository}:${tag}`) ||
      (tag.startsWith('pr-') && performance.now() - at > maxAge - 1000)
    const found = await body(`${repository}/manifests/${tag}`)
    if (found.status === 404 && mayBeGone()) {
      pushed.delete(`${repository}:${tag}`)
      return
    }
    assert.equal(found.status, 200, `${repository}:${tag}: ${found.bytes}`)
    assert.equal(digestOf(found.bytes), image.digest)
    for (const { digest } of image.blobs) {
      const blob = await body(`${repository}/blobs/${digest}`)
      if (blob.status === 404 && mayBeGone()) return
      assert.equal(blob.status, 200, `${repository}:${tag} lost ${digest}: ${blob.bytes}`)
      assert.equal(digestOf(blob.bytes), digest)
    }
    count('pulled')
  }

  const body = async (path: string) => {
    const response = await client().send('GET', path)
    return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) }
  }

  const remove = async (one: Pushed): Promise<void> => {
    const { repository, tag, image } = one
    pushed.delete(`${repository}:${tag}`)
    const reference = pick([tag, image.digest, image.digest])
    const { status } = await client().send('DELETE', `${repository}/manifests/${reference}`)
    assert.ok([202, 404].includes(status), `DELETE: ${status}`)
    count('deleted')
  }

  const acts: readonly (() => Promise<void>)[] = [
    push,
    push,
    push,
    async () => {
      if (pushed.size > 0) await pullOne(pick([...pushed.values()]))
    },
    async () => {
      if (pushed.size > 0) await pullOne(pick([...pushed.values()]))
    },
    async () => {
      if (pushed.size > 15) await remove(pick([...pushed.values()]))
    },
    async () => {
      if (pushed.size > 15) await remove(pick([...pushed.values()]))
    },
    // A blob that no manifest will reference, and a session that nobody ends.
    () => client().pushBlob(pick(repositories), randomBlob(3000)),
    async () => {
      const location = await client().start(pick(repositories))
      const { status } = await client().send('PATCH', location, { body: new Uint8Array(500) })
      assert.equal(status, 202)
    },
  ]

  const runOne = async (end: number): Promise<void> => {
    while (performance.now() < end) {
      try {
        await pick(acts)()
      } catch (error) {
        if (!mayFail) throw error
        count('failed while it was killed')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }

  return {
    run: async (milliseconds) => {
      const end = performance.now() + milliseconds
      await Promise.all(Array.from({ length: clientCount }, () => runOne(end)))
    },
    pullAll: async () => {
      for (const one of [...pushed.values()]) await pullOne(one)
    },
    deleteAll: async () => {
      for (const repository of repositories) {
        const { status, bytes } = await body(`${repository}/tags/list`)
        if (status === 404) continue
        for (const tag of JSON.parse(bytes.toString()).tags as string[]) {
          const head = await client().send('HEAD', `${repository}/manifests/${tag}`)
          const digest = head.headers.get('docker-content-digest')
          await client().send('DELETE', `${repository}/manifests/${digest ?? tag}`)
        }
      }
      // Those whose tag was deleted alone.
      for (const { repository, image } of images)
        await client().send('DELETE', `${repository}/manifests/${image.digest}`)
      images.length = 0
      pushed.clear()
    },
    expectFailures: (expected) => {
      mayFail = expected
    },
    counts: () => Object.fromEntries([...tally].toSorted()),
  }
}
