import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import {
  isTag,
  parseRepositoryName,
  type RepositoryName,
  type Tag,
} from '../../src/oci/reference.ts'
import type { LinkStore } from '../../src/store/store.ts'

export type LinksUnderTest = {
  readonly links: LinkStore
  /** Unfinished things that lie about; none, when nothing is under way. */
  leftovers(): Promise<readonly string[]>
  /** How far the clock of what is stored may be behind, in milliseconds; that of a file system is a few. */
  readonly clockStep?: number
}

/** An empty store of links. */
type MakeLinks = (t: TestContext) => Promise<LinksUnderTest>

export const name = parseRepositoryName
export const d = (text: string): Digest => digestOf(Buffer.from(text))

export function tag(text: string): Tag {
  assert.ok(isTag(text))
  return text
}

/** What everyone may rely on who links content to repositories, wherever the links are. */
export function testLinkStore(store: string, make: MakeLinks): void {
  const testCleanly = (
    what: string,
    behave: (links: LinkStore, clockStep: number) => Promise<void>,
  ) =>
    test(`${store}: ${what}`, async (t) => {
      const { links, leftovers, clockStep = 20 } = await make(t)
      await behave(links, clockStep)
      assert.deepEqual(await leftovers(), [])
    })

  testCleanly('nothing is known at first', async (links) => {
    assert.equal(await links.hasBlob(name('a'), d('x')), false)
    assert.equal(await links.hasManifest(name('a'), d('x')), false)
    assert.equal(await links.tag(name('a'), tag('v1')), undefined)
    assert.equal(await links.tags(name('a')), undefined)
    assert.deepEqual(await links.repositories(), [])
  })

  testCleanly(
    'a link belongs to one repository, and not to its parent or nested ones',
    async (links) => {
      await links.addBlob(name('p/r'), d('x'))
      await links.addManifest(name('p/r'), d('m'))
      await links.setTag(name('p/r'), tag('v1'), d('m'))
      for (const other of ['p', 'p/r/i', 'q/r', 'p/rr']) {
        assert.equal(await links.hasBlob(name(other), d('x')), false)
        assert.equal(await links.hasManifest(name(other), d('m')), false)
        assert.equal(await links.tag(name(other), tag('v1')), undefined)
        assert.equal(await links.tags(name(other)), undefined)
      }
      assert.equal(await links.hasBlob(name('p/r'), d('x')), true)
      assert.equal(await links.hasManifest(name('p/r'), d('m')), true)
    },
  )

  testCleanly('a blob is no manifest, and a manifest no blob', async (links) => {
    await links.addBlob(name('a'), d('x'))
    await links.addManifest(name('a'), d('m'))
    assert.equal(await links.hasManifest(name('a'), d('x')), false)
    assert.equal(await links.hasBlob(name('a'), d('m')), false)
  })

  testCleanly('the same link may be made often, and at the same time', async (links) => {
    const adding = Array.from({ length: 20 }, async () => {
      await links.addBlob(name('a'), d('x'))
      await links.addManifest(name('a'), d('x'))
      await links.setTag(name('a'), tag('v1'), d('x'))
    })
    await Promise.all(adding)
    assert.equal(await links.hasBlob(name('a'), d('x')), true)
    assert.equal(await links.hasManifest(name('a'), d('x')), true)
    assert.equal((await links.tag(name('a'), tag('v1')))?.digest, d('x'))
  })

  testCleanly('a tag moves, and there is never a moment without it', async (links) => {
    await links.setTag(name('a'), tag('v1'), d('0'))
    const digests = new Set(Array.from({ length: 20 }, (_, at) => d(`${at}`)))
    let moving = true
    const moves = (async () => {
      for (const digest of digests) await links.setTag(name('a'), tag('v1'), digest)
      moving = false
    })()
    while (moving) {
      const known = await links.tag(name('a'), tag('v1'))
      assert.ok(known && digests.has(known.digest))
      await new Promise(setImmediate)
    }
    await moves
    assert.equal((await links.tag(name('a'), tag('v1')))?.digest, d('19'))
  })

  testCleanly('a tag knows since when it was last right', async (links, clockStep) => {
    await links.setTag(name('a'), tag('v1'), d('x'))
    await sleep(50)
    const before = await links.tag(name('a'), tag('v1'))
    assert.ok(before && before.age >= 40)
    const started = performance.now()
    await links.setTag(name('a'), tag('v1'), d('x'))
    const after = await links.tag(name('a'), tag('v1'))
    assert.ok(after && after.age >= 0 && after.age <= performance.now() - started + clockStep)
  })

  testCleanly('a tag that was removed is gone, and the others are not', async (links) => {
    await links.setTag(name('a'), tag('v1'), d('x'))
    await links.setTag(name('a'), tag('v2'), d('x'))
    await links.removeTag(name('a'), tag('v1'))
    await links.removeTag(name('a'), tag('v1'))
    await links.removeTag(name('b'), tag('v1'))
    assert.equal(await links.tag(name('a'), tag('v1')), undefined)
    assert.deepEqual(await links.tags(name('a')), ['v2'])
  })

  testCleanly('tags are sorted, and of any shape that a tag has', async (links) => {
    const tags = ['_', '0', 'V1', 'current', 'link', 'tags', 'v1', 'v1.0_x-y', 'z'.repeat(128)]
    for (const text of tags.toReversed()) await links.setTag(name('a'), tag(text), d(text))
    assert.deepEqual(await links.tags(name('a')), tags.toSorted())
    for (const text of tags) assert.equal((await links.tag(name('a'), tag(text)))?.digest, d(text))
  })

  testCleanly(
    'repositories are those that have a manifest, sorted, however deep',
    async (links) => {
      const names = ['a', 'a/b', 'a/b/c', 'b-b/c__c/d.d', `l/${'o'.repeat(253)}`]
      for (const text of names.toReversed()) await links.addManifest(name(text), d('m'))
      await links.addBlob(name('blobs/only'), d('x'))
      assert.deepEqual(await links.repositories(), names)
    },
  )

  testCleanly('digests may be long (P8)', async (links) => {
    const long = digestOf(Buffer.from('x'), 'sha512')
    await links.addBlob(name('a'), long)
    await links.addManifest(name('a'), long)
    await links.setTag(name('a'), tag('v1'), long)
    assert.equal(await links.hasBlob(name('a'), long), true)
    assert.equal(await links.hasManifest(name('a'), long), true)
    assert.equal((await links.tag(name('a'), tag('v1')))?.digest, long)
  })

  testCleanly('after any sequence of changes, exactly the changed links are known', (links) =>
    // One store serves all histories: what a history does not know of is another's.
    fc.assert(
      fc.asyncProperty(histories, fc.uuid(), async (history, id) => {
        await replay(links, history, (text) => name(`h${id}/${text}`))
      }),
      { numRuns: 30 },
    ),
  )
}

type Step = {
  readonly what: 'addBlob' | 'addManifest' | 'setTag' | 'removeTag'
  readonly repository: string
  readonly tag: string
  readonly digest: string
}

const histories: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    what: fc.constantFrom('addBlob', 'addManifest', 'setTag', 'removeTag'),
    repository: fc.constantFrom('a', 'a/b', 'b'),
    tag: fc.constantFrom('v1', 'v2'),
    digest: fc.constantFrom('x', 'y'),
  }),
  { maxLength: 20 },
)

async function replay(
  links: LinkStore,
  history: readonly Step[],
  nameOf: (text: string) => RepositoryName,
): Promise<void> {
  const known = new Set<string>()
  const tags = new Map<string, Digest>()
  for (const step of history) {
    const [repository, version, digest] = [nameOf(step.repository), tag(step.tag), d(step.digest)]
    if (step.what === 'setTag') {
      await links.setTag(repository, version, digest)
      tags.set(`${repository}:${version}`, digest)
    } else if (step.what === 'removeTag') {
      await links.removeTag(repository, version)
      tags.delete(`${repository}:${version}`)
    } else {
      await links[step.what](repository, digest)
      known.add(`${step.what} ${repository} ${digest}`)
    }
  }
  for (const repository of ['a', 'a/b', 'b'].map(nameOf)) {
    for (const digest of ['x', 'y'].map(d)) {
      const has = [
        await links.hasBlob(repository, digest),
        await links.hasManifest(repository, digest),
      ]
      const added = ['addBlob', 'addManifest'].map((what) =>
        known.has(`${what} ${repository} ${digest}`),
      )
      assert.deepEqual(has, added)
    }
    for (const version of ['v1', 'v2'].map(tag)) {
      const link = await links.tag(repository, version)
      assert.equal(link?.digest, tags.get(`${repository}:${version}`))
    }
  }
}
