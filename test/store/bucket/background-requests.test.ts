import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { splitRequests } from '../../../src/store/bucket/background-requests.ts'
import { type ObjectStore, ObjectStoreError } from '../../../src/store/store.ts'
import { until } from '../../support/until.ts'

/** A bucket whose requests wait until they are answered, one after the other. */
function heldBucket() {
  const held: { readonly key: string; readonly answer: PromiseWithResolvers<undefined> }[] = []
  const head: ObjectStore['head'] = (key) => {
    const answer = Promise.withResolvers<undefined>()
    held.push({ key, answer })
    return answer.promise
  }
  const list: ObjectStore['list'] = async function* (prefix) {
    for (let page = 1; ; page += 1) {
      await head(`${prefix}${page}`)
      yield { objects: [], prefixes: [] }
    }
  }
  const { forClients, inBackground } = splitRequests({ head, list } as ObjectStore)
  return {
    forClients,
    inBackground,
    heads: async (count: number) => {
      for (let at = 0; at < count; at += 1) inBackground.head(`b${at}`).catch(() => {})
      await turn()
    },
    running: () => held.map(({ key }) => key),
    answer: async (count: number, error?: Error) => {
      await turn()
      for (const { answer } of held.splice(0, count))
        if (error === undefined) answer.resolve(undefined)
        else answer.reject(error)
      await turn()
    },
  }
}

const slowDown = new ObjectStoreError('slow-down', {
  message: 'too many requests',
  retryAfter: 0,
})

test('many requests are sent at once in the background, and one at a time while clients wait', async () => {
  const { forClients, heads, running, answer } = heldBucket()
  await heads(40)
  assert.equal(running().length, 16)
  const ofClient = forClients.head('client')
  assert.equal(running().at(-1), 'client')
  await answer(10)
  assert.equal(running().length, 7)
  await answer(6)
  assert.deepEqual(running(), ['client', 'b16'])
  await answer(1)
  assert.equal(await ofClient, undefined)
  assert.equal(running().length, 16)
})

test('requests of the background go on while clients always wait', async () => {
  const { forClients, heads, running, answer } = heldBucket()
  void forClients.head('client')
  await heads(3)
  assert.deepEqual(running(), ['client', 'b0'])
  void forClients.head('client')
  await answer(2)
  assert.deepEqual(running(), ['client', 'b1'])
})

test('when the bucket asks for fewer requests, they are repeated later, and fewer are sent at once', async () => {
  const { heads, running, answer } = heldBucket()
  await heads(16)
  await answer(2, slowDown)
  await answer(14)
  await until('they are repeated', () => assert.deepEqual(running().toSorted(), ['b0', 'b1']))
  await heads(16)
  assert.ok(running().length < 8, `${running().length} at once`)
})

test('a listing that the bucket refuses fails, and does not seem to be at its end', async () => {
  const { inBackground, answer } = heldBucket()
  const pages = inBackground.list('p')[Symbol.asyncIterator]()
  const first = pages.next()
  await answer(1)
  assert.equal((await first).done, false)
  const second = pages.next()
  const refused = assert.rejects(second, slowDown)
  await answer(1, slowDown)
  await refused
})
