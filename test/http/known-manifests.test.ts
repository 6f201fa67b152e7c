import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { connectRaw } from '../support/raw.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const image = makeImage()
const upstream = await useUpstream()
upstream.put('team/app', 'v1', image)
const htpasswd = join(await useDirectory(), 'htpasswd')
const hashes = await Promise.all(
  ['alice', 'bob'].map(async (user) => `${user}:${await hashPassword('secret', 4)}`),
)
await writeFile(htpasswd, hashes.join('\n'))
const berth = useBerth({
  shared: true,
  config: {
    upstreams: [{ prefix: 'up.example', url: upstream.url }],
    auth: {
      htpasswd,
      access: [{ users: ['alice'], repositories: ['up.example/team/**'], actions: ['pull'] }],
    },
  },
})

const login = (user: string) => `Basic ${basicOf(user, 'secret')}`
const inPath = '/v2/up.example/team/app/manifests'
const targets = [
  `${inPath}/v1`,
  `${inPath}/${image.digest}`,
  '/v2/team/app/manifests/v1?ns=up.example',
]

/** What a request leaves in the log and in the counters, besides times. */
async function traces(work: () => Promise<unknown>) {
  const lines = () => berth.logs().filter(({ msg }) => msg === 'request')
  const already = lines().length
  const counters = async () => {
    const { body } = await get(`${berth.admin}/metrics`)
    const text = body.toString().split('\n')
    return text
      .filter((line) => /^(berth|registry)_\w+_(total|count)\b/.test(line))
      .map((line) => [line.replace(/ \S+$/, ''), Number(/\S+$/.exec(line)?.[0])] as const)
  }
  const earlier = new Map(await counters())
  await work()
  await eventually('it is logged', () => lines().length > already)
  const changes = (await counters()).map(
    ([name, value]) => [name, value - (earlier.get(name) ?? 0)] as const,
  )
  const { time, ms, ...line } = lines()[already] ?? {}
  assert.ok(typeof time === 'number' && typeof ms === 'number')
  return { line, changes: changes.filter(([, change]) => change !== 0) }
}

test('a manifest in memory has the same answer, log line and counters as with a condition', async () => {
  await pullAll()
  for (const target of targets)
    for (const method of ['GET', 'HEAD']) {
      const ask = async (headers: Readonly<Record<string, string>>) => {
        const answer: unknown[] = []
        const left = await traces(async () => {
          const {
            status,
            headers: sent,
            body,
          } = await get(berth.url + target, {
            method,
            headers: { authorization: login('alice'), ...headers },
          })
          answer.push(status, { ...sent, date: '' }, body.toString('latin1'))
        })
        return { answer, left }
      }
      // Conditions are left to the routes.
      const expected = await ask({ 'if-none-match': '"another"' })
      assert.equal(expected.left.line['cache'], 'hit')
      assert.deepEqual(await ask({}), expected)
    }
})

test('a manifest in memory is for those only who may pull it, by requests that are not ambiguous', async () => {
  await pullAll()
  const [target = ''] = targets
  const statusFor = async (...headers: readonly string[]) => {
    const { ask, reply } = await connectRaw(berth.url)
    ask(`GET ${target} HTTP/1.1`, ...headers)
    return (await reply()).status
  }
  const alice = `Authorization: ${login('alice')}`
  assert.equal(await statusFor('Host: a', alice), 200)
  assert.equal(await statusFor('Host: a', `Authorization: ${login('bob')}`), 403)
  assert.equal(await statusFor('Host: a'), 401)
  assert.equal(await statusFor('Host: a', `Authorization: Basic ${basicOf('alice', 'wrong')}`), 401)
  assert.equal(await statusFor('Host: a', alice, alice), 401)
  assert.equal(await statusFor('Host: a', 'Host: a', alice), 400)
  assert.equal(await statusFor(alice), 400)
})

async function pullAll(): Promise<void> {
  for (const target of targets) {
    const { status } = await get(berth.url + target, { headers: { authorization: login('alice') } })
    assert.equal(status, 200)
  }
}
