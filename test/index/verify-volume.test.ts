import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ask } from '../../src/index/database/database.ts'
import { verifyVolume } from '../../src/index/verify-volume.ts'

test('nothing is forgotten if the bucket turns out to be another one when its listings have ended', async () => {
  const asked: string[] = []
  const ask = (async (operation: string) => {
    asked.push(operation)
    return operation === 'tables' ? [] : undefined
  }) as unknown as Ask
  const source = {
    width: 1,
    blobs: { list: none, stat: async () => undefined, read: async () => undefined },
    links: {
      ...{ names: none, blobsOf: none, manifestsOf: none },
      tags: async () => undefined,
      tag: async () => undefined,
    },
    fingerprint: async () => '',
    confirm: async () => {
      throw new Error('replaced')
    },
  }
  const { signal } = new AbortController()
  const onBlobs = () => {}
  const verified = verifyVolume({ ask, source, rest: 0, onSubject: undefined, onBlobs, signal })
  await assert.rejects(verified, /replaced/)
  assert.deepEqual(asked, ['beginVerification', 'tables'])
})

async function* none(): AsyncGenerator<never, void, undefined> {}
