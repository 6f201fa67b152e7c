import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { BelowRate, UpstreamFailure } from '../../src/remote/remote.ts'
import { createFindOrigins } from '../../src/replicas/replica-origin.ts'
import { createSignatures } from '../../src/replicas/signature.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const digest = digestOf(Buffer.from('x'))
const broken = new Error('the connection broke')
const slow = new UpstreamFailure('slow', 'too slow', { cause: new BelowRate() })
const silent = new UpstreamFailure('slow', 'no bytes', {})

type Scene = {
  /** The bytes of each answer, after which its body fails; the last one does not. */
  readonly bodies: readonly string[]
  readonly error?: Error
  /** `x-cache` of the owner's answers. */
  readonly cache?: string
  readonly onBytes?: (controller: AbortController) => void
}

/** Reads a blob of an owner. */
async function read({ bodies, error = broken, cache, onBytes = () => {} }: Scene) {
  let failures = 0
  const asked: (string | undefined)[] = []
  const controller = new AbortController()
  async function* body(at: number) {
    yield [Buffer.from(bodies[at] ?? '')]
    onBytes(controller)
    if (at < bodies.length - 1) throw error
  }
  const find = createFindOrigins({
    members: {
      own: '192.0.2.9:1',
      before: () => ['192.0.2.1:1'],
      others: () => [],
      failed: () => {
        failures += 1
      },
      started: () => {},
      all: () => [],
      lookedUp: Promise.resolve(),
      close: () => {},
    },
    signatures: createSignatures('a secret of these replicas', Date.now),
    transport: {
      send: async ({ headers }: { readonly headers: Readonly<Record<string, string>> }) => {
        const range = headers['range']
        const from = Number(/\d+/.exec(range ?? '0')?.[0])
        const answered: Readonly<Record<string, string>> = {
          ...(range !== undefined && { 'content-range': `bytes ${from}-9/10` }),
          ...(cache !== undefined && { 'x-cache': cache }),
        }
        const at = asked.push(range) - 1
        return {
          status: range === undefined ? 200 : 206,
          header: (name: string) => answered[name],
          body: body(at),
          drop: () => {},
        }
      },
      close: async () => {},
    } as unknown as Parameters<typeof createFindOrigins>[0]['transport'],
    metrics: watchedTelemetry('silent').telemetry.metrics,
  })
  const blob = { prefix: '', name: parseRepositoryName('p/r'), digest }
  const [origin] = find(blob, { isUnstored: false })
  const opened = await origin?.open(blob, 0, controller.signal)
  let text = ''
  let failure: unknown
  try {
    for await (const chunks of opened?.body ?? []) text += Buffer.concat(chunks)
  } catch (error) {
    failure = error
  }
  return { text, failure, asked, isLeftOut: failures > 0 }
}

test('an owner whose connection breaks is left out, but not if the download was given up here', async () => {
  const bodies = ['x', '']
  const left = await read({ bodies })
  assert.deepEqual([left.failure, left.isLeftOut], [broken, true])
  const given = await read({ bodies, onBytes: (controller) => controller.abort() })
  assert.deepEqual([given.failure, given.isLeftOut], [broken, false])
})

test('an owner that is slow is left out if it has the blob, and waited for while it gets it', async () => {
  const bodies = ['0123', '45', '6789']
  const waited = await read({ bodies, error: slow, cache: 'coalesced' })
  assert.deepEqual(waited, {
    text: '0123456789',
    failure: undefined,
    asked: [undefined, 'bytes=4-', 'bytes=6-'],
    isLeftOut: false,
  })
  const left = await read({ bodies, error: slow, cache: 'hit' })
  assert.deepEqual([left.text, left.failure, left.isLeftOut], ['0123', slow, true])
})

test('an owner that is silent in the middle is asked for the rest once, and then left out', async () => {
  const bodies = ['0123', '45', '', '']
  const left = await read({ bodies, error: silent, cache: 'hit' })
  assert.deepEqual(left, {
    text: '012345',
    failure: silent,
    asked: [undefined, 'bytes=4-', 'bytes=6-', 'bytes=6-'],
    isLeftOut: true,
  })
})

/** Which replicas are asked for a blob, and for which bytes, when they answer with these statuses. */
async function ask(statuses: readonly number[], isUnstored = false) {
  const asked: (string | undefined)[] = []
  const others = ['192.0.2.1:1', '192.0.2.2:1']
  const find = createFindOrigins({
    members: {
      own: '192.0.2.9:1',
      before: () => others.slice(0, statuses.length),
      others: () => others,
      failed: () => assert.fail('no replica is left out'),
      started: () => {},
      all: () => [],
      lookedUp: Promise.resolve(),
      close: () => {},
    },
    signatures: createSignatures('a secret of these replicas', Date.now),
    transport: {
      send: async ({ url, headers }: { url: URL; headers: Record<string, string> }) => {
        asked.push(`${url.hostname} ${headers['range']}`)
        const status = statuses[asked.length - 1]
        return { status, header: () => undefined, body: [], drop: () => {} }
      },
      close: async () => {},
    } as unknown as Parameters<typeof createFindOrigins>[0]['transport'],
    metrics: watchedTelemetry('silent').telemetry.metrics,
  })
  const blob = { prefix: '', name: parseRepositoryName('p/r'), digest }
  const { signal } = new AbortController()
  for (const origin of find(blob, { isUnstored }))
    if (await origin.open(blob, 5, signal).catch(() => undefined)) break
  return asked
}

test('an owner that cannot store a blob, or fails to get it, is followed by the next one', async () => {
  const both = ['192.0.2.1 bytes=5-', '192.0.2.2 bytes=5-']
  for (const status of [421, 500, 503]) assert.deepEqual(await ask([status, 404]), both)
  for (const status of [403, 429]) assert.deepEqual(await ask([status, 404]), both.slice(0, 1))
})

test('a replica that cannot store a blob asks the others for all of it, also those after it', async () => {
  const all = ['192.0.2.1 undefined', '192.0.2.2 undefined']
  assert.deepEqual(await ask([421, 200], true), all)
})
