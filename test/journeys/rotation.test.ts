import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'

/** One of several replicas, which receive a changed Secret at different times. */
async function startReplica(t: TestContext, lines: readonly string[]) {
  const htpasswd = join(await ownDirectory(t), 'htpasswd')
  const change = (changed: readonly string[]) => writeFile(htpasswd, `${changed.join('\n')}\n`)
  await change(lines)
  const berth = await startBerth({ config: { auth: { htpasswd } } })
  t.after(() => removeBerth(berth))
  const accepts = async (password: string) => {
    const headers = { authorization: `Basic ${basicOf('kubelet', password)}` }
    return (await get(`${berth.url}/v2/`, { headers })).status === 200
  }
  return { change, accepts }
}

test('a password rotation without a rejected login: both lines, then the new secret, then only the new line', async (t) => {
  const lineOf = async (password: string) => `kubelet:${await hashPassword(password, 4)}`
  const [old, fresh] = [await lineOf('old'), await lineOf('new')]
  const one = await startReplica(t, [old])
  const other = await startReplica(t, [old])
  const allAccept = async (password: string) =>
    assert.ok((await one.accepts(password)) && (await other.accepts(password)), password)

  await one.change([old, fresh])
  await eventually('the first replica has both lines', () => one.accepts('new'))
  await allAccept('old')
  await other.change([old, fresh])
  await eventually('the second replica has both lines', () => other.accepts('new'))
  await allAccept('old')
  await allAccept('new')
  // From here on, pods have the new secret.
  await one.change([fresh])
  await eventually(
    'the first replica rejects the old password',
    async () => !(await one.accepts('old')),
  )
  await allAccept('new')
  await other.change([fresh])
  await eventually(
    'the second replica rejects the old password',
    async () => !(await other.accepts('old')),
  )
  await allAccept('new')
})
