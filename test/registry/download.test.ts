import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { isRegistryError, RegistryError } from '../../src/oci/errors.ts'
import { type DownloadOptions, download } from '../../src/registry/download.ts'
import { type Clock, useClock } from '../support/clock.ts'
import { readAll } from '../support/remotes.ts'

const megabyte = 1024 * 1024
const bytes = randomBytes(5 * megabyte)
const size = bytes.length

/** One answer of the upstream: how many bytes of it come, how it ends, and what it says. */
type Leg = {
  readonly sends?: number
  readonly breaks?: Error
  /** Begins at 0 whatever was asked for. */
  readonly knowsNoRanges?: boolean
  readonly says?: number | undefined
  readonly refuses?: Error
  readonly isMissing?: boolean
}

/** What a body gives at each step. */
const piece = (first: number, end: number) => [bytes.subarray(first, Math.min(end, first + 65_536))]

const broke = () => new RegistryError('UNAVAILABLE', { message: 'the connection broke' })

/** Downloads over these legs, one after the other; the last of them again and again. */
function over(
  legs: readonly Leg[],
  { until, ...options }: Partial<DownloadOptions> & { until?: () => Error | undefined } = {},
) {
  const asked: number[] = []
  const resumes: number[] = []
  let dropped = 0
  const open: DownloadOptions['open'] = async (from) => {
    asked.push(from)
    const leg = legs[Math.min(asked.length, legs.length) - 1] ?? {}
    const away = asked.length > 1 ? until?.() : undefined
    if (away !== undefined) throw away
    if (leg.refuses !== undefined) throw leg.refuses
    if (leg.isMissing) return undefined
    const start = leg.knowsNoRanges ? 0 : from
    const end = Math.min(size, start + (leg.sends ?? size))
    async function* send() {
      for (let at = start; at < end; at += 65_536) yield piece(at, end)
      if (leg.breaks !== undefined) throw leg.breaks
    }
    return {
      size: 'says' in leg ? leg.says : size,
      from: start,
      body: send() as never,
      drop: () => {
        dropped += 1
      },
    }
  }
  let fetched = 0
  const chunks = download({
    open,
    from: 0,
    size,
    maxStall: 60_000,
    signal: new AbortController().signal,
    onBytes: (count) => {
      fetched += count
    },
    onResume: (position) => void resumes.push(position),
    ...options,
  })
  return {
    all: () => readAll(chunks),
    asked,
    resumes,
    fetched: () => fetched,
    dropped: () => dropped,
  }
}

/** Lets time go by until something has settled. */
async function runUntil(clock: Clock, promise: Promise<unknown>): Promise<void> {
  let isSettled = false
  const settle = () => {
    isSettled = true
  }
  promise.then(settle, settle)
  while (!isSettled) {
    clock.advance(50)
    await turn()
  }
}

const unavailable = (error: unknown) => isRegistryError(error, 'UNAVAILABLE')

test('a body that arrives whole is requested once', async () => {
  const { all, asked, fetched } = over([{}])
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [0])
  assert.equal(fetched(), size)
})

test('the rest of a broken body is requested from the byte reached (U29)', async () => {
  const legs = [{ sends: 2 * megabyte, breaks: broke() }, { sends: megabyte, breaks: broke() }, {}]
  const { all, asked, resumes, fetched } = over(legs)
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [0, 2 * megabyte, 3 * megabyte])
  assert.deepEqual(resumes, [2 * megabyte, 3 * megabyte])
  assert.equal(fetched(), size)
})

test('the rest of a body that ends early is requested (U31, U32)', async () => {
  const { all, asked } = over([{ sends: 3 * megabyte }, {}])
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [0, 3 * megabyte])
})

test('an upstream without ranges starts again, and bytes that have arrived are skipped (U29)', async () => {
  const legs = [{ sends: 2 * megabyte + 17, breaks: broke() }, { knowsNoRanges: true }]
  const { all, asked } = over(legs)
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [0, 2 * megabyte + 17])
})

test('the bytes are in order for any treatment of ranges and any position of a break', async () => {
  const leg = fc.record({
    sends: fc.integer({ min: megabyte, max: 2 * megabyte }),
    knowsNoRanges: fc.boolean(),
    breaks: fc.constantFrom(undefined, broke()),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(leg, { maxLength: 3 }), async (legs) => {
      const made = legs.map(({ breaks, ...rest }) => ({ ...rest, ...(breaks && { breaks }) }))
      const { all } = over([...made, {}])
      assert.ok((await all()).equals(bytes))
    }),
    { numRuns: 20 },
  )
})

test('a download from a position requests that range', async () => {
  const { all, asked } = over([{}], { from: megabyte })
  assert.deepEqual(await all(), bytes.subarray(megabyte))
  assert.deepEqual(asked, [megabyte])
})

test('a minute without progress ends a download, and its back-off grows (issue 7)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const started = performance.now()
  const { all, asked } = over([{ sends: 1000, breaks: broke() }])
  const outcome = all().catch((error: unknown) => error)
  await runUntil(clock, outcome)
  assert.ok(unavailable(await outcome))
  const took = performance.now() - started
  assert.ok(took >= 60_000 && took < 66_000, `${took} ms`)
  assert.ok(asked.length >= 12 && asked.length <= 20, `${asked.length} attempts`)
})

test('a download survives an outage of twenty seconds, and waits for the open breaker (C200)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const back = performance.now() + 20_000
  const open = new RegistryError('UNAVAILABLE', { message: 'not contacting it', retryAfter: 10 })
  const { all, asked } = over([{ sends: megabyte, breaks: broke() }], {
    until: () => (performance.now() < back ? open : undefined),
  })
  const whole = all()
  await runUntil(clock, whole)
  assert.deepEqual(await whole, bytes)
  assert.deepEqual(asked, [
    0,
    megabyte,
    megabyte,
    megabyte,
    2 * megabyte,
    3 * megabyte,
    4 * megabyte,
  ])
})

test('a download from an upstream that breaks after every 500 kB continues to its end (issue 51)', async () => {
  const { all, asked } = over([{ sends: 500_000, breaks: broke() }])
  assert.deepEqual(await all(), bytes)
  assert.equal(asked.length, Math.ceil(size / 500_000))
})

test('attempts with progress do not end a download', async () => {
  const leg = { sends: megabyte, breaks: broke() }
  const { all, asked } = over([leg, leg, leg, leg, {}])
  assert.deepEqual(await all(), bytes)
  assert.equal(asked.length, 5)
})

test('a body that breaks after its last byte is complete', async () => {
  const { all, asked, resumes } = over([{ breaks: broke() }])
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [0])
  assert.deepEqual(resumes, [])
})

test('another size than announced before is an error without a retry (T18)', async () => {
  const legs = [{ sends: megabyte, breaks: broke() }, { says: size + 1 }]
  const { all, asked, dropped } = over(legs)
  await assert.rejects(all(), (error) => isRegistryError(error, 'SIZE_INVALID'))
  assert.deepEqual(asked, [0, megabyte])
  assert.equal(dropped(), 1)
})

test('a response without a size is not a response with another size', async () => {
  const { all } = over([{ sends: megabyte, breaks: broke() }, { says: undefined }])
  assert.deepEqual(await all(), bytes)
})

test('a denial or a miss during a download ends it', async () => {
  const denied = new RegistryError('DENIED')
  const refusal = over([{ sends: megabyte, breaks: broke() }, { refuses: denied }])
  await assert.rejects(refusal.all(), (error) => error === denied)
  const miss = over([{ sends: megabyte, breaks: broke() }, { isMissing: true }])
  await assert.rejects(miss.all(), (error) => isRegistryError(error, 'BLOB_UNKNOWN'))
})

test('an upstream that is unavailable for one retry may be available for the next', async () => {
  const legs = [{ sends: megabyte, breaks: broke() }, { refuses: broke() }, {}]
  const { all, asked } = over(legs)
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [0, megabyte, megabyte])
})

test('a body of unknown size ends with its framing, and a broken one is not complete', async () => {
  const unknown = { size: undefined, says: undefined }
  const whole = over([{ ...unknown }], { size: undefined })
  assert.deepEqual(await whole.all(), bytes)
  const broken = over([{ ...unknown, sends: megabyte, breaks: broke() }, { says: undefined }], {
    size: undefined,
  })
  assert.deepEqual(await broken.all(), bytes)
})

test('an open connection is used first', async () => {
  const first = {
    size,
    from: 0,
    body: (async function* () {
      for (let at = 0; at < megabyte; at += 65_536) yield piece(at, megabyte)
      throw broke()
    })() as never,
    drop: () => {},
  }
  const { all, asked } = over([{}], { first })
  assert.deepEqual(await all(), bytes)
  assert.deepEqual(asked, [megabyte])
})

test('a download that is aborted during its back-off rejects with the reason (L96)', async () => {
  const stop = new AbortController()
  const reason = new RegistryError('UNAVAILABLE', { message: 'it took too long', status: 504 })
  const { all } = over([{ sends: 10, breaks: broke() }], {
    signal: stop.signal,
    onResume: () => stop.abort(reason),
  })
  await assert.rejects(all(), (error) => error === reason)
})
