import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { CredentialError } from '../../src/credentials/credential-error.ts'
import { keepFresh } from '../../src/credentials/keep-fresh.ts'
import { createStaticSource } from '../../src/credentials/static.ts'
import { createCanaries } from '../support/canaries.ts'
import { useClock } from '../support/clock.ts'
import { tellingTelemetry } from '../support/remotes.ts'

const canaries = createCanaries()
const { telemetry, lines } = tellingTelemetry()
let directory: string
let passwordFile: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-static-'))
  passwordFile = join(directory, 'password')
})
after(async () => {
  await rm(directory, { recursive: true, force: true })
  await canaries.assertUnseen({ texts: [...lines, await telemetry.metrics.text()] })
})

test('a password in the configuration is used unchanged and never expires', async () => {
  const password = canaries.password('u')
  const source = createStaticSource({ username: 'u', password })
  assert.deepEqual(await source.fetch(), {
    credential: { kind: 'password', username: 'u', password },
  })
  assert.equal(source.identity(), 'u')
  assert.match(source.advice?.('a/b') ?? '', /^grant u read access to a\/b /)
  assert.match(source.advice?.('a/b', 'push') ?? '', /^grant u write access to a\/b /)
})

test('an empty password in the configuration is an error, and is not sent', async () => {
  const source = createStaticSource({ username: 'u', password: '' })
  await assert.rejects(source.fetch(), /^CredentialError: the password is empty/)
})

test('one trailing newline of a password file is not part of the password', async () => {
  for (const [text, password] of [
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    ['secret\n\n', 'secret\n'],
    [' secret ', ' secret '],
  ]) {
    await writeFile(passwordFile, text ?? '')
    const { credential } = await createStaticSource({ username: 'u', passwordFile }).fetch()
    assert.deepEqual(credential, { kind: 'password', username: 'u', password })
  }
})

test('a missing password file and denied access: the advice says what to change', async () => {
  const source = createStaticSource({ username: 'u', passwordFile: join(directory, 'missing') })
  await assert.rejects(source.fetch(), (error) => {
    assert.ok(error instanceof CredentialError)
    assert.match(error.message, /^cannot read .*missing: ENOENT$/)
    assert.match(error.advice ?? '', /set upstreams\[\]\.credentials\.passwordFile to a file/)
    return true
  })
  assert.equal(
    createStaticSource({ username: 'u', password: 'p' }).advice?.('a/b'),
    'grant u read access to a/b in the registry, or change the configuration so that it gives the credential of a user who has read access',
  )
})

test('a replaced password file takes effect within 30 seconds, without a failed request', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  const [first, second] = [canaries.password('u'), canaries.password('u')]
  await writeFile(passwordFile, first)
  const source = createStaticSource({ username: 'u', passwordFile })
  const credentials = keepFresh(source, { upstream: 'up', telemetry })
  assert.deepEqual(await credentials.current(), {
    kind: 'password',
    username: 'u',
    password: first,
  })
  await writeFile(`${passwordFile}.new`, second)
  await rename(`${passwordFile}.new`, passwordFile)
  clock.advance(30_000)
  const next = { kind: 'password', username: 'u', password: second }
  await until(async () => isDeepStrictEqual(await credentials.current(), next))
  credentials.close()
})

test('after a password file is removed, the last password is used and the problem is reported', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  await writeFile(passwordFile, canaries.password('u'))
  const source = createStaticSource({ username: 'u', passwordFile })
  const credentials = keepFresh(source, { upstream: 'up', telemetry })
  const before = await credentials.current()
  await rm(passwordFile)
  clock.advance(31_000)
  await until(() => credentials.problem() !== undefined)
  assert.equal(await credentials.current(), before)
  assert.match(credentials.problem() ?? '', /no credential for up as u: .*ENOENT/)
  credentials.close()
})

test('while a password file is empty, the last password is used and the problem is reported', async (t) => {
  const clock = useClock(t, ['setTimeout'])
  await writeFile(passwordFile, canaries.password('u'))
  const source = createStaticSource({ username: 'u', passwordFile })
  const credentials = keepFresh(source, { upstream: 'up', telemetry })
  const before = await credentials.current()
  for (const text of ['', '\n']) {
    await writeFile(passwordFile, text)
    clock.advance(31_000)
    await until(() => credentials.problem() !== undefined)
    assert.equal(await credentials.current(), before)
    assert.match(
      credentials.problem() ?? '',
      /no credential for up as u: .*password is empty; write the password/,
    )
  }
  credentials.close()
})

/** While the clock stands still: what is on its way arrives all the same. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve))
}
