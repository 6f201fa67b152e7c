import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { createFindOrigins } from '../../src/replicas/replica-origin.ts'
import { createSignatures } from '../../src/replicas/signature.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const digest = digestOf(Buffer.from('x'))

/** Reads a body of the owner until it breaks; whether the owner is left out then. */
async function isLeftOut(abort: (controller: AbortController) => void): Promise<boolean> {
  let failures = 0
  const controller = new AbortController()
  async function* body() {
    yield [Buffer.from('x')]
    abort(controller)
    throw new Error('the connection broke')
  }
  const find = createFindOrigins({
    members: {
      before: () => ['192.0.2.1:1'],
      failed: () => {
        failures += 1
      },
      all: () => [],
      close: () => {},
    },
    signatures: createSignatures('a secret of these replicas', Date.now),
    transport: {
      send: async () => ({
        status: 200,
        header: () => undefined,
        length: 2,
        body: body(),
        drop: () => {},
      }),
      close: async () => {},
    } as unknown as Parameters<typeof createFindOrigins>[0]['transport'],
    metrics: watchedTelemetry('silent').telemetry.metrics,
  })
  const blob = { prefix: '', name: parseRepositoryName('p/r'), digest }
  const [origin] = find(blob, {})
  const opened = await origin?.open(blob, 0, controller.signal)
  await assert.rejects(async () => {
    for await (const chunks of opened?.body ?? []) assert.ok(chunks)
  }, /the connection broke/)
  return failures > 0
}

test('an owner whose connection breaks is left out, but not if the download was given up here', async () => {
  assert.equal(await isLeftOut(() => {}), true)
  assert.equal(await isLeftOut((controller) => controller.abort()), false)
})
