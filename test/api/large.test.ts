import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createApiClient } from '../support/api-client.ts'
import { eventually } from '../support/berth.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { useBerth } from '../support/use-berth.ts'
import { writeVolume } from '../support/volume.ts'

const directory = await useDirectory()
const image = makeImage({ layers: [] })
const tagCount = 10_000
const berth = useBerth()

/** As another registry left it: one repository with many tags among 1,000. */
async function fillVolume(): Promise<void> {
  const tags = join(directory, 'docker/registry/v2/repositories/team/app0/_manifests/tags')
  const width = 100
  for (let from = 0; from < 1000; from += width)
    await Promise.all(
      Array.from({ length: width }, (_, at) =>
        writeVolume(directory, `team/app${from + at}`, 'latest', image),
      ),
    )
  for (let from = 0; from < tagCount; from += width)
    await Promise.all(
      Array.from({ length: width }, async (_, at) => {
        const current = join(tags, `v${from + at}`, 'current')
        await mkdir(current, { recursive: true })
        await writeFile(join(current, 'link'), image.digest)
      }),
    )
}

// A busy machine takes longer than others may.
const patience = { timeout: 240_000 }

test('1,000 repositories are one request, and 10,000 tags are ten', patience, async (t) => {
  await fillVolume()
  await berth.start({ config: { upstreams: [], storage: { hosted: { directory } } } })
  const isComplete = async () => (await berth.metric('berth_index_complete')) === 1
  await eventually('the index is complete', isComplete, 180)
  const client = createApiClient(berth)

  const { repositories, next, problem } = await client.ask('repositories', { query: { n: 1000 } })
  assert.equal(repositories.length, 1000)
  assert.equal(next, undefined)
  assert.equal(problem, undefined)
  const path = { name: 'team/app0' }
  const found: string[] = []
  const took: number[] = []
  for (let offset = 0; offset < tagCount; offset += 1000) {
    const start = performance.now()
    const query = { n: 1000, filter: 'v', offset }
    const page = await client.ask('tags', { path, query })
    took.push(performance.now() - start)
    found.push(...page.tags.map(({ tag }) => tag))
    assert.equal(page.next, offset + 1000 < tagCount ? offset + 1000 : undefined)
  }
  assert.deepEqual(
    found,
    Array.from({ length: tagCount }, (_, at) => `v${at}`),
  )
  t.diagnostic(`pages of 1,000 tags: ${took.map((each) => each.toFixed(0)).join(', ')} ms`)

  const start = performance.now()
  await client.ask('repositories', { query: { n: 1000 } })
  t.diagnostic(`1,000 repositories: ${(performance.now() - start).toFixed(0)} ms`)
  const headers = { 'accept-encoding': 'gzip' }
  const plain = await client.send('tags', { path, query: { n: 1000 } })
  const compressed = await client.send('tags', { path, query: { n: 1000 }, headers })
  assert.equal(compressed.headers['content-encoding'], 'gzip')
  assert.ok(compressed.body.length < plain.body.length / 4)
})

test('a page has at most 1,000 entries', async () => {
  await berth.start({ config: { upstreams: [] } })
  const client = createApiClient(berth)
  for (const query of [{ n: 1001 }, { n: -1 }, { n: '1e3' }, { n: '' }])
    assert.equal((await client.fail('repositories', { query })).status, 400)
})
