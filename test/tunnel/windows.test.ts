import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  baseWindow,
  maxStreams,
  shareBeside,
  sharedWindow,
  windowOf,
} from '../../src/tunnel/windows.ts'

test('what all streams hold stays below the limit, in whatever order they ask and read', () => {
  const steps = fc.array(
    fc.record({
      stream: fc.nat(maxStreams - 1),
      read: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    { maxLength: 400 },
  )
  const memory = fc.integer({ min: sharedWindow.base, max: sharedWindow.max })
  fc.assert(
    fc.property(steps, memory, (all, available) => {
      const held = new Map<number, number>()
      for (const { stream, read } of all) {
        held.set(stream, Math.floor((held.get(stream) ?? baseWindow) * (1 - read)))
        const others = [...held].filter(([id]) => id !== stream).map(([, bytes]) => bytes)
        const window = windowOf(others, available)
        assert.ok(window >= baseWindow, 'each stream can always continue')
        held.set(stream, Math.max(held.get(stream) ?? 0, window))
        const sum = [...held.values()].reduce((total, bytes) => total + bytes, 0)
        assert.ok(sum <= maxStreams * baseWindow + available, `${sum} bytes`)
      }
    }),
  )
})

test('one stream alone gets enough for a distant cluster', () => {
  assert.ok(windowOf([], shareBeside([])) >= 8 * 1024 * 1024)
})
