import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseChallenges } from '../../src/remote/challenge.ts'

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/)
const value = fc.string({ unit: 'grapheme-ascii', maxLength: 40 })
const token68 = fc.stringMatching(/^[A-Za-z0-9\-._~+/]{1,20}={0,2}$/)

const challenge = fc.record(
  {
    scheme: name,
    parameters: fc.dictionary(name, value, { minKeys: 1, maxKeys: 4, noNullPrototype: true }),
  },
  { noNullPrototype: true },
)

test('challenges that are valid by RFC 9110 are parsed, quoted pairs included (U52)', () => {
  const quote = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`
  fc.assert(
    fc.property(
      fc.array(challenge, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(',', ', ', ' , ', ',,'),
      fc.constantFrom('=', ' = '),
      (challenges, comma, equals) => {
        const header = challenges
          .map(({ scheme, parameters }) => {
            const pairs = Object.entries(parameters)
            return `${scheme} ${pairs.map(([key, text]) => `${key}${equals}${quote(text)}`).join(comma)}`
          })
          .join(comma)
        assert.deepEqual(parseChallenges(header), challenges)
      },
    ),
  )
})

test('a token68 is skipped at any position', () => {
  fc.assert(
    fc.property(token68, (text) => {
      const header = `Negotiate ${text}, Bearer realm="https://a/token",service=b, NTLM`
      assert.deepEqual(parseChallenges(header), [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'bearer', parameters: { realm: 'https://a/token', service: 'b' } },
        { scheme: 'ntlm', parameters: {} },
      ])
    }),
  )
})

test("Docker Hub's, Artifact Registry's and Basic challenges are read", () => {
  assert.deepEqual(
    parseChallenges(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull",error="invalid_token"',
    ),
    [
      {
        scheme: 'bearer',
        parameters: {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:library/busybox:pull',
          error: 'invalid_token',
        },
      },
    ],
  )
  assert.deepEqual(parseChallenges('Bearer realm="https://us-docker.pkg.dev/v2/token"'), [
    { scheme: 'bearer', parameters: { realm: 'https://us-docker.pkg.dev/v2/token' } },
  ])
  assert.deepEqual(parseChallenges('BASIC Realm="a \\"quoted\\" word", charset="UTF-8"'), [
    { scheme: 'basic', parameters: { realm: 'a "quoted" word', charset: 'UTF-8' } },
  ])
})

test('several challenges of several header lines are all parsed, in their order (U52)', () => {
  const schemes = parseChallenges('Basic realm="a", Bearer realm="https://b/token", Digest x=1')
  assert.deepEqual(
    schemes.map(({ scheme }) => scheme),
    ['basic', 'bearer', 'digest'],
  )
})

test('an invalid challenge ends the list, and the ones before it count', () => {
  assert.deepEqual(parseChallenges('Basic realm="a", Bearer realm="unterminated'), [
    { scheme: 'basic', parameters: { realm: 'a' } },
    { scheme: 'bearer', parameters: {} },
  ])
  assert.deepEqual(parseChallenges('"Bearer"'), [])
  assert.deepEqual(parseChallenges(''), [])
})

test('a challenge of 64 kB is ignored (U52)', () => {
  assert.deepEqual(parseChallenges(`Bearer realm="https://a/${'a'.repeat(64 * 1024)}"`), [])
})

test('no header throws or takes long to parse', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.string({ unit: fc.constantFrom(...' ,="\\a/\t~Basic'), maxLength: 400 }),
    fc.constantFrom(...' ,="\\a/=~').map((letter) => letter.repeat(8192)),
    fc.constantFrom('a ', 'a=', '="', 'a,', '\\"', 'a =', '= ').map((text) => text.repeat(4096)),
  )
  fc.assert(
    fc.property(hostile, (header) => {
      const before = process.threadCpuUsage()
      parseChallenges(header)
      const { user, system } = process.threadCpuUsage(before)
      // Half a second is far above what it takes, and far below what backtracking would.
      assert.ok(user + system < 500_000)
    }),
  )
})
