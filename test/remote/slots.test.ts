import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { isRegistryError } from '../../src/oci/errors.ts'
import { createSlots, type Slots } from '../../src/remote/slots.ts'
import { useClock } from '../support/clock.ts'

const purpose = 'tests'
const few = { limit: 2, perSecond: 1000, maxQueue: 2, maxWait: 1000, purpose }

/** What became of a promise so far. */
async function stateOf(promise: Promise<unknown>): Promise<'taken' | 'refused' | 'waiting'> {
  const settled = promise.then(
    () => 'taken' as const,
    () => 'refused' as const,
  )
  await new Promise(setImmediate)
  return Promise.race([settled, Promise.resolve('waiting' as const)])
}

test('slots are granted immediately while there are free ones, and then in the order of requests', async () => {
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

test('a full queue rejects immediately, and reports the numbers', async () => {
  const slots = createSlots(few)
  await Promise.all([slots.take(), slots.take()])
  slots.take().catch(() => {})
  slots.take().catch(() => {})
  await assert.rejects(slots.take(), (error) => {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    assert.match(error.message, /too many tests at once: 2 in flight and 2 waiting/)
    return error.retryAfter === 2
  })
})

test('a request that waits too long is rejected, and leaves the queue (L96)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots(few)
  const [release] = await Promise.all([slots.take(), slots.take()])
  const impatient = slots.take()
  impatient.catch(() => {})
  clock.advance(999)
  const patient = slots.take()
  clock.advance(1)
  await assert.rejects(impatient, (error) => isRegistryError(error, 'UNAVAILABLE'))
  release()
  await patient
})

test('a slot that is released twice counts once', async () => {
  const slots = createSlots({ ...few, limit: 1 })
  const release = await slots.take()
  const second = slots.take()
  const third = slots.take()
  release()
  release()
  assert.equal(await stateOf(second), 'taken')
  assert.equal(await stateOf(third), 'waiting')
})

const paced = { limit: 1000, perSecond: 10, maxQueue: 20, maxWait: 60_000, purpose }

/** How many places were given so far to those who never give them back. */
function askFor(slots: Slots, places: number): () => number {
  let given = 0
  for (let asked = 0; asked < places; asked += 1) {
    slots.take().then(
      () => {
        given += 1
      },
      () => {},
    )
  }
  return () => given
}

test("a second's worth of places is given at once, and the rest evenly, in the order of asking (L93)", async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots(paced)
  const given = askFor(slots, 12)
  const last = slots.take()
  await turn()
  assert.equal(given(), 10)
  clock.advance(99)
  await turn()
  assert.equal(given(), 10)
  clock.advance(1)
  await turn()
  assert.equal(given(), 11)
  clock.advance(100)
  await turn()
  assert.equal(given(), 12)
  assert.equal(await stateOf(last), 'waiting')
  clock.advance(100)
  assert.equal(await stateOf(last), 'taken')
})

test('slots that are released immediately are not granted faster (L93)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots({ ...paced, limit: 1 })
  let given = 0
  const use = async () => {
    const release = await slots.take()
    given += 1
    release()
  }
  const used = Array.from({ length: 15 }, use)
  await turn()
  assert.equal(given, 10)
  clock.advance(100)
  await turn()
  assert.equal(given, 11)
  for (let steps = 0; steps < 4; steps += 1) {
    clock.advance(100)
    await turn()
  }
  await Promise.all(used)
})

test('slots that are released unused do not count in the rate (L93)', async (t) => {
  useClock(t, ['setTimeout'])
  const slots = createSlots({ ...paced, maxQueue: 100 })
  let given = 0
  const look = async () => {
    const release = await slots.take()
    given += 1
    release('unused')
  }
  await Promise.all(Array.from({ length: 50 }, look))
  assert.equal(given, 50)
  const used = askFor(slots, 15)
  await turn()
  assert.equal(used(), 10)
})

test('unused rate is saved for at most a second (L93)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots(paced)
  askFor(slots, 10)
  clock.advance(60_000)
  const given = askFor(slots, 15)
  await turn()
  assert.equal(given(), 10)
})

test('a rate delays requests, and rejects none until the queue is full (L93)', async (t) => {
  useClock(t, ['setTimeout'])
  const slots = createSlots(paced)
  askFor(slots, 30)
  await assert.rejects(slots.take(), (error) => {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    assert.match(error.message, /too many tests at once: 10 in flight and 20 waiting/)
    return true
  })
})

test('a request waits for the rate no longer than its own limit (L93, L96)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots({ ...paced, maxWait: 150 })
  const given = askFor(slots, 11)
  const late = slots.take()
  late.catch(() => {})
  clock.advance(100)
  await turn()
  assert.equal(given(), 11)
  clock.advance(50)
  await assert.rejects(late, (error) => isRegistryError(error, 'UNAVAILABLE'))
})

test('for any rate and times of requests, no second has more than twice the rate (L93)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 60 }),
      async (perSecond, pauses) => {
        const slots = createSlots({ ...paced, perSecond, maxQueue: 1000 })
        const times: number[] = []
        for (const pause of pauses) {
          clock.advance(pause)
          void slots.take().then(() => times.push(performance.now()))
          await turn()
        }
        for (let steps = 0; times.length < pauses.length; steps += 1) {
          assert.ok(steps < 2000, 'everybody gets a place')
          clock.advance(50)
          await turn()
        }
        for (const [at, time] of times.entries()) {
          const within = times.slice(at).filter((other) => other - time < 1000)
          // A second's worth at once, and what falls due meanwhile, a clock's tick early at most.
          assert.ok(within.length <= 2 * perSecond + 1, `${within.length} of ${perSecond}`)
        }
      },
    ),
    { numRuns: 30 },
  )
})

test('for any order of requests and releases, the limit holds and no slot is lost', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (steps) => {
      const slots = createSlots({ ...few, limit: 3, maxQueue: 100, maxWait: 60_000 })
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

test('a repository holds at most as many slots as it leaves free, and only its own requests wait (C209)', async () => {
  const slots = createSlots({ ...few, limit: 8, maxQueue: 100 })
  const greedy = Array.from({ length: 20 }, () => slots.take({ repository: 'a' }))
  const states = await Promise.all(greedy.map(stateOf))
  assert.equal(states.filter((state) => state === 'taken').length, 4)
  assert.equal(await stateOf(slots.take({ repository: 'b' })), 'taken')
})

test('a client holds at most three times as many slots as it leaves free, over all repositories (C209)', async () => {
  const slots = createSlots({ ...few, limit: 20, maxQueue: 100 })
  const greedy = Array.from({ length: 40 }, (_, at) =>
    slots.take({ repository: `r${at}`, client: '10.0.0.1' }),
  )
  const states = await Promise.all(greedy.map(stateOf))
  assert.equal(states.filter((state) => state === 'taken').length, 15)
  assert.equal(await stateOf(slots.take({ repository: 'r0', client: '10.0.0.2' })), 'taken')
})

test('turns rotate between repositories, regardless of the order of requests (C209)', async () => {
  const slots = createSlots({ ...few, limit: 1, maxQueue: 100 })
  const order: string[] = []
  const use = async (owner: string) => {
    const release = await slots.take({ repository: owner })
    order.push(owner)
    await turn()
    release()
  }
  await Promise.all(['a', 'a', 'a', 'a', 'b', 'b', 'c'].map(use))
  assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a', 'a'])
})

test('a holder that no client needs is asked to release its slot while others wait (C209)', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const slots = createSlots({ ...few, limit: 1, maxWait: 10_000 })
  let isUnread = false
  const release = await slots.take({
    releaseSlot: () => {
      if (isUnread) queueMicrotask(release)
      return isUnread
    },
  })
  const waiting = slots.take()
  assert.equal(await stateOf(waiting), 'waiting')
  isUnread = true
  clock.advance(1000)
  assert.equal(await stateOf(waiting), 'taken')
})

test('a cancelled request leaves the queue (L96)', async () => {
  const slots = createSlots({ ...few, limit: 1 })
  const release = await slots.take()
  const leaving = new AbortController()
  const gone = slots.take({ signal: leaving.signal })
  leaving.abort(new Error('not wanted'))
  await assert.rejects(gone, /not wanted/)
  const next = slots.take()
  release()
  await next
})
