import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'

/** One of several replicas, each of which gets a changed Secret at a time of its own. */
async function startReplica(t: TestContext, lines: readonly string[]) {
  const htpasswd = join(await ownDirectory(t), 'htpasswd')
  const change = (changed: readonly string[]) => writeFile(htpasswd, `${changed.join('\n')}\n`)
  await change(lines)
  const berth = await startBerth({ config: { auth: { htpasswd } } })
  t.after(() => removeBerth(berth))
  const lets = async (password: string) => {
    const headers = { authorization: `Basic ${basicOf('kubelet', password)}` }
    return (await get(`${berth.url}/v2/`, { headers })).status === 200
  }
  return { change, lets }
}

test('a password is rotated without a refusal: both lines, then the new secret, then the new line alone', async (t) => {
  const lineOf = async (password: string) => `kubelet:${await hashPassword(password, 4)}`
  const [old, fresh] = [await lineOf('old'), await lineOf('new')]
  const one = await startReplica(t, [old])
  const other = await startReplica(t, [old])
  const allLet = async (password: string) =>
    assert.ok((await one.lets(password)) && (await other.lets(password)), password)

  await one.change([old, fresh])
  await eventually('the first replica has both', () => one.lets('new'))
  await allLet('old')
  await other.change([old, fresh])
  await eventually('the second one, too', () => other.lets('new'))
  await allLet('old')
  await allLet('new')
  // Pods have the new secret from here on.
  await one.change([fresh])
  await eventually('the old one is no use at the first', async () => !(await one.lets('old')))
  await allLet('new')
  await other.change([fresh])
  await eventually('nor at the second', async () => !(await other.lets('old')))
  await allLet('new')
})
