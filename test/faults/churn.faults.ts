import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { test } from 'node:test'
import { checkInvariants } from '../support/berth.ts'
import { startChild } from '../support/child.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import { seededAnswer, seededBlob } from '../support/seeded.ts'
import { streamBlob } from '../support/streaming.ts'

/** More by hand: 10,000 take minutes. */
const clients = Number(process.env['CHURN_CLIENTS'] ?? 400)
const maxAtOnce = 48
const size = 6_000_000

test('clients that leave in mid-transfer never shift bytes into answers of others', async (t) => {
  const upstream = await startScriptedUpstream()
  t.after(() => upstream.close())
  const berth = await startChild({
    config: { upstreams: [{ url: upstream.url }] },
    environment: { UV_THREADPOOL_SIZE: '4' },
  })
  t.after(() => rm(berth.directory, { recursive: true, force: true }))
  const blobs = [1, 2, 3, 4].map((seed) => seededBlob(seed, size))
  for (const blob of blobs) upstream.on(blob.digest, seededAnswer(blob))
  const outcomes = { stayed: 0, left: 0 }

  const pull = async (at: number): Promise<void> => {
    const blob = blobs[at % blobs.length]
    assert.ok(blob)
    const leaves = at % 3 !== 0
    const hangUpAfter = leaves ? 1 + ((at * 7919) % (size / 2)) : undefined
    const { status, received, complete, right } = await streamBlob(
      `${berth.url}/v2/p/r/blobs/${blob.digest}`,
      blob,
      hangUpAfter === undefined ? {} : { hangUpAfter },
    )
    assert.deepEqual({ status, right, complete }, { status: 200, right: true, complete: !leaves })
    assert.ok(received >= (hangUpAfter ?? size))
    outcomes[leaves ? 'left' : 'stayed'] += 1
  }

  let next = 0
  const pullOneAfterTheOther = async (): Promise<void> => {
    while (next < clients) await pull(next++)
  }
  await Promise.all(Array.from({ length: maxAtOnce }, pullOneAfterTheOther))
  t.diagnostic(`${outcomes.left} clients left, and ${outcomes.stayed} got everything`)
  await checkInvariants(berth)
  await berth.kill('SIGTERM')
})
