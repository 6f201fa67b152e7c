import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../../src/oci/digest.ts'
import { scrub } from '../../../src/store/cache/scrub.ts'
import { randomBlob } from '../../support/images.ts'

const hour = 3_600_000
const mebibyte = 1024 * 1024

/** Times, by a clock that only pauses move, at which blobs of 1 MiB were verified. */
async function timesOf(options: { readonly interval: number; readonly rate: number }) {
  const digests = [randomBlob(10).digest, randomBlob(10).digest]
  const times: number[] = []
  let time = 0
  const verify = async (_digest: Digest, pace: (bytes: number) => Promise<void>) => {
    times.push(time)
    await pace(mebibyte)
  }
  const end = new Error('the test has seen enough')
  const pause = async (milliseconds: number) => {
    if (times.length >= 4) throw end
    time += milliseconds
  }
  const running = scrub({
    digests: () => digests,
    verify,
    isFilling: () => false,
    now: () => time,
    pause,
    ...options,
  })
  await assert.rejects(running, end)
  return times
}

test('all blobs are verified at the rate, and again an interval after the start (issue 10, point 4)', async () => {
  const times = await timesOf({ rate: mebibyte, interval: hour })
  assert.deepEqual(times, [15_000, 16_010, 15_000 + hour, 16_010 + hour])
})

test('a scrub that takes longer than the interval is followed by the next after the minimum delay', async () => {
  const times = await timesOf({ rate: 1024, interval: 1000 })
  const each = 1024 * 1000 + 10
  assert.deepEqual(times, [15_000, 15_000 + each, 30_000 + 2 * each, 30_000 + 3 * each])
})
