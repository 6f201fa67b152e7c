import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, suite, test } from 'node:test'
import type { ListedObject, ObjectStore } from '../../src/store/store.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { ownDirectory } from '../support/directory.ts'

const mebibyte = 1024 * 1024

for (const server of bucketServers) suite(`a bucket of ${server.name}`, () => testBucket(server))

function testBucket({ startBucket, hasConditionalParts }: BucketServer): void {
  let bucket: Bucket
  let store: ObjectStore
  let count = 0
  /** Below which a test has all its keys. */
  let prefix = ''

  before(async () => {
    bucket = await startBucket()
    store = await bucket.open()
  })
  after(async () => {
    await store.close()
    await bucket.close()
  })
  beforeEach(() => {
    count += 1
    prefix = `test-${count}/`
  })

  const listed = async (...how: Parameters<ObjectStore['list']>) => {
    const [objects, prefixes]: [ListedObject[], string[]] = [[], []]
    for await (const page of store.list(...how)) {
      objects.push(...page.objects)
      prefixes.push(...page.prefixes)
    }
    return { keys: objects.map(({ key }) => key), prefixes }
  }

  test('what is written is read, whole or from a position', async () => {
    const key = `${prefix}a b+c`
    assert.equal((await store.put(key, Buffer.from('0123456789'))).kind, 'created')
    const whole = await store.read(key)
    assert.equal(whole?.bytes.toString(), '0123456789')
    assert.deepEqual(await store.head(key), whole?.head)
    const part = await store.get(key, { range: { from: 4, to: 7 } })
    assert.equal(part?.size, 10)
    assert.equal(Buffer.concat((await part?.body.toArray()) ?? []).toString(), '456')
  })

  test('what is missing is undefined', async () => {
    assert.equal(await store.get(`${prefix}none`), undefined)
    assert.equal(await store.read(`${prefix}none`), undefined)
    assert.equal(await store.head(`${prefix}none`), undefined)
    await store.delete([`${prefix}none`])
  })

  test('of two who create an object one does', async () => {
    const results = await Promise.all(
      ['one', 'two'].map((text) => store.put(`${prefix}x`, Buffer.from(text), 'absent')),
    )
    assert.deepEqual(results.map(({ kind }) => kind).toSorted(), ['created', 'exists'])
    const winner = results[0]?.kind === 'created' ? 'one' : 'two'
    assert.equal((await store.read(`${prefix}x`))?.bytes.toString(), winner)
  })

  test('of two who replace an object one does', async () => {
    const created = await store.put(`${prefix}x`, Buffer.from('first'), 'absent')
    assert.ok(created.kind === 'created')
    const { version } = created
    const results = await Promise.all(
      ['one', 'two'].map((text) => store.put(`${prefix}x`, Buffer.from(text), { version })),
    )
    assert.deepEqual(results.map(({ kind }) => kind).toSorted(), ['conflict', 'created'])
    await store.delete([`${prefix}x`])
    assert.deepEqual(await store.put(`${prefix}x`, Buffer.from('late'), { version }), {
      kind: 'conflict',
    })
  })

  test('a large file goes up in parts, and not over an object that exists', async (t) => {
    const bytes = randomBytes(33 * mebibyte + 1)
    const path = join(await ownDirectory(t), 'large')
    await writeFile(path, bytes)
    const source = { path, size: bytes.length }
    assert.equal((await store.put(`${prefix}large`, source, 'absent')).kind, 'created')
    const found = await store.get(`${prefix}large`)
    assert.ok(bytes.equals(Buffer.concat((await found?.body.toArray()) ?? [])))
    if (!hasConditionalParts) return
    await writeFile(path, bytes.toReversed())
    assert.equal((await store.put(`${prefix}large`, source, 'absent')).kind, 'exists')
    assert.equal((await store.head(`${prefix}large`))?.version, found?.version)
  })

  test('keys are listed in their order, after one of them, or up to the next slash', async () => {
    const keys = ['a/1', 'a/2', 'b/1', 'c'].map((key) => prefix + key)
    for (const key of keys) await store.put(key, Buffer.from(key))
    assert.deepEqual(await listed(prefix), { keys, prefixes: [] })
    assert.deepEqual((await listed(prefix, { after: `${prefix}a/2` })).keys, keys.slice(2))
    assert.deepEqual(await listed(prefix, { delimiter: '/' }), {
      keys: [`${prefix}c`],
      prefixes: [`${prefix}a/`, `${prefix}b/`],
    })
    await store.delete(keys)
    assert.deepEqual((await listed(prefix)).keys, [])
  })
}
