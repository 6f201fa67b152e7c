import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type {
  Credential,
  CredentialSource,
  Credentials,
  Fetched,
} from '../../src/credentials/credential.ts'
import { CredentialError } from '../../src/credentials/credential-error.ts'
import { keepFresh } from '../../src/credentials/keep-fresh.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { type Clock, useClock } from '../support/clock.ts'
import { tellingTelemetry } from '../support/remotes.ts'

const { telemetry, lines } = tellingTelemetry()
const minute = 60_000

let clock: Clock
let credentials: Credentials
/** Exchanges that were begun, and not yet answered by the test. */
let exchanges: PromiseWithResolvers<Fetched>[]
let begun: number
/** Milliseconds that went by. */
let passed = 0

beforeEach((t) => {
  clock = useClock(t, ['setTimeout'])
  exchanges = []
  begun = 0
  const source: CredentialSource = {
    identity: () => 'robot',
    source: () => 'the test',
    fetch: () => {
      begun += 1
      const exchange = Promise.withResolvers<Fetched>()
      exchanges.push(exchange)
      return exchange.promise
    },
  }
  credentials = keepFresh(source, { upstream: 'up', telemetry })
})

afterEach(() => credentials.close())

function token(text: string): Credential {
  return { kind: 'access-token', username: 'u', token: text }
}

/** Answers the oldest open exchange. */
async function give(credential: Credential, lifetime?: number): Promise<void> {
  exchanges.shift()?.resolve({ credential, ...(lifetime !== undefined && { lifetime }) })
  await settled()
}

async function refuse(message: string): Promise<void> {
  exchanges.shift()?.reject(new Error(message))
  await settled()
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Lets time go by, in steps, so that timers set by timers fire as well. */
async function pass(milliseconds: number): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 500) {
    clock.advance(Math.min(left, 500))
    passed += Math.min(left, 500)
    await settled()
  }
}

function unavailable(message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    assert.equal(error.status, 503)
    assert.ok((error.retryAfter ?? 0) > 0)
    assert.match(error.message, message)
    return true
  }
}

test('an exchange runs at the start, before any request', async () => {
  await pass(1)
  assert.equal(begun, 1)
  await give(token('a'), minute)
  assert.deepEqual(await credentials.current(), token('a'))
  assert.equal(begun, 1)
})

test('concurrent requests share one exchange', async () => {
  const waiting = Array.from({ length: 50 }, () => credentials.current())
  await pass(1)
  assert.equal(begun, 1)
  await give(token('a'), minute)
  for (const credential of await Promise.all(waiting)) assert.deepEqual(credential, token('a'))
})

test('a credential is renewed in the background after about three quarters of its lifetime, and no request waits', async () => {
  await pass(1)
  await give(token('a'), 100 * minute)
  const given = passed
  while (begun === 1) await pass(500)
  const share = (passed - given) / (100 * minute)
  assert.ok(share > 0.69 && share < 0.81, String(share))
  assert.deepEqual(await credentials.current(), token('a'))
  await give(token('b'), 100 * minute)
  assert.deepEqual(await credentials.current(), token('b'))
  assert.equal(begun, 2)
})

test('when the source fails, the last credential is used up to its real expiry, and no longer (U42, T7)', async () => {
  const died = 'the metadata server is down'
  await pass(1)
  await give(token('a'), 10 * minute)
  const expiry = passed + 10 * minute
  while (passed < expiry - 500) {
    await pass(500)
    while (exchanges.length > 0) await refuse(died)
    assert.deepEqual(await credentials.current(), token('a'))
  }
  assert.ok(begun > 5)
  assert.match(credentials.problem() ?? '', /metadata server is down/)
  await pass(2000)
  while (exchanges.length > 0) await refuse(died)
  const asked = credentials.current()
  asked.catch(() => {})
  await settled()
  while (exchanges.length > 0) await refuse(died)
  await assert.rejects(asked, unavailable(/no credential for up as robot: .*down/))
})

test('after the source has recovered, the next request runs an exchange', async () => {
  await pass(1)
  await refuse('down')
  await pass(1000)
  const asked = credentials.current()
  await settled()
  await give(token('a'), minute)
  assert.deepEqual(await asked, token('a'))
  assert.equal(credentials.problem(), undefined)
})

test('a failing source is retried after 1, 2, 4 … and at most 30 seconds (U42)', async () => {
  await pass(1)
  const pauses: number[] = []
  for (let attempts = 0; attempts < 8; attempts += 1) {
    await refuse('down')
    let pause = 0
    while (exchanges.length === 0) {
      await pass(500)
      pause += 0.5
    }
    pauses.push(pause)
  }
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 30, 30, 30])
})

test('a request within a second of a failure gets the same error without another exchange', async () => {
  await pass(1)
  await refuse('down')
  for (let times = 0; times < 20; times += 1)
    await assert.rejects(credentials.current(), unavailable(/down/))
  assert.equal(begun, 1)
})

test('a failure is an error for all waiting requests, never anonymous access (INV 5)', async () => {
  const waiting = [credentials.current(), credentials.current()]
  for (const each of waiting) each.catch(() => {})
  await pass(1)
  await refuse('exploded')
  for (const each of waiting) await assert.rejects(each, unavailable(/exploded/))
})

test('a denial of the upstream is DENIED, not UNAVAILABLE (A110)', async () => {
  const asked = credentials.current()
  asked.catch(() => {})
  await pass(1)
  exchanges.shift()?.reject(new CredentialError('no role', { denied: true, advice: 'get one' }))
  await assert.rejects(asked, (error) => {
    assert.ok(isRegistryError(error, 'DENIED'))
    assert.equal(error.retryAfter, undefined)
    assert.match(error.message, /no credential for up as robot: no role; get one/)
    return true
  })
})

test('an exchange without an answer fails after ten seconds, and a late answer is ignored (L96)', async () => {
  const asked = credentials.current()
  asked.catch(() => {})
  await pass(9999)
  assert.equal(begun, 1)
  await pass(2)
  await assert.rejects(asked, unavailable(/no answer within 10 seconds/))
  await give(token('late'), minute)
  await assert.rejects(credentials.current(), unavailable(/no answer/))
})

test('after a rejection there is one exchange, and all rejected requests share its result', async () => {
  await pass(1)
  await give(token('a'), 100 * minute)
  const used = await credentials.current()
  await pass(1000)
  const renewals = Array.from({ length: 20 }, () => credentials.renew(used))
  await settled()
  await give(token('b'), 100 * minute)
  for (const credential of await Promise.all(renewals)) assert.deepEqual(credential, token('b'))
  assert.deepEqual(await credentials.renew(used), token('b'))
  assert.equal(begun, 2)
})

test('a credential that is less than a second old is not renewed after a rejection', async () => {
  await pass(1)
  await give(token('a'), 100 * minute)
  const used = await credentials.current()
  assert.equal(await credentials.renew(used), used)
  assert.equal(begun, 1)
})

test('a rejection within a second of a failure returns that failure, not the rejected credential', async () => {
  await pass(1)
  await give(token('a'), 100 * minute)
  const used = await credentials.current()
  await pass(1000)
  credentials.renew(used).catch(() => {})
  await settled()
  await refuse('down')
  await assert.rejects(credentials.renew(used), unavailable(/down/))
  assert.equal(begun, 2)
})

test('after a failed renewal, the valid credential is still used', async () => {
  await pass(1)
  await give(token('a'), 100 * minute)
  await pass(1000)
  const renewal = credentials.renew(await credentials.current())
  renewal.catch(() => {})
  await settled()
  await refuse('down')
  await assert.rejects(renewal, unavailable(/down/))
  assert.deepEqual(await credentials.current(), token('a'))
})

test('expiry does not depend on the wall clock (C80)', async (t) => {
  await pass(1)
  await give(token('a'), 10 * minute)
  t.mock.method(Date, 'now', () => 0)
  assert.deepEqual(await credentials.current(), token('a'))
  t.mock.method(Date, 'now', () => 4e12)
  assert.deepEqual(await credentials.current(), token('a'))
  await pass(10 * minute)
  credentials.current().catch(() => {})
  await settled()
  assert.ok(begun >= 2)
})

test('a credential that is issued expired is used for a minute: a clock is wrong, and the upstream decides', async () => {
  await pass(1)
  await give(token('a'), -5 * minute)
  assert.deepEqual(await credentials.current(), token('a'))
  await pass(minute)
  assert.ok(begun >= 2)
})

test('a credential without an expiry is never renewed in the background', async () => {
  await pass(1)
  await give(token('a'))
  await pass(60 * minute)
  assert.equal(begun, 1)
})

test('a lifetime longer than the longest timer does not cause endless exchanges', async () => {
  await pass(1)
  await give(token('a'), 365 * 24 * 60 * minute)
  await pass(10 * minute)
  assert.equal(begun, 1)
})

test('no exchange runs after close', async () => {
  await pass(1)
  await give(token('a'), minute)
  credentials.close()
  await pass(10 * minute)
  assert.equal(begun, 1)
})

test('an exchange that ends after close sets no timer', async () => {
  await pass(1)
  credentials.close()
  await refuse('down')
  await pass(10 * minute)
  assert.equal(begun, 1)
})

test('a failure is logged with the state of the current credential, and secrets are redacted', async () => {
  lines.splice(0)
  await pass(1)
  await refuse('cannot GET https://u:canary@sts/?token=canary with Bearer canary.canary')
  const [line = ''] = lines
  assert.match(line, /credential exchange failed/)
  assert.match(line, /"stillValid":false/)
  assert.ok(!line.includes('canary'), line)
  assert.ok(!credentials.problem()?.includes('canary'))
})

test('a failure in the background is logged with its advice', async () => {
  lines.splice(0)
  await pass(1)
  const advice = 'grant a role, as https://u:canary@example.com/ says'
  exchanges.shift()?.reject(new CredentialError('no role', { advice }))
  await settled()
  const [line = ''] = lines
  assert.match(line, /"advice":"grant a role, as https:\/\/\[redacted\]@example/)
})

test('metrics count successes and failures, and contain the expiry', async () => {
  const { telemetry } = tellingTelemetry()
  const fetched = { credential: token('a'), lifetime: 10 * minute }
  const answers: Promise<Fetched>[] = [Promise.reject(new Error('x')), Promise.resolve(fetched)]
  const source = {
    identity: () => 'r',
    source: () => 'the test',
    fetch: () => answers.shift() ?? Promise.reject(new Error()),
  }
  const kept = keepFresh(source, { upstream: 'up', telemetry })
  await kept.current().catch(() => {})
  clock.advance(1000)
  await kept.current()
  kept.close()
  const text = await telemetry.metrics.text()
  assert.match(text, /berth_token_refreshes_total\{upstream="up",outcome="failure"\} 1/)
  assert.match(text, /berth_token_refreshes_total\{upstream="up",outcome="success"\} 1/)
  const expiry = /berth_token_expiry_timestamp_seconds\{upstream="up"\} ([\d.e+]+)/.exec(text)?.[1]
  assert.ok(Math.abs(Number(expiry) - (Date.now() / 1000 + 600)) < 5)
})
