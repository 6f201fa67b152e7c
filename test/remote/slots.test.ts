import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isRegistryError } from '../../src/oci/errors.ts'
import { createSlots } from '../../src/remote/slots.ts'
import { useClock } from '../support/clock.ts'

const purpose = 'tests'
const few = { limit: 2, queue: 2, patience: 1000, purpose }

/** What became of a promise so far. */
async function stateOf(promise: Promise<unknown>): Promise<'taken' | 'refused' | 'waiting'> {
  const settled = promise.then(
    () => 'taken' as const,
    () => 'refused' as const,
  )
  await new Promise(setImmediate)
  return Promise.race([settled, Promise.resolve('waiting' as const)])
}

test('places are given at once while there are any, and then in the order of asking', async () => {
  const slots = createSlots(few)
  const [first] = await Promise.all([slots.take(), slots.take()])
  const third = slots.take()
  const fourth = slots.take()
  assert.equal(await stateOf(third), 'waiting')
  first()
  assert.equal(await stateOf(third), 'taken')
  assert.equal(await stateOf(fourth), 'waiting')
  const release = await third
  release()
  await fourth
})

test('a full queue refuses at once, and says what is too much', async () => {
  const slots = createSlots(few)
  await Promise.all([slots.take(), slots.take()])
  slots.take().catch(() => {})
  slots.take().catch(() => {})
  await assert.rejects(slots.take(), (error) => {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    assert.match(error.message, /too many tests at once: 2 are running and 2 are waiting/)
    return error.retryAfter === 2
  })
})

test('who has waited too long is refused, and leaves the queue (L96)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots(few)
  const [release] = await Promise.all([slots.take(), slots.take()])
  const impatient = slots.take()
  impatient.catch(() => {})
  clock.advance(999)
  const patient = slots.take()
  clock.advance(1)
  await assert.rejects(impatient)
  release()
  await patient
})

test('a place given back twice is one place', async () => {
  const slots = createSlots({ ...few, limit: 1 })
  const release = await slots.take()
  const second = slots.take()
  const third = slots.take()
  release()
  release()
  assert.equal(await stateOf(second), 'taken')
  assert.equal(await stateOf(third), 'waiting')
})

test('whatever the order of taking and giving back, never more than the limit have a place, and none is lost', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (steps) => {
      const slots = createSlots({ limit: 3, queue: 100, patience: 60_000, purpose })
      const held: (() => void)[] = []
      const asked: Promise<unknown>[] = []
      let inside = 0
      const take = async () => {
        const release = await slots.take()
        inside += 1
        assert.ok(inside <= 3)
        held.push(() => {
          inside -= 1
          release()
        })
      }
      for (const isTake of steps) {
        if (isTake) asked.push(take())
        else held.shift()?.()
        await new Promise(setImmediate)
      }
      while (held.length > 0) {
        held.shift()?.()
        await new Promise(setImmediate)
      }
      await Promise.all(asked)
      assert.equal(inside, 0)
    }),
  )
})
