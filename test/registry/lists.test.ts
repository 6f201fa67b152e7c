import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCacheMemory } from '../../src/memory/caches.ts'
import { isRegistryError, RegistryError } from '../../src/oci/errors.ts'
import { createLists } from '../../src/registry/lists.ts'
import { useForwardClock } from '../support/clock.ts'

const mebibyte = 1024 * 1024
type Named = { readonly name: string; readonly size: number }
const life = { ttl: 60_000, staleIfError: 3_600_000 }
const named = (name: string, size: number, age = 0) => ({ list: { name, size }, age })
const down = () => Promise.reject(new RegistryError('UNAVAILABLE', { message: 'down' }))

test('lists are limited by their bytes, not by their number (issue 10, points 5 and 43)', async () => {
  const lists = createLists<Named>({ ...life, caches: createCacheMemory(8 * mebibyte) })
  let asked = 0
  const find = (key: string, size: number) =>
    lists.find(key, async () => {
      asked += 1
      return named(key, size)
    })
  for (let at = 0; at < 20; at += 1) await find(`large ${at}`, mebibyte)
  asked = 0
  for (let at = 19; at >= 0; at -= 1) await find(`large ${at}`, mebibyte)
  assert.ok(asked >= 13, `${20 - asked} lists of 1 MiB were kept in 8 MiB`)
  // One that has no room at all is passed on.
  assert.equal((await find('huge', 9 * mebibyte))?.list.name, 'huge')
  assert.equal((await find('huge', 9 * mebibyte))?.provenance.cache, 'miss')
})

test('concurrent requests for one list share one request to the upstream', async () => {
  const lists = createLists<Named>({ ...life, caches: createCacheMemory(mebibyte) })
  const gate = Promise.withResolvers<void>()
  let asked = 0
  const ask = async () => {
    asked += 1
    await gate.promise
    return named('x', 1)
  }
  const all = Array.from({ length: 20 }, () => lists.find('key', ask))
  gate.resolve()
  for (const found of await Promise.all(all)) assert.equal(found?.list.name, 'x')
  assert.equal(asked, 1)
})

for (const [what, ask, code] of [
  ['absent', async () => undefined, undefined],
  ['refused', () => Promise.reject(new RegistryError('DENIED')), 'DENIED'],
] as const)
  test(`a list that was ${what} does not come back when the upstream goes down (C212)`, async (t) => {
    const clock = useForwardClock(t)
    const lists = createLists<Named>({ ...life, caches: createCacheMemory(mebibyte) })
    await lists.find('key', async () => named('x', 1))
    clock.advance(life.ttl + 1)
    assert.equal((await lists.find('key', down))?.provenance.cache, 'stale')
    clock.advance(life.ttl + 1)
    const gone = lists.find('key', ask)
    if (code === undefined) assert.equal(await gone, undefined)
    else await assert.rejects(gone, (error) => isRegistryError(error, code))
    clock.advance(life.ttl + 1)
    for (let times = 0; times < 3; times += 1) await assert.rejects(lists.find('key', down), /down/)
  })

test('a list that another replica has had for a while is requested again as early as there', async (t) => {
  const clock = useForwardClock(t)
  const lists = createLists<Named>({ ...life, caches: createCacheMemory(mebibyte) })
  const find = async () => (await lists.find('key', async () => named('x', 1, 50_000)))?.provenance
  assert.equal((await find())?.cache, 'miss')
  clock.advance(9000)
  assert.equal((await find())?.cache, 'hit')
  clock.advance(2000)
  assert.equal((await find())?.cache, 'miss')
})
