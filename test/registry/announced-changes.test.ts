import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { announceChanges } from '../../src/registry/announced-changes.ts'
import { name as nameOf, tag as tagOf } from '../store/link-store.conformance.ts'

const [name, tag] = [nameOf('p/r'), tagOf('v1')]
const bytes = Buffer.from('{}')
const digest = digestOf(bytes)

/** What happens, in its order. */
function recorded(storing: () => Promise<void> = async () => {}) {
  const steps: string[] = []
  const step = (what: string) => async () => {
    steps.push(what)
    await storing()
  }
  const manifests: Parameters<typeof announceChanges>[0]['manifests'] = {
    addPushed: step('added'),
    remove: step('removed'),
    removeTag: step('untagged'),
  }
  const listings = { forget: () => void steps.push('forgotten') }
  const announced = announceChanges({ manifests, listings }, async (_name, { isDeleted }) => {
    steps.push(isDeleted ? 'told of a deletion' : 'told')
  })
  return { announced, steps }
}

test('the own lists are forgotten before another replica is told, which may ask for them at once', async () => {
  const { announced, steps } = recorded()
  await announced.addPushed(name, { digest, bytes, tags: [tag] })
  assert.deepEqual(steps.splice(0), ['added', 'forgotten', 'told'])
  await announced.removeTag(name, tag)
  assert.deepEqual(steps.splice(0), ['untagged', 'forgotten', 'told of a deletion'])
  await announced.remove(name, digest)
  assert.deepEqual(steps, ['removed', 'forgotten', 'told of a deletion'])
})

test('the other replicas are told what the upstream has, also if it cannot be stored here', async () => {
  const { announced, steps } = recorded(() => Promise.reject(new Error('the disk is broken')))
  await assert.rejects(announced.addPushed(name, { digest, bytes, tags: [tag] }), /broken/)
  await assert.rejects(announced.removeTag(name, tag), /broken/)
  assert.deepEqual(steps, [
    'added',
    'forgotten',
    'told',
    'untagged',
    'forgotten',
    'told of a deletion',
  ])
})
