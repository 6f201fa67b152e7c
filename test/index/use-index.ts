import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createIndex, type Index, type IndexSource } from '../../src/index/index.ts'
import { useDirectory } from '../support/directory.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { until } from '../support/until.ts'

const base = await useDirectory()

/** A directory that is removed after the last test, when no index uses it any more. */
export function newRoot(): Promise<string> {
  return mkdtemp(join(base, 'volume-'))
}

type Options = Partial<Omit<Parameters<typeof createIndex>[0], 'source' | 'telemetry'>> & {
  readonly root: string
  readonly source: IndexSource
}

/** An index that is closed at the end of the test. Where its files are: `_berth` below the root. */
export function useIndex(t: TestContext, { root, source, ...options }: Options) {
  const watched = watchedTelemetry()
  const { telemetry } = watched
  const directory = join(root, '_berth')
  const index = createIndex({ directory, fallbacks: [], source, telemetry, ...options })
  t.after(() => index.close())
  return { ...watched, directory, index, database: join(directory, 'index.db') }
}

/** Until the volume was compared with the index. */
export function untilVerified(index: Index): Promise<void> {
  return until('the index is verified', () => assert.equal(index.unverified(), undefined))
}
