import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseWanted, rescueTarget } from '../../src/cli/transfers/rescue-target.ts'
import { digestOf } from '../../src/oci/digest.ts'

const digest = digestOf(Buffer.from('manifest'))
const id = digestOf(Buffer.from('config'))
const host = 'localhost:30026'
/** As the CRI plugin names an image. */
const image = {
  namespace: 'k8s.io',
  digest,
  names: [`${host}/local/app:1.2`, `${host}/local/app:latest`, `${host}/local/app@${digest}`, id],
}

test('IMAGE goes back to where it was, under this tag only', () => {
  const wanted = parseWanted(`${host}/local/app:1.2`)
  assert.deepEqual(rescueTarget(image, { wanted }), {
    host,
    name: 'local/app',
    tags: ['1.2'],
    isTagNamed: false,
  })
})

test('a digest goes back under the tags that it has on the node', () => {
  for (const text of [digest, id, `${host}/local/app@${digest}`]) {
    const target = rescueTarget(image, { wanted: parseWanted(text) })
    assert.deepEqual([target.name, target.tags], ['local/app', ['1.2', 'latest']], text)
  }
})

test('TARGET wins, with its tag or without', () => {
  const wanted = parseWanted(digest)
  const target = (text: string) => rescueTarget(image, { wanted, target: text })
  assert.deepEqual(target('other.example/x:3'), {
    host: 'other.example',
    name: 'x',
    tags: ['3'],
    isTagNamed: true,
  })
  assert.deepEqual(target('other.example/x').tags, ['1.2', 'latest'])
  for (const text of ['x:3', `other.example/x@${digest}`, 'other.example/X'])
    assert.throws(() => target(text), { name: 'UsageError' }, text)
})

test('another registry gets the same path, below a prefix, but not twice', () => {
  const wanted = parseWanted(digest)
  const names = (each: string, registry: string) => {
    const found = { ...image, names: [each] }
    const target = rescueTarget(found, { wanted, registry })
    return `${target.host}/${target.name}`
  }
  assert.equal(names('registry.example/team/app:1', `${host}/local`), `${host}/local/team/app`)
  assert.equal(names(`${host}/local/app:1`, `${host}/local`), `${host}/local/app`)
  assert.equal(names(`${host}/local/app:1`, 'other.example'), 'other.example/local/app')
})

test('an image of several repositories, or of none, needs a target', () => {
  const wanted = parseWanted(digest)
  const names = [...image.names, 'registry.example/team/app:1']
  assert.throws(() => rescueTarget({ ...image, names }, { wanted }), /several names .*registry\.ex/)
  assert.throws(() => rescueTarget({ ...image, names: ['app:1', id] }, { wanted }), /has no name/)
  const one = parseWanted(`registry.example/team/app@${digest}`)
  assert.deepEqual(rescueTarget({ ...image, names }, { wanted: one }).tags, ['1'])
})
