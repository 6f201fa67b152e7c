import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDirectorySync } from '../../../src/store/hosted/directory-sync.ts'
import { ownDirectory } from '../../support/directory.ts'

/** Runs each sync when it is let go. */
function gatedTurns() {
  const gates: PromiseWithResolvers<void>[] = []
  return {
    gates,
    inTurn: async <Result>(work: () => Promise<Result>): Promise<Result> => {
      const result = work()
      const gate = Promise.withResolvers<void>()
      gates.push(gate)
      await gate.promise
      return result
    },
  }
}

const settled = () => new Promise(setImmediate)

test('calls for one directory share an fsync that has not begun', async (t) => {
  const directory = await ownDirectory(t)
  const { gates, inTurn } = gatedTurns()
  const sync = createDirectorySync(inTurn)
  const first = [sync(directory), sync(directory), sync(directory)]
  await settled()
  assert.equal(gates.length, 1)
  gates[0]?.resolve()
  await Promise.all(first)
})

test('a call during an fsync waits for the next one, which later calls share', async (t) => {
  const directory = await ownDirectory(t)
  const { gates, inTurn } = gatedTurns()
  const sync = createDirectorySync(inTurn)
  let isSecondDone = false
  const first = sync(directory)
  await settled()
  const second = sync(directory).then(() => {
    isSecondDone = true
  })
  const third = sync(directory)
  gates[0]?.resolve()
  await first
  await settled()
  assert.equal(gates.length, 2)
  assert.equal(isSecondDone, false)
  gates[1]?.resolve()
  await Promise.all([second, third])
  assert.equal(gates.length, 2)
})

test('directories are synced independently', async (t) => {
  const root = await ownDirectory(t)
  const paths = ['a', 'b'].map((name) => join(root, name))
  for (const path of paths) await mkdir(path)
  const { gates, inTurn } = gatedTurns()
  const sync = createDirectorySync(inTurn)
  const all = paths.map(sync)
  await settled()
  assert.equal(gates.length, 2)
  for (const gate of gates) gate.resolve()
  await Promise.all(all)
})

test('a directory that is missing, or a file, has nothing to sync', async (t) => {
  const root = await ownDirectory(t)
  await writeFile(join(root, 'file'), '')
  const sync = createDirectorySync((work) => work())
  for (const name of ['missing', 'file']) await sync(join(root, name))
})

test('an fsync that fails does so for all who share it, and not for the next', async (t) => {
  const directory = await ownDirectory(t)
  let fails = true
  const sync = createDirectorySync(async (work) => {
    const result = await work()
    if (fails) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    return result
  })
  const shared = await Promise.allSettled([sync(directory), sync(directory)])
  assert.deepEqual(
    shared.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  fails = false
  await sync(directory)
})
