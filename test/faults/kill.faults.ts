import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import {
  type Berth,
  checkInvariants,
  eventually,
  startBerth,
  strayFiles,
} from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob, pullImage } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { inject } from '../support/strace.ts'

const limit = 1_000_000

let upstream: ScriptedUpstream

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())

function config(): Readonly<Record<string, unknown>> {
  return {
    upstreams: [{ url: upstream.url }],
    storage: { cache: { maxSize: limit, minimumFree: 0, scrubRate: 0 } },
  }
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

type Scenario = {
  /** Calls of the thread that does what files take, as strace(1) names them. */
  readonly calls: string
  /** Before calls are counted. */
  readonly prepare?: (child: Child) => Promise<void>
  /** What is killed at its first call, its second, and so on to the last. */
  readonly act: (child: Child) => Promise<void>
  /** What must work afterwards. */
  readonly again: (berth: Berth) => Promise<void>
}

/**
 * Kills at each call in turn, until what is done is done before it. After each: whatever is visible is
 * whole, nothing unfinished is left, the books are the disk, and everything can be pulled.
 */
async function killAtEach({ calls, prepare, act, again }: Scenario): Promise<number> {
  let directory: string | undefined
  for (let at = 1; ; at += 1) {
    const child = await startChild({ config: config(), ...(directory && { directory }) })
    directory = child.directory
    await prepare?.(child)
    await scanned(child)
    const fault = await inject(child, 'files', `${calls}:signal=SIGKILL:when=${at}`)
    await act(child)
    const survived = child.isRunning()
    await fault.withdraw()
    await child.kill('SIGKILL')

    const berth = await startBerth({ config: config(), directory })
    await eventually('the directory is scanned', () =>
      berth.logs().some(({ msg }) => msg === 'cache scanned'),
    )
    await checkInvariants(berth)
    await again(berth)
    await checkInvariants(berth)
    await berth.stop()
    assert.deepEqual(await strayFiles(berth.cache), [], `after a kill at call ${at}`)
    if (survived) {
      await rm(directory, { recursive: true })
      return at - 1
    }
  }
}

async function scanned(child: Child): Promise<void> {
  await eventually('the directory is scanned', () => child.output().includes('cache scanned'))
}

/** The blobs of the last round. */
let blobs: readonly Blob[] = []

test('killed at each call of a fill, it starts again as if nothing had been (C66, INV-2, INV-18)', async () => {
  const kills = await killAtEach({
    calls: 'openat,mkdir,pwrite64,pwritev,write,fchmod,rename,unlink,rmdir,close,statx,access',
    act: async (child) => {
      const blob = newBlob(100_000)
      blobs = [blob]
      await getBlob(child, 'p/r', blob).catch(() => {})
      if (child.isRunning()) await eventually('the fill is done', () => isDone(child))
    },
    again: async (berth) => {
      for (const blob of blobs) await pullBlob(berth, 'p/r', blob)
    },
  })
  assert.ok(kills > 20, `${kills} kills`)
})

test('killed at each call that stores a manifest and a tag, it starts again (C66)', async () => {
  let image = makeImage({ layers: [] })
  const kills = await killAtEach({
    calls: 'mkdir,write,rename,unlink,utimensat,pwrite64,pwritev',
    act: async (child) => {
      image = makeImage({ layers: [], extra: { annotations: { at: `${Math.random()}` } } })
      upstream.put('p/i', 'v1', image)
      await pullImage(child, 'p/i', image, 'v1').catch(() => {})
      if (child.isRunning()) await eventually('the fill is done', () => isDone(child))
    },
    again: (berth) => pullImage(berth, 'p/i', image),
  })
  assert.ok(kills > 10, `${kills} kills`)
})

test('killed at each call of an eviction, its books are the disk afterwards (C67)', async () => {
  const kills = await killAtEach({
    calls: 'unlink,rmdir,rename,mkdir',
    prepare: async (child) => {
      for (let at = 0; at < 9; at += 1) await pullBlob(child, 'p/r', newBlob(100_000))
      await eventually('the fills are done', () => isDone(child))
    },
    act: async (child) => {
      blobs = [newBlob(500_000)]
      for (const blob of blobs) await getBlob(child, 'p/r', blob).catch(() => {})
      if (child.isRunning()) await eventually('the fill is done', () => isDone(child))
    },
    again: async (berth) => {
      for (const blob of blobs) await pullBlob(berth, 'p/r', blob)
    },
  })
  assert.ok(kills > 10, `${kills} kills`)
})

test('killed at each call while it shuts down, its order of use is the old or the new (C67)', async () => {
  const kept = newBlob(1000)
  const kills = await killAtEach({
    calls: 'mkdir,openat,write,rename,unlink,rmdir,close',
    prepare: async (child) => {
      await pullBlob(child, 'p/r', kept)
    },
    act: (child) => child.kill('SIGTERM'),
    again: async (berth) => {
      assert.equal(await pullBlob(berth, 'p/r', kept), 'hit')
    },
  })
  assert.ok(kills > 3, `${kills} kills`)
})

async function isDone(child: Child): Promise<boolean> {
  return (await child.metric('berth_fills_in_flight').catch(() => 0)) === 0
}
