import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { useFuture } from './future.ts'
import { runHistory } from './history.ts'
import { hour, openScene } from './scene.ts'
import { createRandom, makeWorld } from './world.ts'

const histories = Number(process.env['HISTORIES'] ?? 4)
const length = Number(process.env['STEPS'] ?? 60)
const first = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

const all = { repositories: ['**'] }
const rules = [
  { ...all, name: 'pr', action: 'delete', tags: ['pr'], olderThan: 2 * hour },
  { ...all, name: 'untagged', action: 'delete', untagged: true, olderThan: 3 * hour },
  { ...all, name: 'keep', action: 'keep', tags: ['keep'] },
] as const

/** In memory, where there is such a directory: what is tested is not how long an fsync takes. */
const directory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

test('every digest reachable from a tag, a workload or a lease can be read, always (INV-14, INV-15, H130, H134)', async (t) => {
  const steps = new Map<string, number>()
  for (let seed = first; seed < first + histories; seed += 1) {
    await t.test(`history SEED=${seed} HISTORIES=1 STEPS=${length}`, async (own) => {
      const future = useFuture(own)
      const scene = await openScene(own, { rules, below: directory })
      future.advance(hour)
      const random = createRandom(seed)
      await runHistory({ scene, world: makeWorld(), random, future, steps }, length)
    })
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(steps)))
  // Otherwise nothing was tested.
  if (histories >= 4) for (const step of ['remove', 'free']) assert.ok(steps.has(step), step)
})
