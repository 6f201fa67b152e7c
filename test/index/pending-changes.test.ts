import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Change } from '../../src/index/index.ts'
import { createPendingChanges } from '../../src/index/pending-changes.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { createVolume } from './volume.ts'

const name = parseRepositoryName('p/app')
const { digest } = randomBlob(1)
const link: Change = { kind: 'link', name, digest }
const pull: Change = { kind: 'pulled', name, digest, at: 1 }
const none = { changes: false, pulls: false }

function start(maxRows = 5) {
  let losses = 0
  const pending = createPendingChanges({
    maxRows,
    onLoss: () => {
      losses += 1
    },
  })
  const batches: (readonly Change[])[] = []
  const answers: PromiseWithResolvers<void>[] = []
  const connect = () =>
    pending.sendTo((batch) => {
      batches.push(batch)
      const answer = Promise.withResolvers<void>()
      answers.push(answer)
      return answer.promise
    })
  return { pending, batches, answers, connect, losses: () => losses }
}

test('changes of one turn are one batch, and a question sends them first', async () => {
  const { pending, batches, connect } = start()
  connect()
  pending.add([link])
  pending.add([pull])
  assert.equal(batches.length, 0)
  await nextTurn()
  assert.deepEqual(batches, [[link, pull]])
  pending.add([link])
  pending.flush()
  assert.deepEqual(batches[1], [link])
  await nextTurn()
  assert.equal(batches.length, 2)
})

test('what comes before the database is sent when it is there', () => {
  const { pending, batches, connect } = start()
  pending.add([link, pull])
  connect()
  assert.deepEqual(batches, [[link, pull]])
  assert.deepEqual(pending.takeLosses(), none)
})

test('more rows than fit are lost and reported once, and there is room when others were applied', async () => {
  const { pending, batches, answers, connect, losses } = start()
  connect()
  pending.add([link, link, link])
  pending.flush()
  pending.add([link, link, link])
  assert.equal(losses(), 1)
  pending.add([link])
  assert.equal(losses(), 1)
  assert.deepEqual(pending.takeLosses(), { changes: true, pulls: false })
  pending.flush()
  for (const answer of answers) answer.resolve()
  await nextTurn()
  pending.add([link, link, link, link, link])
  pending.flush()
  assert.deepEqual(pending.takeLosses(), none)
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [3, 2, 5],
  )
})

test('a manifest counts with its references, and one that is larger than the limit is taken alone', () => {
  const { pending, losses, connect, batches } = start(2)
  connect()
  const manifest = createVolume()
    .putManifest('p/app', makeImage(), 1)
    .filter(({ kind }) => kind === 'manifest')
  pending.add(manifest)
  pending.flush()
  assert.equal(batches.length, 1)
  pending.add([link])
  assert.equal(losses(), 1)
})

test('while there is no database after a failure, only pulls are kept', async () => {
  const { pending, batches, answers, connect } = start()
  connect()
  pending.add([link, pull])
  pending.flush()
  answers[0]?.reject(new Error('the disk is full'))
  pending.pause()
  await nextTurn()
  pending.add([link, pull])
  assert.deepEqual(pending.takeLosses(), { changes: true, pulls: false })
  connect()
  assert.deepEqual(batches[1], [pull, pull])
})

test('too many pulls are reported as lost', () => {
  const { pending } = start(2)
  pending.add([pull, pull, pull])
  assert.deepEqual(pending.takeLosses(), { changes: false, pulls: true })
})
