import assert from 'node:assert/strict'
import { after, before, type TestContext, test } from 'node:test'
import {
  type Berth,
  checkInvariants,
  eventually,
  startBerth,
  strayFiles,
} from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { ownDirectory } from '../support/directory.ts'
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

type Scenario<Subject> = {
  /** Calls of the thread that does what files take, as strace(1) names them. */
  readonly calls: readonly string[]
  /** Before calls are counted. */
  readonly prepare?: (child: Child) => Promise<void>
  /** A new one for each round. */
  readonly make: () => Subject
  /** What is killed at its first call, its second, and so on to the last. */
  readonly act: (child: Child, subject: Subject) => Promise<unknown>
  /** What must work afterwards. */
  readonly again: (berth: Berth, subject: Subject) => Promise<void>
}

/** Rounds that run at the same time: most of each is waiting for a process to start. */
const lanes = 3

/** How often it was killed at each call; strace counts the calls of each name by themselves. */
type Kills = Readonly<Record<string, number>>

async function killAtEach<Subject>(t: TestContext, scenario: Scenario<Subject>): Promise<Kills> {
  const calls = [...scenario.calls]
  const kills: Record<string, number> = {}
  const lane = async () => {
    for (let call = calls.shift(); call !== undefined; call = calls.shift())
      kills[call] = await killAtEachOf(t, call, scenario)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  t.diagnostic(`kills: ${JSON.stringify(kills)}`)
  return kills
}

/**
 * Kills before each call of one name takes effect, in turn, until what is done is done before it.
 * After each: whatever is visible is whole, nothing unfinished is left, the books are the disk, and
 * everything can be pulled.
 */
async function killAtEachOf<Subject>(
  t: TestContext,
  call: string,
  { prepare, make, act, again }: Scenario<Subject>,
): Promise<number> {
  const directory = await ownDirectory(t)
  for (let at = 1; ; at += 1) {
    const subject = make()
    const child = await startChild({ config: config(), directory })
    await prepare?.(child)
    await eventually('it is scanned', () => child.output().includes('cache scanned'))
    const fault = await inject(child, 'files', `${call}:signal=SIGKILL:when=${at}`)
    await act(child, subject)
    await fault.withdraw()
    // It may be dead without our having been told.
    await child.kill('SIGTERM')

    const berth = await startBerth({ config: config(), directory })
    await eventually('it is scanned', () => berth.logs().some(({ msg }) => msg === 'cache scanned'))
    await checkInvariants(berth)
    await again(berth, subject)
    await checkInvariants(berth)
    await berth.stop()
    assert.deepEqual(await strayFiles(berth.cache), [], `after a kill at ${call} ${at}`)
    if (child.endedBy() !== 'SIGKILL') return at - 1
  }
}

/** Whether nothing is under way; in one that was killed nothing is. */
async function isDone(child: Child): Promise<boolean> {
  return (await child.metric('berth_fills_in_flight').catch(() => 0)) === 0
}

async function pullUnlessKilled(child: Child, blob: Blob): Promise<void> {
  await getBlob(child, 'p/r', blob).catch(() => {})
  await eventually('the fill is done', () => isDone(child))
}

/** What changes the disk; `write` is also how the thread tells that it is done, after each call. */
const changing = ['mkdir', 'pwrite64', 'pwritev', 'fchmod', 'rename', 'unlink', 'rmdir']

test('killed at each call of a fill, it starts again as if nothing had been (C66, INV-2, INV-18)', async (t) => {
  const kills = await killAtEach(t, {
    calls: ['write', 'openat', ...changing],
    make: () => newBlob(100_000),
    act: pullUnlessKilled,
    again: async (berth, blob) => void (await pullBlob(berth, 'p/r', blob)),
  })
  for (const call of ['write', 'openat', 'mkdir', 'fchmod', 'rename'])
    assert.ok(Number(kills[call]) > 0, call)
  assert.ok(Number(kills['pwrite64']) + Number(kills['pwritev']) > 0, 'pwrite')
})

test('killed at each call that stores a manifest and a tag, it starts again (C66)', async (t) => {
  const kills = await killAtEach(t, {
    calls: ['openat', ...changing],
    make: () => {
      const image = makeImage({ layers: [], extra: { annotations: { at: `${Math.random()}` } } })
      upstream.put('p/i', 'v1', image)
      return image
    },
    act: async (child, image) => {
      await pullImage(child, 'p/i', image, 'v1').catch(() => {})
      await eventually('the fill is done', () => isDone(child))
    },
    again: (berth, image) => pullImage(berth, 'p/i', image),
  })
  for (const call of ['openat', 'mkdir', 'rename']) assert.ok(Number(kills[call]) > 0, call)
})

test('killed at each call of an eviction, its books are the disk afterwards (C67)', async (t) => {
  const kills = await killAtEach(t, {
    calls: ['unlink', 'rmdir', 'rename', 'mkdir'],
    prepare: async (child) => {
      for (let at = 0; at < 9; at += 1) await pullBlob(child, 'p/r', newBlob(100_000))
      await eventually('the fills are done', () => isDone(child))
    },
    make: () => newBlob(500_000),
    act: pullUnlessKilled,
    again: async (berth, blob) => void (await pullBlob(berth, 'p/r', blob)),
  })
  assert.ok(Number(kills['unlink']) >= 4 && Number(kills['rmdir']) >= 4)
})

test('killed at each call while it shuts down, its order of use is the old or the new (C67)', async (t) => {
  const kept = newBlob(1000)
  const kills = await killAtEach(t, {
    calls: ['openat', 'mkdir', 'write', 'rename', 'unlink', 'rmdir'],
    prepare: async (child) => void (await pullBlob(child, 'p/r', kept)),
    make: () => kept,
    act: (child) => child.kill('SIGTERM'),
    again: async (berth) => assert.equal(await pullBlob(berth, 'p/r', kept), 'hit'),
  })
  for (const call of ['openat', 'write', 'rename']) assert.ok(Number(kills[call]) > 0, call)
})
