import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  createInUse,
  createListDirectory,
  createPushedLists,
  putList,
} from '../../src/in-use/in-use.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseImageReference } from '../../src/oci/image-reference.ts'
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts'
import { eventually } from '../support/berth.ts'

const digest = digestOf(Buffer.from('x'))
const other = digestOf(Buffer.from('y'))
const name = parseRepositoryName('local/app')

function tag(text: string) {
  const reference = parseReference(text)
  assert.ok('tag' in reference)
  return reference.tag
}

function sourceOf(references: string[]) {
  let version = 0
  return {
    images: () => references,
    uses: () =>
      references.map((image, at) => ({
        ...{ image, kind: 'Pod', namespace: 'team-a', name: `app-${at}`, node: 'n1' },
      })),
    toPull: () => references.map((image) => ({ image, namespace: 'team-a' })),
    version: () => version,
    problem: () => undefined,
    close: async () => {},
    add: (text: string) => {
      references.push(text)
      version += 1
    },
  }
}

test('an image reference is read as runtimes read it', () => {
  const cases: readonly [string, object][] = [
    ['localhost:30026/local/app:1.2', { host: 'localhost:30026', name: 'local/app', tag: '1.2' }],
    ['localhost:30026/local/app', { host: 'localhost:30026', name: 'local/app', tag: 'latest' }],
    [
      `registry.example.com/local/app@${digest}`,
      { host: 'registry.example.com', name: 'local/app', digest },
    ],
    [`localhost/local/app:1@${digest}`, { host: 'localhost', name: 'local/app', tag: '1', digest }],
    [`docker-pullable://h:1/local/app@${digest}`, { host: 'h:1', name: 'local/app', digest }],
    [digest, { digest }],
    ['busybox', { name: 'busybox', tag: 'latest' }],
    ['[::1]:30026/local/app:1', { host: '[::1]:30026', name: 'local/app', tag: '1' }],
    ['', { tag: 'latest' }],
    ['h:1/UPPER:!', { host: 'h:1' }],
  ]
  for (const [text, parts] of cases) assert.deepEqual(parseImageReference(text), parts, text)
})

test('a digest is protected in every repository, a tag under every host', () => {
  const inUse = createInUse([sourceOf([`h:1/some/where@${digest}`, 'localhost:30026/local/app:1'])])
  assert.ok(inUse.has({ name, digest }))
  assert.ok(inUse.has({ name, tag: tag('1'), digest: other }))
  assert.ok(!inUse.has({ name, tag: tag('2'), digest: other }))
  assert.ok(!inUse.has({ name: parseRepositoryName('app'), tag: tag('1'), digest: other }))
  assert.ok(inUse.hasTag(name, tag('1')))
  assert.ok(!inUse.hasTag(name, tag('2')))
  assert.equal(inUse.references().length, 2)
})

test('what names an image is found by its tag under every host, and by its digests', () => {
  const references = [
    'localhost:30026/local/app:1',
    `h:1/some/where@${digest}`,
    'h:1/local/app:2',
    'h:1/local/other:1',
    `docker-pullable://h:1/x@${other}`,
  ]
  const inUse = createInUse([sourceOf(references), sourceOf(['10.0.0.1:5000/local/app:1'])])
  const found = [...inUse.usesOf({ name, tag: tag('1'), digests: [digest] })]
  assert.deepEqual(
    found.map(({ image }) => image),
    [references[0], references[1], '10.0.0.1:5000/local/app:1'],
  )
  assert.deepEqual(found[1], {
    ...{ image: references[1], kind: 'Pod', namespace: 'team-a', name: 'app-1', node: 'n1' },
  })
  assert.deepEqual([...inUse.usesOf({ name, digests: [] })], [])
})

test('what runs under a tag is what nodes report, not what the tag points to', () => {
  const image = 'h:1/local/app:1'
  const ids = [`h:1/local/app@${digest}`, `x@${other}`, `x@${other}`, digest, undefined]
  const uses = ids.map((imageId, at) => ({
    ...{ image, kind: 'Pod', namespace: '', name: `p${at}`, ...(imageId && { imageId }) },
  }))
  const inUse = createInUse([{ ...sourceOf([image]), uses: () => uses }])
  assert.deepEqual(inUse.runningOf(name, tag('1')), [
    { digest: other, pods: 2 },
    { digest, pods: 1 },
  ])
  assert.deepEqual(inUse.runningOf(name, tag('2')), [])
  const found = [...inUse.usesOf({ name, tag: tag('1'), digests: [] })]
  assert.deepEqual(
    found.map(({ running }) => running),
    [digest, other, other, undefined, undefined],
  )
})

test('a change of a source is seen by the next question', () => {
  const source = sourceOf([])
  const inUse = createInUse([source])
  assert.ok(!inUse.has({ name, digest }))
  source.add(`h:1/a@${digest}`)
  assert.ok(inUse.has({ name, digest }))
})

test('one source that does not know makes the whole unknown', () => {
  const unknown = { ...sourceOf([]), problem: () => 'pods: no news' }
  assert.equal(createInUse([sourceOf([]), unknown]).problem(), 'pods: no news')
  assert.equal(createInUse([]).problem(), undefined)
})

async function listsIn(t: TestContext, expiry = 60_000) {
  const parent = await mkdtemp(join(tmpdir(), 'berth-test-'))
  const directory = join(parent, 'in-use')
  const lists = createPushedLists({
    place: createListDirectory(directory),
    expiry,
    interval: 10,
    log: { warn: () => {} },
  })
  t.after(async () => {
    await lists.close()
    await rm(parent, { recursive: true })
  })
  return { directory, lists }
}

test('lists of other clusters count as soon as they are stored', async (t) => {
  const { directory, lists } = await listsIn(t)
  await eventually('no list is known', () => lists.problem() === undefined)
  assert.equal(await putList(createListDirectory(directory), 'edge-1', 'h/a:1 h/b:1\nh/a:1\n'), 2)
  await eventually('it is read', () => [...lists.images()].length === 2)
  assert.deepEqual(
    [...lists.uses()].map(({ kind, name, image }) => [kind, name, image]),
    ['h/a:1', 'h/b:1'].map((image) => ['Cluster', 'edge-1', image]),
  )
  await putList(createListDirectory(directory), 'edge-1', 'h/c:1')
  await eventually('it is replaced', () => [...lists.images()].join() === 'h/c:1')
})

test('a list that is too old means that it is not known what is in use', async (t) => {
  const { directory, lists } = await listsIn(t)
  await putList(createListDirectory(directory), 'edge-1', 'h/a:1')
  await utimes(join(directory, 'edge-1'), new Date(0), new Date(0))
  await eventually('it is too old', () => /edge-1 is \d+ min old/.test(lists.problem() ?? ''))
  assert.deepEqual([...lists.images()], ['h/a:1'])
})

test('an empty list, or a name that is a path, is refused', async (t) => {
  const { directory } = await listsIn(t)
  await assert.rejects(putList(createListDirectory(directory), 'edge-1', ' \n'), /has no image/)
  for (const cluster of ['', '..', '../x', 'A', '.hidden', 'a/b'])
    await assert.rejects(putList(createListDirectory(directory), cluster, 'h/a:1'), /invalid name/)
})

test('something that is not a list makes it unknown rather than empty', async (t) => {
  const { directory, lists } = await listsIn(t)
  await mkdir(join(directory, 'edge-1'), { recursive: true })
  await eventually('it is not known', () => /edge-1/.test(lists.problem() ?? ''))
  await rm(join(directory, 'edge-1'), { recursive: true })
  await writeFile(join(directory, 'edge-1'), 'h/a:1')
  await eventually('it is known', () => lists.problem() === undefined)
})
