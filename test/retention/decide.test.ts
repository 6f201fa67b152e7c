import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Rule } from '../../src/retention/retention.ts'
import { explain, quayRule } from '../../src/retention/retention.ts'
import { day, deleted, digest, image, name, now, reasonFor, tagOf } from './images.ts'

const all = { repositories: ['**'] }
const oldPullRequests: Rule = {
  ...all,
  name: 'pull requests',
  action: 'delete',
  tags: ['pr-*'],
  olderThan: 30 * day,
}
const untagged: Rule = {
  ...all,
  name: 'untagged',
  action: 'delete',
  untagged: true,
  olderThan: 7 * day,
}
const seeds = ['a', 'b', 'c', 'd', 'index', 'amd64', 'arm64', 'signature', 'other']

suite('a delete rule', () => {
  test('deletes only what it names, with the image of the last tag', () => {
    const images = [
      image('a', { tags: { 'pr-1': 31 } }),
      image('b', { tags: { 'pr-2': 29 } }),
      image('c', { tags: { v1: 400 } }),
      image('d', { age: 400 }),
    ]
    assert.deepEqual(deleted({ images, rules: [oldPullRequests] }, seeds), ['a', 'pr-1'])
    assert.deepEqual(reasonFor({ images, rules: [oldPullRequests] }, 'pr-2'), {
      action: 'keep',
      kind: 'not-yet',
      rule: 'pull requests',
      at: now + day,
    })
  })

  test('removes a tag and keeps the image of another tag', () => {
    const images = [image('a', { tags: { 'pr-1': 31, stable: 400 } })]
    assert.deepEqual(deleted({ images, rules: [oldPullRequests] }, seeds), ['pr-1'])
  })

  test('needs all its conditions together', () => {
    const rule = { ...oldPullRequests, notPulledFor: 10 * day }
    const images = [
      image('a', { tags: { 'pr-1': 31 }, tagPulled: 9 }),
      image('b', { tags: { 'pr-2': 31 }, pulled: 9 }),
      image('c', { tags: { 'pr-3': 31 }, pulled: 11, tagPulled: 12 }),
      image('d', { tags: { 'pr-4': 9 } }),
    ]
    assert.deepEqual(deleted({ images, rules: [rule] }, seeds), ['c', 'pr-3'])
  })

  test('counts from the push when there was no pull', () => {
    const rule: Rule = { ...all, name: 'unused', action: 'delete', notPulledFor: 10 * day }
    const images = [image('a', { tags: { x: 11 } }), image('b', { tags: { y: 9 } })]
    assert.deepEqual(deleted({ images, rules: [rule] }, seeds), ['a', 'x'])
  })

  test('applies to its repositories only, without the exceptions', () => {
    const images = [image('a', { tags: { 'pr-1': 31 } })]
    const elsewhere = { ...oldPullRequests, repositories: ['team/**'] }
    const except = { ...oldPullRequests, except: ['local/*'] }
    assert.deepEqual(deleted({ images, rules: [elsewhere, except] }), [])
  })
})

suite('a keep rule', () => {
  const keep: Rule = { ...all, name: 'releases', action: 'keep', tags: ['v*'] }

  test('wins over delete rules, for all tags of the image', () => {
    const images = [image('a', { tags: { 'pr-1': 31, v1: 31 } })]
    assert.deepEqual(deleted({ images, rules: [oldPullRequests, keep] }), [])
    assert.deepEqual(reasonFor({ images, rules: [oldPullRequests, keep] }, 'pr-1'), {
      action: 'keep',
      kind: 'rule',
      rule: 'releases',
    })
  })

  test('keeps the newest images by the push of their tags', () => {
    const newest: Rule = { ...all, name: 'newest', action: 'keep', tags: ['pr-*'], newest: 2 }
    const images = [
      image('a', { tags: { 'pr-1': 40 } }),
      image('b', { tags: { 'pr-2': 50 } }),
      // Two tags of one image count once.
      image('c', { tags: { 'pr-3': 60, 'pr-4': 35 } }),
      // Not named by the rule, so it does not count.
      image('d', { tags: { latest: 1 } }),
    ]
    assert.deepEqual(deleted({ images, rules: [oldPullRequests, newest] }, seeds), ['b', 'pr-2'])
  })

  test('does not count the children of an index among the newest', () => {
    const newest: Rule = { ...all, name: 'newest', action: 'keep', newest: 1 }
    const images = [
      image('index', { tags: { 'pr-1': 40 }, age: 40, children: ['amd64', 'arm64'] }),
      image('amd64', { age: 1 }),
      image('arm64', { age: 1 }),
    ]
    assert.deepEqual(deleted({ images, rules: [oldPullRequests, newest] }), [])
  })
})

suite('a rule about untagged images', () => {
  const parts = [
    image('amd64', { age: 90 }),
    image('signature', { age: 90, subject: 'amd64' }),
    image('other', { age: 90, subject: 'index' }),
  ]

  test('deletes images without a tag', () => {
    const images = [image('a', { age: 8 }), image('b', { age: 6 }), image('c', { tags: { x: 90 } })]
    assert.deepEqual(deleted({ images, rules: [untagged] }, seeds), ['a'])
  })

  test('keeps the children, subjects and referrers of what stays (H134)', () => {
    const index = image('index', { tags: { v1: 90 }, age: 90, children: ['amd64', 'absent'] })
    const nested = image('b', { tags: { all: 90 }, children: ['c'] })
    const tagged = image('d', { tags: { sbom: 90 }, subject: 'a' })
    const images = [
      index,
      ...parts,
      nested,
      image('c', { age: 90 }),
      tagged,
      image('a', { age: 90 }),
    ]
    const input = { images, rules: [untagged] }
    assert.deepEqual(deleted(input, seeds), [])
    assert.deepEqual(reasonFor(input, 'signature'), {
      action: 'keep',
      kind: 'referrer-of',
      of: digest('amd64'),
    })
    assert.deepEqual(reasonFor(input, 'a'), { action: 'keep', kind: 'subject-of', of: digest('d') })
  })

  test('keeps what was pulled by its digest', () => {
    const images = [
      image('a', { age: 90, pulled: 29 }),
      image('b', { age: 90, pulled: 31 }),
      image('c', { age: 90 }),
    ]
    assert.deepEqual(deleted({ images, rules: [untagged] }, seeds), ['b', 'c'])
    const shorter = { ...untagged, notPulledFor: 28 * day }
    assert.deepEqual(deleted({ images, rules: [shorter] }, seeds), ['a', 'b', 'c'])
  })

  test('of everything, tagged or not, is one without tags and untagged', () => {
    const rule: Rule = { ...all, name: 'old', action: 'delete', olderThan: 30 * day }
    const images = [
      image('a', { tags: { x: 31 } }),
      image('b', { age: 31 }),
      image('c', { age: 1 }),
    ]
    assert.deepEqual(deleted({ images, rules: [rule] }, seeds), ['a', 'b', 'x'])
  })
})

suite('what is tagged with the digest of an image', () => {
  const old: Rule = { ...all, name: 'old', action: 'delete', tags: ['**'], olderThan: 30 * day }
  const tagFor = (seed: string, end = '') => `${digest(seed).replace(':', '-')}${end}`
  const accessories = [
    image('signature', { tags: { [tagFor('a', '.sig')]: 90 }, age: 90 }),
    image('other', { tags: { [tagFor('a')]: 90 }, age: 90, children: ['c'] }),
    image('c', { age: 90, subject: 'a' }),
  ]

  test('stays with it', () => {
    const images = [image('a', { tags: { v1: 10 }, age: 90 }), ...accessories]
    const input = { images, rules: [old, untagged] }
    assert.deepEqual(deleted(input, seeds), [])
    const related = { action: 'keep', kind: 'referrer-of', of: digest('a') }
    assert.deepEqual(reasonFor(input, tagFor('a', '.sig')), related)
  })

  test('goes with it, tag and manifest', () => {
    const images = [image('a', { tags: { 'pr-1': 31 } }), ...accessories]
    const tags = [tagFor('a'), tagFor('a', '.sig')]
    const expected = ['a', 'c', 'other', 'pr-1', 'signature', ...tags].toSorted()
    assert.deepEqual(deleted({ images, rules: [oldPullRequests] }, seeds), expected)
  })

  test('has no rules of its own in an explanation', () => {
    const images = [image('a', { tags: { v1: 10 } }), ...accessories]
    const explained = explain({
      ...{ name, images, rules: [old], now, inUse: () => false, isLeased: () => false },
      of: { tag: tagOf(tagFor('a', '.sig')) },
    })
    assert.equal(explained?.decision.kind, 'referrer-of')
    assert.deepEqual(explained?.rules, [{ rule: 'old', action: 'delete', at: undefined }])
  })

  test('is not counted among the newest', () => {
    const keep: Rule = { ...all, name: 'newest', action: 'keep', newest: 1 }
    const newer = image('signature', { tags: { [tagFor('a', '.sig')]: 1 }, age: 1 })
    const images = [image('a', { tags: { v1: 90 } }), newer]
    assert.deepEqual(deleted({ images, rules: [keep, old] }, seeds), [])
  })

  test('is an image like others if it has another tag, or its image is gone', () => {
    const images = [
      image('a', { tags: { v1: 10 } }),
      image('b', { tags: { [tagFor('a', '.sig')]: 90, v2: 90 } }),
      image('d', { tags: { [tagFor('gone', '.sig')]: 90 } }),
    ]
    const tags = [tagFor('a', '.sig'), tagFor('gone', '.sig'), 'v2']
    assert.deepEqual(deleted({ images, rules: [old] }, seeds), ['b', 'd', ...tags].toSorted())
  })

  for (const [what, images] of [
    ['a child of its own', [image('a'), image('index', { children: ['a'] })]],
    [
      'a child of a child of its own',
      [image('a'), image('other', { children: ['a'] }), image('index', { children: ['other'] })],
    ],
    ['a manifest that refers to it', [image('a', { subject: 'index' }), image('index')]],
  ] as const)
    test(`is not deleted without a rule because the image is ${what}`, () => {
      const tagged = images.map((each) =>
        each.digest === digest('index')
          ? { ...each, tags: image('index', { tags: { [tagFor('a')]: 90 } }).tags }
          : each,
      )
      assert.deepEqual(deleted({ images: tagged, rules: [oldPullRequests] }, seeds), [])
    })

  test('is not deleted without a rule because two name each other', () => {
    const images = [
      image('a', { tags: { [tagFor('b')]: 90 } }),
      image('b', { tags: { [tagFor('a')]: 90 } }),
    ]
    assert.deepEqual(deleted({ images, rules: [oldPullRequests] }, seeds), [])
  })
})

suite('the parts of a deleted image', () => {
  const index = image('index', { tags: { 'pr-1': 31 }, children: ['amd64', 'arm64'] })
  const parts = [
    image('amd64', { age: 31, pulled: 1 }),
    image('arm64', { age: 31 }),
    image('signature', { age: 31, subject: 'arm64' }),
  ]

  test('are deleted with it', () => {
    const input = { images: [index, ...parts], rules: [oldPullRequests] }
    assert.deepEqual(deleted(input, seeds), ['amd64', 'arm64', 'index', 'pr-1', 'signature'])
    assert.deepEqual(reasonFor(input, 'signature'), {
      action: 'delete',
      kind: 'referrer-of',
      of: digest('arm64'),
    })
  })

  test('stay when something else keeps them', () => {
    const release = image('other', { tags: { v1: 31 }, children: ['arm64'] })
    const input = { images: [index, release, ...parts], rules: [oldPullRequests] }
    assert.deepEqual(deleted(input, seeds), ['amd64', 'index', 'pr-1'])
    assert.deepEqual(deleted({ ...input, inUse: ['amd64'] }, seeds), ['index', 'pr-1'])
  })

  test('stay when they have a tag of their own', () => {
    const tagged = image('amd64', { tags: { 'v1-amd64': 31 } })
    const input = { images: [index, tagged], rules: [oldPullRequests] }
    assert.deepEqual(deleted(input, seeds), ['index', 'pr-1'])
  })

  test('stay with an image whose tags go, but which a kept index contains', () => {
    const outer = image('other', { tags: { all: 90 }, children: ['index'] })
    const input = { images: [outer, index, ...parts], rules: [oldPullRequests] }
    assert.deepEqual(deleted(input, seeds), ['pr-1'])
  })
})

suite('images in use', () => {
  const images = [image('a', { tags: { 'pr-1': 31, 'pr-2': 31 } }), image('b', { age: 90 })]
  const rules = [oldPullRequests, untagged]

  test('are kept by their tag or digest, with all their tags', () => {
    assert.deepEqual(deleted({ images, rules, inUse: ['pr-1', 'b'] }), [])
    assert.deepEqual(deleted({ images, rules, inUse: ['a'] }, seeds), ['b'])
    assert.deepEqual(reasonFor({ images, rules, inUse: ['a'] }, 'pr-2'), {
      action: 'keep',
      kind: 'in-use',
    })
  })

  test('are kept while a client counts on them', () => {
    assert.deepEqual(deleted({ images, rules, leased: ['a', 'b'] }), [])
    assert.deepEqual(reasonFor({ images, rules, leased: ['a', 'b'] }, 'b'), {
      action: 'keep',
      kind: 'leased',
      rule: 'untagged',
    })
  })
})

test('quay.expires-after deletes tags of images that ask for it', () => {
  const images = [
    image('a', { tags: { x: 15 }, expiresAfter: '2w' }),
    image('b', { tags: { y: 13 }, expiresAfter: '2w' }),
    image('c', { tags: { z: 400 }, expiresAfter: 'never' }),
    image('d', { tags: { w: 400 } }),
  ]
  assert.deepEqual(deleted({ images, rules: [quayRule] }, seeds), ['a', 'x'])
  const keep: Rule = { ...all, name: 'keep', action: 'keep', tags: ['x'] }
  assert.deepEqual(deleted({ images, rules: [quayRule, keep] }), [])
})
