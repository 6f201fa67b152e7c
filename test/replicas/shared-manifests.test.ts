import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemory } from '../../src/memory/memory.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import type { Answer } from '../../src/remote/remote.ts'
import { createSharedManifests } from '../../src/replicas/shared-manifests.ts'
import { createSignatures } from '../../src/replicas/signature.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const digest = digestOf(Buffer.from('x'))
const body = JSON.stringify({ digest, age: 5000 })
const signatures = createSignatures('a secret of these replicas', Date.now)
const others = createSignatures('the secret of other replicas', Date.now)

/** What is believed of an owner's answer for a tag, and for a list, and how often the owner is left out then. */
async function ask(
  answer: (authorization: string) => Partial<Record<string, string>> | Error,
  status = 200,
) {
  let failures = 0
  const shared = createSharedManifests({
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
    signatures,
    transport: {
      send: async ({ headers }) => {
        const sent = answer(String(headers['authorization']))
        if (sent instanceof Error) throw sent
        const { content = body, signature } = sent
        return {
          status,
          header: (name) => (name === 'berth-signature' ? signature : undefined),
          body: (async function* () {
            yield [Buffer.from(content)]
          })(),
          drop: () => {},
          settled: Promise.resolve(),
        } satisfies Omit<Answer, 'body'> & { body: unknown } as unknown as Answer
      },
      close: async () => {},
    },
    memory: createMemory(2 ** 30).inFlight,
    metrics: watchedTelemetry('silent').telemetry.metrics,
  })
  const name = parseRepositoryName('p/r')
  const tag = { prefix: 'up', name, tag: parseTag('1'), origin: 'https://registry.test' }
  const found = await shared.tag(tag)
  const { list, age: listAge } = (await shared.list({ ...tag, asked: { digest } })) ?? {}
  return { digest: found?.digest, age: found?.age, failures, list, listAge }
}

const none = { list: undefined, listAge: undefined }
const ignored = { digest: undefined, age: undefined, failures: 0, ...none }

test('what a tag means is believed of a replica alone that has the secret, for this request', async () => {
  const signed = await ask((authorization) => ({
    signature: signatures.signAnswer(authorization, body),
  }))
  assert.deepEqual(signed, { digest, age: 5000, failures: 0, ...none })
  assert.deepEqual(await ask(() => ({})), ignored)
  for (const by of [signatures, others])
    assert.deepEqual(
      await ask((authorization) => ({
        signature: by.signAnswer(by === others ? authorization : `${authorization}x`, body),
      })),
      ignored,
    )
  const changed = body.replace('5000', '1')
  const altered = await ask((authorization) => ({
    content: changed,
    signature: signatures.signAnswer(authorization, body),
  }))
  assert.deepEqual(altered, ignored)
})

test('an owner that does not answer is left out, but not one that answers what this version does not know', async () => {
  assert.deepEqual(await ask(() => new Error('no connection')), { ...ignored, failures: 2 })
  // Its secret or its clock differs.
  assert.deepEqual(await ask(() => ({}), 401), { ...ignored, failures: 2 })
  for (const content of ['{"digest":5,"age":1}', '{}', 'x']) {
    const unknown = await ask((authorization) => ({
      content,
      signature: signatures.signAnswer(authorization, content),
    }))
    assert.deepEqual(unknown, ignored)
  }
})

test('a list is believed of a replica alone that has the secret, if this version knows what it says', async () => {
  const list = { descriptors: [{ digest }], size: 100, isTagged: false }
  const sent = (content: string, by = signatures) =>
    ask((authorization) => ({ content, signature: by.signAnswer(authorization, content) }))
  const content = JSON.stringify({ list, age: 7 })
  assert.deepEqual(await sent(content), { ...ignored, age: 7, list, listAge: 7 })
  assert.deepEqual(await sent(content, others), ignored)
  for (const unknown of [{ ...list, size: -1 }, { tags: ['-'], size: 1 }, {}])
    assert.equal((await sent(JSON.stringify({ list: unknown, age: 7 }))).list, undefined)
})
