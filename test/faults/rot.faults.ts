import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { type Berth, checkInvariants, removeBerth, startBerth } from '../support/berth.ts'
import { getPaused, wrongBodies } from '../support/client.ts'
import { flipBlob } from '../support/disk.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

/** More than sockets hold, so that a client who does not read has not got it all. */
const size = 16 * 1024 * 1024

let upstream: ScriptedUpstream
let berth: Berth
let blob: Blob

before(async () => {
  upstream = await startScriptedUpstream()
  blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
})
after(() => upstream.close())
beforeEach(async () => {
  berth = await startBerth({
    config: { upstreams: [{ url: upstream.url }] },
  })
  await pullBlob(berth, 'p/r', blob)
})
afterEach(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
})

for (const [where, position] of [
  ['start', 0],
  ['middle', size / 2],
  ['end', size - 1],
] as const) {
  for (const state of ['known to be right', 'read for the first time since the start']) {
    test(`a byte at the ${where} that flips while a blob ${state} is pulled never reaches a whole body (C57, INV-1)`, async () => {
      if (state === 'known to be right') assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
      else berth = await berth.restart()
      const paused = await getPaused(`${berth.url}/v2/p/r/blobs/${blob.digest}`)
      assert.equal(paused.headers['x-cache'], 'hit')
      await flipBlob(berth.cache, blob.digest, position)
      const reply = await paused.finish()
      assert.ok(!reply.complete, `${reply.body.length} bytes came`)
      assert.deepEqual(wrongBodies, [])
      assert.equal(await pullBlob(berth, 'p/r', blob), 'miss')
      assert.equal(await berth.metric('berth_cache_corruptions_total'), 1)
      assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
    })
  }
}
