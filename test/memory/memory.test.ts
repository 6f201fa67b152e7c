import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { createMemory, defaultMemoryLimit } from '../../src/memory/memory.ts'
import { RegistryError, withoutCause } from '../../src/oci/errors.ts'

const mebibyte = 1024 * 1024

test('the limit is that of the cgroup, and at most the memory of the machine', () => {
  const limit = defaultMemoryLimit()
  const constrained = process.constrainedMemory()
  assert.ok(limit > 0 && limit <= 2 ** 31)
  if (constrained > 0 && constrained < 2 ** 31) assert.equal(limit, constrained)
})

suite('caches', () => {
  test('together stay below one limit in bytes (R206)', () => {
    const { caches } = createMemory(256 * mebibyte)
    const all = Array.from({ length: 50 }, () => caches.create<string>())
    for (let at = 0; at < 40_000; at += 1) all[at % 50]?.set(`key ${at}`, 'x'.repeat(1000))
    assert.ok(caches.used() <= caches.max)
    assert.ok(caches.used() > caches.max * 0.9)
    assert.ok(caches.max < 64 * mebibyte)
  })

  test('that are flooded evict their own entries first', () => {
    const { caches } = createMemory(128 * mebibyte)
    const [throttledFor, flooded] = [caches.create<string>(), caches.create<string>()]
    for (let at = 0; at < 100; at += 1) throttledFor.set(`key ${at}`, 'x'.repeat(1000))
    for (let at = 0; at < 20_000; at += 1) flooded.set(`key ${at}`, 'x'.repeat(1000))
    assert.equal(throttledFor.size, 100)
    assert.ok(flooded.size < 20_000)
  })

  test('with a greater weight keep more when memory is short', () => {
    const { caches } = createMemory(128 * mebibyte)
    const [heavy, light] = [caches.create<string>({ weight: 3 }), caches.create<string>()]
    for (let at = 0; at < 20_000; at += 1)
      for (const cache of [heavy, light]) cache.set(`key ${at}`, 'x'.repeat(1000))
    const ratio = heavy.calculatedSize / light.calculatedSize
    assert.ok(ratio > 2.5 && ratio < 3.5, `${ratio}`)
  })

  test('do not keep a value that would evict all others, but return it', async () => {
    const { caches } = createMemory(128 * mebibyte)
    const huge = 'x'.repeat(caches.max)
    const cache = caches.create<string>({ fetchMethod: async () => huge })
    assert.equal(await cache.fetch('key'), huge)
    assert.equal(cache.get('key'), undefined)
  })

  test('count an error with its causes, and keep none of them', () => {
    const { caches } = createMemory(128 * mebibyte)
    const cache = caches.create<RegistryError>()
    const cause = new Error('x'.repeat(100_000))
    const error = new RegistryError('UNAVAILABLE', { message: 'away', retryAfter: 3, cause })
    cache.set('chain', error)
    const before = caches.used()
    cache.set('kept', withoutCause(error))
    assert.ok(before > 200_000)
    assert.ok(caches.used() - before < 5000)
    const { code, status, message, retryAfter } = error
    const kept = withoutCause(error)
    assert.deepEqual(
      [kept.code, kept.status, kept.message, kept.retryAfter, kept.cause],
      [code, status, message, retryAfter, undefined],
    )
  })
})

suite('memory for work in flight', () => {
  test('can be reserved up to a limit, and again after its release', () => {
    const { inFlight } = createMemory(256 * mebibyte)
    const release = inFlight.reserve(mebibyte)
    assert.ok(release)
    while (inFlight.used() + mebibyte < inFlight.max) assert.ok(inFlight.reserve(mebibyte))
    const left = inFlight.max - inFlight.used()
    assert.equal(inFlight.reserve(left + 1), undefined)
    assert.ok(inFlight.reserve(left))
    release()
    release()
    assert.equal(inFlight.used(), inFlight.max - mebibyte)
  })
})
