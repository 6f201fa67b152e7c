import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLocks } from '../../src/registry/locks.ts'

/** Runs actions on one key that end when they are told to, and records who began and ended. */
function scene() {
  const locks = createLocks()
  const events: string[] = []
  const begin = (kind: 'shared' | 'exclusive', name: string, key = 'key') => {
    const held = Promise.withResolvers<void>()
    const done = locks[kind](key, async () => {
      events.push(`+${name}`)
      await held.promise
      events.push(`-${name}`)
    })
    return {
      end: async () => {
        held.resolve()
        await done
        await settled()
      },
    }
  }
  return { events, begin }
}

/** After all that can happen now. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('holders of a shared lock hold it together, and keep an exclusive one waiting', async () => {
  const { events, begin } = scene()
  const [a, b] = [begin('shared', 'a'), begin('shared', 'b')]
  const c = begin('exclusive', 'c')
  await settled()
  assert.deepEqual(events, ['+a', '+b'])
  await a.end()
  assert.deepEqual(events, ['+a', '+b', '-a'])
  await b.end()
  assert.deepEqual(events, ['+a', '+b', '-a', '-b', '+c'])
  await c.end()
})

test('who comes after an exclusive lock waits for it, so that it is granted in time', async () => {
  const { events, begin } = scene()
  const a = begin('shared', 'a')
  const b = begin('exclusive', 'b')
  const c = begin('shared', 'c')
  const d = begin('exclusive', 'd')
  await a.end()
  assert.deepEqual(events, ['+a', '-a', '+b'])
  await b.end()
  assert.deepEqual(events, ['+a', '-a', '+b', '-b', '+c'])
  await c.end()
  await d.end()
  assert.deepEqual(events.slice(-3), ['-c', '+d', '-d'])
})

test('other keys are independent', async () => {
  const { events, begin } = scene()
  const a = begin('exclusive', 'a', 'one')
  const b = begin('exclusive', 'b', 'two')
  await settled()
  assert.deepEqual(events, ['+a', '+b'])
  await a.end()
  await b.end()
})

test('an action that fails releases its lock', async () => {
  const locks = createLocks()
  const failing = locks.exclusive('key', async () => {
    throw new Error('disk')
  })
  const next = locks.exclusive('key', async () => 'done')
  await assert.rejects(failing, /disk/)
  assert.equal(await next, 'done')
})
