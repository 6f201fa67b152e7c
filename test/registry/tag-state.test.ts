import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { type State, ttlOf } from '../../src/registry/tag-state.ts'

const digest = digestOf(Buffer.from('x'))
const kept = (state: State) => ttlOf(state, 60_000, false)

test('a tag that another replica has validated is fresh here for as long as it is there', () => {
  const validatedAt = performance.now() - 40_000
  const known = { kind: 'digest', digest, validatedAt, isShared: true } as const
  assert.ok(kept(known) > 1 && kept(known) <= 20_000)
  assert.equal(kept({ ...known, validatedAt: validatedAt - 40_000 }), 1)
})

test('what another replica keeps for a moment is not kept here as well', () => {
  const error = new RegistryError('DENIED')
  const stale = { kind: 'digest', digest, validatedAt: performance.now(), warning: 'old' } as const
  for (const state of [{ kind: 'absent' }, { kind: 'denied', error }, stale] as const) {
    assert.ok(kept(state) >= 1000)
    assert.equal(kept({ ...state, isShared: true }), 1)
  }
})
