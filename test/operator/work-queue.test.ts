import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createWorkQueue } from '../../src/operator/work-queue.ts'

test('one turn of a key at a time; what comes meanwhile leads to one more', async (t) => {
  const turns: PromiseWithResolvers<void>[] = []
  const begun = Promise.withResolvers<void>()
  const queue = createWorkQueue({
    work: async () => {
      const turn = Promise.withResolvers<void>()
      turns.push(turn)
      if (turns.length === 2) begun.resolve()
      await turn.promise
      return undefined
    },
    onError: assert.ifError,
  })
  t.after(queue.close)
  queue.add('a')
  queue.add('a')
  queue.add('a')
  assert.equal(turns.length, 1)
  turns[0]?.resolve()
  await begun.promise
  turns[1]?.resolve()
  await queue.close()
  assert.equal(turns.length, 2)
})

test('other keys do not wait for a slow one', async (t) => {
  const slow = Promise.withResolvers<undefined>()
  const fast = Promise.withResolvers<void>()
  const queue = createWorkQueue({
    work: async (key) => {
      if (key === 'slow') return slow.promise
      fast.resolve()
      return undefined
    },
    onError: assert.ifError,
    concurrency: 2,
  })
  t.after(queue.close)
  queue.add('slow')
  queue.add('fast')
  await fast.promise
  slow.resolve(undefined)
})

test('a failure is repeated later, and not at once because of a change', async (t) => {
  const times: number[] = []
  const repeated = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<void>()
  const queue = createWorkQueue({
    work: async () => {
      times.push(performance.now())
      if (times.length === 1) throw new Error('once')
      repeated.resolve()
      return undefined
    },
    onError: () => failed.resolve(),
    retryDelay: 200,
  })
  t.after(queue.close)
  queue.add('a')
  await failed.promise
  await new Promise(setImmediate)
  queue.add('a')
  await repeated.promise
  const [first = 0, second = 0] = times
  assert.ok(second - first >= 190, `${second - first} ms`)
})

test('a turn says when the next one is', async (t) => {
  let turns = 0
  const third = Promise.withResolvers<void>()
  const queue = createWorkQueue({
    work: async () => {
      turns += 1
      if (turns === 3) third.resolve()
      return turns < 3 ? 5 : undefined
    },
    onError: assert.ifError,
  })
  t.after(queue.close)
  queue.add('a')
  await third.promise
})
