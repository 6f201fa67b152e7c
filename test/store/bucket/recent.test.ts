import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createPatience } from '../../../src/store/bucket/patience.ts'
import { createRecent } from '../../../src/store/bucket/recent.ts'

const never = () => new Promise<never>(() => {})

/** What the bucket answered as `known` more than a minute ago. */
async function knownRecents(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  t.mock.method(performance, 'now', () => now)
  let now = 1
  const recent = createRecent<string>(createPatience())
  for (const key of ['a', 'b', 'c']) await recent.find(key, async () => `known ${key}`)
  now += 61_000
  return recent
}

/** Lets time pass in steps until a promise is settled; how much it was, in milliseconds. */
async function timeOf(t: TestContext, work: Promise<unknown>): Promise<number> {
  let isSettled = false
  const settled = () => {
    isSettled = true
  }
  work.then(settled, settled)
  for (let passed = 0; passed < 60_000; passed += 100) {
    for (let turns = 0; turns < 5; turns += 1) await turn()
    if (isSettled) return passed
    t.mock.timers.tick(100)
  }
  return Number.POSITIVE_INFINITY
}

test('while the bucket is silent, one reader of what is known waits for it, the next ones a moment, and then nobody', async (t) => {
  const recent = await knownRecents(t)
  const first = recent.find('a', never)
  assert.equal(await timeOf(t, first), 2000)
  assert.equal(await first, 'known a')
  for (let at = 0; at < 7; at += 1)
    assert.equal(await timeOf(t, recent.find(at % 2 === 0 ? 'b' : 'c', never)), 200)
  assert.equal(
    await timeOf(
      t,
      recent.find('a', () => assert.fail()),
    ),
    0,
  )
  assert.equal(await recent.find('c', never), 'known c')
})

test('a late answer counts, and ends the silence', async (t) => {
  const recent = await knownRecents(t)
  const answer = Promise.withResolvers<string>()
  const first = recent.find('a', () => answer.promise)
  assert.equal(await timeOf(t, first), 2000)
  answer.resolve('new')
  await turn()
  assert.equal(await recent.find('a', never), 'new')
  assert.equal(await timeOf(t, recent.find('b', never)), 2000)
})

test('what the disk has counts where the bucket has never answered; without it a question waits', async (t) => {
  const recent = await knownRecents(t)
  const found = recent.find('d', never, async () => 'on the disk')
  assert.equal(await timeOf(t, found), 2000)
  assert.equal(await found, 'on the disk')
  assert.equal(await timeOf(t, recent.find('e', never)), Number.POSITIVE_INFINITY)
  assert.equal(
    await recent.find(
      'f',
      async () => undefined,
      async () => 'on the disk',
    ),
    undefined,
  )
})
