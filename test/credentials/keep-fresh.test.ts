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

test('it is exchanged at the start, before anybody asks', async () => {
  await pass(1)
  assert.equal(begun, 1)
  await give(token('a'), minute)
  assert.deepEqual(await credentials.current(), token('a'))
  assert.equal(begun, 1)
})

test('everybody waits for the same exchange', async () => {
  const waiting = Array.from({ length: 50 }, () => credentials.current())
  await pass(1)
  assert.equal(begun, 1)
  await give(token('a'), minute)
  for (const credential of await Promise.all(waiting)) assert.deepEqual(credential, token('a'))
})

test('it is exchanged in the background at about three quarters of its life, and nobody waits', async () => {
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

test('when the source dies the last one serves to its real expiry, and not beyond (U42, T7)', async () => {
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

test('a source that lives again is used at once by who asks', async () => {
  await pass(1)
  await refuse('down')
  await pass(1000)
  const asked = credentials.current()
  await settled()
  await give(token('a'), minute)
  assert.deepEqual(await asked, token('a'))
  assert.equal(credentials.problem(), undefined)
})

test('a dead source is asked again after 1, 2, 4 … and at most 30 seconds (U42)', async () => {
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

test('who asks within a second of a failure is told of it, and the source is left alone', async () => {
  await pass(1)
  await refuse('down')
  for (let times = 0; times < 20; times += 1)
    await assert.rejects(credentials.current(), unavailable(/down/))
  assert.equal(begun, 1)
})

test('a failure is an error for all who wait, and never anonymity (INV 5)', async () => {
  const waiting = [credentials.current(), credentials.current()]
  for (const each of waiting) each.catch(() => {})
  await pass(1)
  await refuse('exploded')
  for (const each of waiting) await assert.rejects(each, unavailable(/exploded/))
})

test('what the upstream itself denies is no failure but a denial (A110)', async () => {
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

test('an exchange without an answer has failed after ten seconds, and a late answer does not count (L96)', async () => {
  const asked = credentials.current()
  asked.catch(() => {})
  await pass(9999)
  assert.equal(begun, 1)
  await pass(2)
  await assert.rejects(asked, unavailable(/no answer within 10 seconds/))
  await give(token('late'), minute)
  await assert.rejects(credentials.current(), unavailable(/no answer/))
})

test('after a refusal there is one exchange, and all who were refused get what it gave', async () => {
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

test('what was fetched within the last second is not fetched again for a refusal', async () => {
  await pass(1)
  await give(token('a'), 100 * minute)
  const used = await credentials.current()
  assert.equal(await credentials.renew(used), used)
  assert.equal(begun, 1)
})

test('who is refused within a second of a failure is told of that, and not given the refused one again', async () => {
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

test('a renewal that fails leaves the one in force that is still valid', async () => {
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

test('expiry does not depend on what the wall clock says (C80)', async (t) => {
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

test('one that is born expired is used for a minute: a clock is wrong, and the upstream may tell', async () => {
  await pass(1)
  await give(token('a'), -5 * minute)
  assert.deepEqual(await credentials.current(), token('a'))
  await pass(minute)
  assert.ok(begun >= 2)
})

test('one that lives for ever is never exchanged again by itself', async () => {
  await pass(1)
  await give(token('a'))
  await pass(60 * minute)
  assert.equal(begun, 1)
})

test('a life longer than a timer can wait does not make it exchange without end', async () => {
  await pass(1)
  await give(token('a'), 365 * 24 * 60 * minute)
  await pass(10 * minute)
  assert.equal(begun, 1)
})

test('after close nothing is exchanged any more', async () => {
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

test('failures are logged with what is still valid, and what looks like a secret is not', async () => {
  lines.splice(0)
  await pass(1)
  await refuse('cannot GET https://u:canary@sts/?token=canary with Bearer canary.canary')
  const [line = ''] = lines
  assert.match(line, /credential exchange failed/)
  assert.match(line, /"stillValid":false/)
  assert.ok(!line.includes('canary'), line)
  assert.ok(!credentials.problem()?.includes('canary'))
})

test('what to change is logged with the failure, as nobody may have asked', async () => {
  lines.splice(0)
  await pass(1)
  const advice = 'grant a role, as https://u:canary@example.com/ says'
  exchanges.shift()?.reject(new CredentialError('no role', { advice }))
  await settled()
  const [line = ''] = lines
  assert.match(line, /"advice":"grant a role, as https:\/\/\[redacted\]@example/)
})

test('metrics tell of successes, failures and when it expires', async () => {
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
