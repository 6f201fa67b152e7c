import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keepFresh } from '../../src/credentials/keep-fresh.ts'
import { createTokenSource } from '../../src/credentials/token.ts'
import { createTelemetry } from '../../src/telemetry/telemetry.ts'
import { until } from '../support/until.ts'

function jwt(claims: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${encode({ alg: 'none' })}.${encode(claims)}.x`
}

test('a token that is requested is requested again before it expires', async (t) => {
  const tokens: string[] = []
  const request = async () => {
    const exp = Date.now() / 1000 + (tokens.length === 0 ? 2 : 3600)
    tokens.push(jwt({ sub: 'system:serviceaccount:team-a:ci', exp, jti: tokens.length }))
    return tokens.at(-1) ?? ''
  }
  const telemetry = createTelemetry({ level: 'silent' })
  const credentials = keepFresh(createTokenSource({ request }), { upstream: 'here', telemetry })
  t.after(credentials.close)
  assert.deepEqual(await credentials.current(), { kind: 'registry-token', token: tokens[0] })
  assert.equal(credentials.identity(), 'system:serviceaccount:team-a:ci')
  await until('it is renewed', async () =>
    assert.deepEqual(await credentials.current(), { kind: 'registry-token', token: tokens[1] }),
  )
  assert.equal(tokens.length, 2)
})

test('a request that fails says why', async () => {
  const source = createTokenSource({
    request: async () => {
      throw new Error('cannot create a token')
    },
  })
  await assert.rejects(source.fetch(), { message: 'cannot create a token' })
  assert.equal(source.identity(), 'the token')
})
