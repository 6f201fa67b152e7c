import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'

/** Runs `berth serve` with valid flags and these; it must fail with one line, which is returned. */
async function failure(t: TestContext, flags: readonly string[]): Promise<string> {
  const valid = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-level', 'silent']
  const storage = ['--storage-directory', await ownDirectory(t)]
  const { status, stdout, stderr } = await runCommand(['serve', ...valid, ...storage, ...flags])
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^berth: .+\n$/)
  return stderr
}

async function usedPort(t: TestContext): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address: AddressInfo | string | null = server.address()
  return typeof address === 'object' ? `127.0.0.1:${address?.port}` : ''
}

suite('berth serve prints one line and exits', { concurrency: 4 }, () => {
  for (const field of ['listen', 'admin'])
    test(`when the port of ${field} is in use`, async (t) => {
      const port = await usedPort(t)
      const message = await failure(t, [`--${field}`, port])
      assert.match(
        message,
        new RegExp(`^berth: ${field}: .*${port}.*choose other ports with --listen`),
      )
    })

  test('when the directory is a file', async (t) => {
    const file = join(await ownDirectory(t), 'file')
    await writeFile(file, '')
    assert.match(await failure(t, ['--storage-directory', file]), /^berth: storage\.directory: /)
  })

  test('when the htpasswd file does not exist or is invalid', async (t) => {
    const file = join(await ownDirectory(t), 'htpasswd')
    assert.match(await failure(t, ['--auth-htpasswd', file]), /^berth: auth\.htpasswd: .*ENOENT/)
    await writeFile(file, 'alice:$apr1$not$bcrypt\n')
    assert.match(await failure(t, ['--auth-htpasswd', file]), /^berth: auth\.htpasswd: .*line 1/)
  })

  test('when a certificate does not exist', async (t) => {
    const file = join(await ownDirectory(t), 'tls.pem')
    const flags = ['--tls-certificate', file, '--tls-key', file]
    assert.match(await failure(t, flags), /^berth: tls: .*ENOENT/)
  })
})
