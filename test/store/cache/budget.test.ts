import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { type Budget, createBudget, type Reservation } from '../../../src/store/cache/budget.ts'
import { eventually } from '../../support/berth.ts'

/** Digests with names: `d('a')`. */
const d = (name: string): Digest => digestOf(Buffer.from(name))

type Options = {
  readonly limit?: number
  readonly minimumFree?: number
  readonly evict?: (digest: Digest) => Promise<void>
}

/** A budget, and what it evicted so far, in order. */
function budgetOf({ limit = 100, minimumFree = 0, evict = async () => {} }: Options = {}) {
  const evicted: Digest[] = []
  const budget = createBudget({
    directory: tmpdir(),
    limit,
    minimumFree,
    removeFromDisk: async (digest) => {
      evicted.push(digest)
      await evict(digest)
    },
  })
  return { budget, evicted }
}

/** Room that must be there, made into a blob. */
async function store(budget: Budget, name: string, size: number): Promise<void> {
  const reservation = await fill(budget, size)
  assert.ok(reservation, `no room for ${name}`)
  reservation.commit(d(name), size)
}

/** A blob on its way in whose bytes have all come; undefined when there is no room. */
async function fill(budget: Budget, size: number): Promise<Reservation | undefined> {
  const reservation = await budget.reserve(size)
  if (await reservation?.arrive(size)) return reservation
  reservation?.release()
  return undefined
}

test('bytes in flight count when they arrive, until they are released or committed', async () => {
  const { budget } = budgetOf()
  const first = await budget.reserve(30)
  const second = await budget.reserve(20)
  assert.equal(budget.usage().bytes, 0)
  assert.ok(budget.isFilling())
  await first?.arrive(10)
  await first?.arrive(20)
  await second?.arrive(5)
  assert.equal(budget.usage().bytes, 35)
  first?.release()
  first?.release()
  second?.commit(d('b'), 15)
  second?.release()
  assert.deepEqual(budget.usage(), { bytes: 15, blobs: 1 })
  assert.ok(!budget.isFilling())
})

test('nothing is evicted for announced bytes that do not arrive (C202)', async () => {
  const { budget, evicted } = budgetOf()
  for (let at = 0; at < 20; at += 1) await store(budget, `${at}`, 5)
  const reservation = await budget.reserve(98)
  assert.deepEqual(evicted, [])
  await reservation?.arrive(1)
  assert.deepEqual(evicted, [d('0')])
  await reservation?.arrive(4)
  assert.deepEqual(evicted, [d('0')])
  reservation?.release()
  assert.equal(budget.usage().blobs, 19)
})

test('announced bytes are reserved until they arrive', async () => {
  const { budget } = budgetOf()
  const first = await budget.reserve(60)
  assert.equal(await budget.reserve(50), undefined)
  await first?.arrive(60)
  assert.equal(await budget.reserve(50), undefined)
  first?.commit(d('first'), 10)
  assert.ok(await budget.reserve(90))
})

test('a blob of unknown size gets room as it arrives, while there is some', async () => {
  const { budget, evicted } = budgetOf()
  await store(budget, 'a', 50)
  const reservation = await budget.reserve(0)
  assert.ok(await reservation?.arrive(50))
  assert.deepEqual(evicted, [])
  assert.ok(await reservation?.arrive(50))
  assert.deepEqual(evicted, [d('a')])
  assert.equal(await reservation?.arrive(1), false)
  assert.equal(budget.usage().bytes, 100)
})

test('the least recently used blobs are evicted first', async () => {
  const { budget, evicted } = budgetOf()
  for (const name of ['a', 'b', 'c', 'd']) await store(budget, name, 25)
  assert.ok(budget.use(d('a')))
  assert.ok(!budget.use(d('unknown')))
  await fill(budget, 5)
  assert.deepEqual(evicted, [d('b')])
  assert.deepEqual(budget.digests(), [d('c'), d('d'), d('a')])
})

test('eviction frees a little more than is needed, so that not every write has to evict', async () => {
  const { budget, evicted } = budgetOf({ limit: 1000 })
  for (let at = 0; at < 200; at += 1) await store(budget, `${at}`, 5)
  await store(budget, 'more', 1)
  assert.equal(evicted.length, 3)
  assert.equal(budget.usage().bytes, 986)
})

test('disk use besides blobs leaves less room for blobs', async () => {
  const { budget, evicted } = budgetOf()
  await store(budget, 'a', 50)
  budget.setOverhead(40)
  assert.deepEqual(budget.usage(), { bytes: 90, blobs: 1 })
  assert.equal(await budget.reserve(61), undefined)
  await store(budget, 'b', 20)
  assert.deepEqual(evicted, [d('a')])
  assert.deepEqual(budget.usage(), { bytes: 60, blobs: 1 })
})

test('a blob in use is not evicted, whatever its age', async () => {
  const { budget, evicted } = budgetOf()
  for (const name of ['a', 'b', 'c', 'd']) await store(budget, name, 25)
  const unpin = budget.pin(d('a'))
  await fill(budget, 15)
  assert.deepEqual(evicted, [d('b')])
  unpin()
  await fill(budget, 25)
  assert.deepEqual(evicted, [d('b'), d('a')])
})

test('there is no room when all blobs are in use, and nothing is evicted', async () => {
  const { budget, evicted } = budgetOf()
  for (const name of ['a', 'b', 'c']) await store(budget, name, 25)
  budget.pin(d('b'))
  budget.pin(d('c'))
  assert.equal(await budget.reserve(51), undefined)
  assert.deepEqual(evicted, [])
  assert.ok(await fill(budget, 50))
  assert.deepEqual(evicted, [d('a')])
})

test('a blob larger than the whole cache gets no room, and nothing is evicted for it (C74)', async () => {
  const { budget, evicted } = budgetOf()
  await store(budget, 'a', 90)
  assert.equal(await budget.reserve(101), undefined)
  assert.deepEqual(evicted, [])
  assert.equal(budget.usage().bytes, 90)
})

test('a blob as large as the whole cache gets all of it', async () => {
  const { budget, evicted } = budgetOf()
  await store(budget, 'a', 40)
  await store(budget, 'b', 100)
  assert.deepEqual(evicted, [d('a')])
  assert.deepEqual(budget.usage(), { bytes: 100, blobs: 1 })
})

test('an empty blob is counted, ordered and evicted like others (T12)', async () => {
  const { budget, evicted } = budgetOf()
  await store(budget, 'empty', 0)
  await store(budget, 'a', 100)
  assert.deepEqual(budget.usage(), { bytes: 100, blobs: 2 })
  await store(budget, 'b', 50)
  assert.deepEqual(evicted, [d('empty'), d('a')])
})

test('reservations at the same time never add up to more than the limit', async () => {
  const { budget, evicted } = budgetOf({ evict: () => new Promise(setImmediate) })
  for (const name of ['a', 'b', 'c', 'd']) await store(budget, name, 25)
  const granted = await Promise.all(Array.from({ length: 10 }, () => fill(budget, 20)))
  assert.equal(granted.filter((reservation) => reservation !== undefined).length, 5)
  assert.equal(evicted.length, 4)
  assert.equal(budget.usage().bytes, 100)
})

test('bytes of an evicted blob count until they are gone from the disk', async () => {
  const gone = Promise.withResolvers<void>()
  const { budget, evicted } = budgetOf({ evict: () => gone.promise })
  await store(budget, 'a', 60)
  const reserving = fill(budget, 50)
  await eventually('it is being evicted', () => evicted.length === 1)
  assert.equal(budget.usage().bytes, 110)
  gone.resolve()
  await reserving
  assert.equal(budget.usage().bytes, 50)
})

test('bytes of a removed blob count until its last reader is gone (C71)', async () => {
  const { budget } = budgetOf()
  await store(budget, 'a', 60)
  const first = budget.pin(d('a'))
  const second = budget.pin(d('a'))
  budget.remove(d('a'))
  assert.deepEqual(budget.usage(), { bytes: 60, blobs: 0 })
  first()
  assert.equal(budget.usage().bytes, 60)
  second()
  assert.equal(budget.usage().bytes, 0)
})

test('a blob that could not be evicted is still counted, and makes no room', async () => {
  const { budget } = budgetOf({ evict: () => Promise.reject(new Error('EACCES')) })
  await store(budget, 'a', 60)
  assert.equal(await fill(budget, 50), undefined)
  assert.deepEqual(budget.digests(), [d('a')])
  assert.equal(budget.usage().bytes, 60)
})

test('a blob that is opened during its eviction is gone afterwards, and counts until it is closed', async () => {
  const gone = Promise.withResolvers<void>()
  const { budget, evicted } = budgetOf({ evict: () => gone.promise })
  await store(budget, 'a', 60)
  const reserving = fill(budget, 50)
  await eventually('it is being evicted', () => evicted.length === 1)
  budget.touch(d('a'), 60)
  const unpin = budget.pin(d('a'))
  gone.resolve()
  const reservation = await reserving
  reservation?.release()
  assert.deepEqual(budget.usage(), { bytes: 60, blobs: 0 })
  unpin()
  assert.equal(budget.usage().bytes, 0)
})

test('a blob that is stored again while it is evicted is evicted again: its file may be gone', async () => {
  const gone = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let evictions = 0
  const { budget, evicted } = budgetOf({
    evict: async () => {
      evictions += 1
      await gone[evictions - 1]?.promise
    },
  })
  await store(budget, 'a', 60)
  const another = await fill(budget, 40)
  const reserving = fill(budget, 50)
  await eventually('it is being evicted', () => evicted.length === 1)
  another?.commit(d('a'), 60)
  gone[0]?.resolve()
  gone[1]?.resolve()
  const reservation = await reserving
  reservation?.release()
  assert.deepEqual(evicted, [d('a'), d('a')])
  assert.deepEqual(budget.usage(), { bytes: 0, blobs: 0 })
})

test('a second file of a blob leaves the bytes of the first counted for those who still read it', async () => {
  const { budget } = budgetOf({ limit: 200 })
  await store(budget, 'a', 60)
  const unpin = budget.pin(d('a'))
  await store(budget, 'a', 60)
  assert.deepEqual(budget.usage(), { bytes: 120, blobs: 1 })
  unpin()
  assert.deepEqual(budget.usage(), { bytes: 60, blobs: 1 })
})

test('a blob of another size than before is another file', () => {
  const { budget } = budgetOf()
  budget.touch(d('a'), 60)
  budget.touch(d('a'), 10)
  assert.deepEqual(budget.usage(), { bytes: 10, blobs: 1 })
})

test('unpinning a missing blob has no effect', () => {
  const { budget } = budgetOf()
  budget.pin(d('a'))()
  budget.remove(d('a'))
  assert.deepEqual(budget.usage(), { bytes: 0, blobs: 0 })
})

test('blobs of an earlier run are older than blobs used since the start', async () => {
  const { budget, evicted } = budgetOf()
  await store(budget, 'new', 25)
  budget.touch(d('b'), 25)
  budget.restore([
    [d('a'), 25],
    [d('b'), 25],
    [d('c'), 25],
  ])
  assert.deepEqual(budget.digests(), [d('a'), d('c'), d('new'), d('b')])
  assert.equal(budget.usage().bytes, 100)
  await fill(budget, 25)
  assert.deepEqual(evicted, [d('a'), d('c')])
})

test('a blob removed during the scan is not restored', async () => {
  const { budget } = budgetOf()
  await store(budget, 'evicted', 60)
  const reservation = await fill(budget, 90)
  reservation?.release()
  budget.remove(d('rotten'))
  budget.restore([
    [d('evicted'), 60],
    [d('rotten'), 10],
    [d('a'), 5],
  ])
  assert.deepEqual(budget.usage(), { bytes: 5, blobs: 1 })
})

test('a blob that is read during the scan stays in use', async () => {
  const { budget, evicted } = budgetOf()
  budget.touch(d('a'), 60)
  const unpin = budget.pin(d('a'))
  budget.restore([[d('a'), 60]])
  assert.equal(await budget.reserve(50), undefined)
  unpin()
  assert.ok(await fill(budget, 50))
  assert.deepEqual(evicted, [d('a')])
})

test('evict evicts the requested bytes, the oldest first', async () => {
  const { budget, evicted } = budgetOf()
  for (const name of ['a', 'b', 'c']) await store(budget, name, 10)
  await budget.evict(15)
  assert.deepEqual(evicted, [d('a'), d('b')])
})

test('evict evicts all unused blobs when that is not enough (C76)', async () => {
  const { budget, evicted } = budgetOf()
  for (const name of ['a', 'b', 'c']) await store(budget, name, 10)
  budget.pin(d('b'))
  await budget.evict(1000)
  assert.deepEqual(evicted, [d('a'), d('c')])
})

test('all unused blobs are evicted from a disk that others have filled, and no more are stored (C76)', async () => {
  const { budget, evicted } = budgetOf({ minimumFree: Number.MAX_SAFE_INTEGER })
  budget.restore([
    [d('a'), 10],
    [d('b'), 10],
  ])
  budget.pin(d('a'))
  assert.equal(await budget.reserve(1), undefined)
  assert.deepEqual(evicted, [])
  await budget.evict()
  assert.deepEqual(evicted, [d('b')])
})

test('a cache above its lowered limit evicts blobs down to it', async () => {
  const { budget, evicted } = budgetOf()
  budget.restore(Array.from({ length: 15 }, (_, at) => [d(`${at}`), 10] as const))
  await budget.evict()
  assert.equal(evicted.length, 6)
  assert.equal(budget.usage().bytes, 90)
})

type Step = { readonly what: string; readonly name: string; readonly size: number }

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    what: fc.constantFrom('store', 'hold', 'end', 'pin', 'unpin', 'touch', 'remove', 'relieve'),
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    size: fc.integer({ min: 0, max: 60 }),
  }),
  { maxLength: 60 },
)

test('after any sequence of calls, the sum is that of the stored bytes, and within the limit', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const disk = new Map<Digest, number>()
      const { budget } = budgetOf({ evict: async (digest) => void disk.delete(digest) })
      const unpins: (() => void)[] = []
      const held: Reservation[] = []
      for (const { what, name, size } of history) {
        const digest = d(name)
        const known = disk.get(digest)
        if (what === 'store') {
          const reservation = await fill(budget, size)
          if (reservation !== undefined) disk.set(digest, size)
          reservation?.commit(digest, size)
        } else if (what === 'hold') {
          const reservation = await fill(budget, size)
          if (reservation !== undefined) held.push(reservation)
        } else if (what === 'end') held.pop()?.release()
        else if (what === 'pin') unpins.push(budget.pin(digest))
        else if (what === 'unpin') unpins.pop()?.()
        else if (what === 'touch' && known !== undefined) budget.touch(digest, known)
        else if (what === 'remove') {
          budget.remove(digest)
          disk.delete(digest)
        } else if (what === 'relieve') await budget.evict(size)
        assert.deepEqual(new Set(budget.digests()), new Set(disk.keys()))
      }
      for (const unpin of unpins) unpin()
      for (const reservation of held) reservation.release()
      const bytes = [...disk.values()].reduce((sum, size) => sum + size, 0)
      assert.deepEqual(budget.usage(), { bytes, blobs: disk.size })
      assert.ok(bytes <= 100)
    }),
    { numRuns: 200 },
  )
})
