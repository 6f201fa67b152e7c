import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Change } from '../../src/index/index.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { makeImage } from '../support/images.ts'
import { newRoot, untilVerified, useIndex } from './use-index.ts'
import { createVolume } from './volume.ts'

const image = makeImage()
const all = { order: 'name', descending: false, search: '', offset: 0, limit: 100_000 } as const

/** The fastest of a few runs, in milliseconds. */
async function time(work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < 5; run += 1) {
    const start = performance.now()
    await work()
    best = Math.min(best, performance.now() - start)
  }
  return best
}

function taggings(name: string, count: number): readonly Change[] {
  return Array.from({ length: count }, (_, at) => ({
    kind: 'tag',
    name: parseRepositoryName(name),
    tag: parseTag(`v${(at * 7919) % count}`),
    digest: image.digest,
    at,
  }))
}

test('10,000 tags and 1,000 repositories are listed and sorted in one step each', async (t) => {
  const volume = createVolume()
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  await untilVerified(index)
  for (let at = 0; at < 1000; at += 1)
    index.apply(volume.pushImage(`team/app${at}`, image, at, 'latest'))
  index.apply([...volume.pushImage('large/app', image, 1, 'a'), ...taggings('large/app', 10_000)])
  index.apply([...volume.pushImage('small/app', image, 1, 'a'), ...taggings('small/app', 1000)])
  const [large, small] = ['large/app', 'small/app'].map(parseRepositoryName)
  assert.ok(large && small)

  const { records, total } = await index.tagRecords(large, all)
  assert.equal(total, 10_001)
  const numbers = records.slice(1).map(({ tag }) => Number(tag.slice(1)))
  assert.deepEqual(
    numbers,
    Array.from({ length: 10_000 }, (_, at) => at),
  )
  assert.equal((await index.tags(large, {})).entries.length, 10_001)
  assert.equal((await index.repositories({})).entries.length, 1002)

  const names = (await index.repositories({})).entries
  const times = {
    'tags by bytes': await time(() => index.tags(large, {})),
    'tags by number, first page': await time(() => index.tagRecords(large, { ...all, limit: 100 })),
    'tags by number, all': await time(() => index.tagRecords(large, all)),
    'tags by size, first page': await time(() =>
      index.tagRecords(large, { ...all, order: 'size', limit: 100 }),
    ),
    repositories: await time(() => index.repositories({})),
    'repositories with numbers': await time(() => index.repositoryRecords({ ...all, prefix: '' })),
    search: await time(() => index.search('v99', 100)),
    'sizes of repositories': await time(() => index.repositorySizes()),
    'usage by repository': await time(() => index.usage(names.map((each) => [each, each]))),
    'usage by tag': await time(() => index.taggedUsage({ name: large, others: names })),
  }
  for (const [what, took] of Object.entries(times)) t.diagnostic(`${what}: ${took.toFixed(1)} ms`)

  const one = await time(() => index.tagRecords(small, all))
  const ten = times['tags by number, all']
  assert.ok(ten < 40 * one, `ten times the tags took ${(ten / one).toFixed(1)} times as long`)
})
