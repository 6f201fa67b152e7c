import assert from 'node:assert/strict'
import { digestOf } from '../../src/oci/digest.ts'
import { type Blob, type Image, makeImage, randomBlob } from './images.ts'
import { createPushClient } from './push-client.ts'
import type { Random } from './random.ts'
import { until } from './until.ts'

type HostedClientsOptions = {
  /** Where the registry is now. */
  readonly url: () => string
  /** For how long after a HEAD a blob must not be collected, in milliseconds. */
  readonly grace: number
  /** Tags `pr-…` may be gone after so many milliseconds, and not before. */
  readonly maxAge: number
  readonly random: Random
  /** Replicas on a bucket: a HEAD may be a minute old, so that a push finds its blobs gone, and pushes them again. */
  readonly isShared?: boolean
  /** Points a tag, which was deleted just now, to an image again; false: it cannot. */
  readonly undo?: (repository: string, tag: string) => Promise<boolean>
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
  const { url, grace, maxAge, random, isShared = false, undo } = options
  const { pick } = random
  const layers = Array.from({ length: 24 }, (_, at) => randomBlob(500 + at * 1500))
  /** What must be there, by repository and tag. */
  const pushed = new Map<string, Pushed>()
  /** Everything that was pushed, to be deleted at the end. */
  const images: Pick<Pushed, 'repository' | 'image'>[] = []
  const wrong: string[] = []
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

  const push = async (moved?: Pushed): Promise<void> => {
    const image = newImage()
    const repository = moved?.repository ?? pick(repositories)
    const tag = moved?.tag ?? `${pick(['pr', 'v'])}-${serial}`
    const start = performance.now()
    for (const blob of image.blobs) await ensureBlob(repository, blob)
    images.push({ repository, image })
    let [at, response] = [performance.now(), await client().putManifest(repository, tag, image)]
    if (isShared && response.status === 404) {
      count('pushed again')
      for (const blob of image.blobs) await client().pushBlob(repository, blob)
      at = performance.now()
      response = await client().putManifest(repository, tag, image)
    }
    const text = await response.text()
    const took = performance.now() - start
    // A push that takes longer than the grace period may find its blobs gone.
    if (response.status !== 201 && took > grace && moved === undefined) return count('too slow')
    assert.equal(response.status, 201, `${text} after ${took} ms`)
    pushed.set(`${repository}:${tag}`, { repository, tag, image, at })
    count(moved === undefined ? 'pushed' : 'moved')
  }

  /** Nobody else changes it meanwhile. */
  const take = (): Pushed => {
    const one = pick([...pushed.values()])
    pushed.delete(`${one.repository}:${one.tag}`)
    return one
  }

  /** While a bucket is slow, a replica answers what it knew before: it has to be right a little later. */
  const pullOne = (one: Pushed): Promise<void> =>
    isShared && !mayFail
      ? until(`${one.repository}:${one.tag} is whole`, () => pullOnce(one))
      : pullOnce(one)

  const pullOnce = async (one: Pushed): Promise<void> => {
    const { repository, tag, image, at } = one
    const isSame = () => pushed.get(`${repository}:${tag}`) === one
    const mayBeGone = () =>
      !isSame() || (tag.startsWith('pr-') && performance.now() - at > maxAge - 1000)
    const found = await body(`${repository}/manifests/${tag}`)
    if (found.status !== 200 && mayBeGone()) {
      assert.ok(isShared || found.status === 404, `${found.status}`)
      if (isSame()) pushed.delete(`${repository}:${tag}`)
      return
    }
    assert.equal(found.status, 200, `${repository}:${tag}: ${found.bytes}`)
    if (!isSame()) return
    assert.equal(digestOf(found.bytes), image.digest, `${repository}:${tag} is another image`)
    for (const { digest } of image.blobs) {
      const blob = await body(`${repository}/blobs/${digest}`)
      if (blob.status !== 200 && mayBeGone()) return
      assert.equal(blob.status, 200, `${repository}:${tag} lost ${digest}: ${blob.bytes}`)
      if (digestOf(blob.bytes) !== digest) wrong.push(digest)
    }
    count('pulled')
  }

  const body = async (path: string) => {
    const first = await client().send('GET', path)
    const response = first.status === 307 ? await fetch(first.headers.get('location') ?? '') : first
    if (response !== first) count('redirected')
    return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) }
  }

  const remove = async (): Promise<void> => {
    const { repository, tag, image } = take()
    const reference = pick([tag, image.digest, image.digest])
    const { status } = await client().send('DELETE', `${repository}/manifests/${reference}`)
    assert.ok([202, 404].includes(status), `DELETE: ${status}`)
    count('deleted')
  }

  const removeAndUndo = async (): Promise<void> => {
    const one = take()
    const { repository, tag } = one
    const [at, path] = [performance.now(), `${repository}/manifests/${tag}`]
    const { status } = await client().send('DELETE', path)
    // A rule may have been faster.
    if (status === 404) return assert.ok(tag.startsWith('pr-'))
    assert.equal(status, 202)
    const isUndone = await undo?.(repository, tag)
    assert.ok(isUndone || performance.now() - at > grace, `${repository}:${tag} is not restored`)
    if (isUndone) pushed.set(`${repository}:${tag}`, { ...one, at })
    count('undone')
  }

  const acts: readonly (() => Promise<void>)[] = [
    () => push(),
    () => push(),
    () => push(),
    async () => {
      if (pushed.size > 0) await pullOne(pick([...pushed.values()]))
    },
    async () => {
      if (pushed.size > 0) await pullOne(pick([...pushed.values()]))
    },
    async () => {
      if (pushed.size > 15) await remove()
    },
    async () => {
      if (pushed.size > 15) await remove()
    },
    async () => {
      if (undo !== undefined && pushed.size > 5) await pick([removeAndUndo, () => push(take())])()
    },
    // A blob that no manifest will reference, and a session that nobody ends.
    () => client().pushBlob(pick(repositories), randomBlob(3000)),
    async () => {
      const replica = client()
      const location = await replica.start(pick(repositories))
      const { status } = await replica.send('PATCH', location, { body: new Uint8Array(500) })
      assert.equal(status, 202)
    },
  ]

  const runOne = async (end: number): Promise<void> => {
    while (performance.now() < end) {
      try {
        await pick(acts)()
      } catch (error) {
        const isDeleted = isShared && String(error).includes('is being deleted from the trash')
        if (!mayFail && !isDeleted) throw error
        count(isDeleted ? 'refused while it is deleted' : 'failed while it was killed')
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
      assert.deepEqual(wrong, [], 'wrong bytes')
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
