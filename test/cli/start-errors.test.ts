import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'

/** Serves with these flags over ones that are good; it must fail, in one line. Returns that. */
async function failure(t: TestContext, flags: readonly string[]): Promise<string> {
  const good = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-level', 'silent']
  const storage = ['--storage-directory', await ownDirectory(t)]
  const { status, stdout, stderr } = await runCommand(['serve', ...good, ...storage, ...flags])
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^berth: .+\n$/)
  return stderr
}

async function takenPort(t: TestContext): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address: AddressInfo | string | null = server.address()
  return typeof address === 'object' ? `127.0.0.1:${address?.port}` : ''
}

suite('berth serve that cannot start says why in one sentence', { concurrency: true }, () => {
  for (const field of ['listen', 'admin'])
    test(`when the port of ${field} is taken`, async (t) => {
      const port = await takenPort(t)
      const told = await failure(t, [`--${field}`, port])
      assert.match(told, new RegExp(`^berth: ${field}: .*${port}.*choose others by --listen`))
    })

  test('when the directory is a file', async (t) => {
    const file = join(await ownDirectory(t), 'file')
    await writeFile(file, '')
    assert.match(await failure(t, ['--storage-directory', file]), /^berth: storage\.directory: /)
  })

  test('when the htpasswd file is not there, or cannot be used', async (t) => {
    const file = join(await ownDirectory(t), 'htpasswd')
    assert.match(await failure(t, ['--auth-htpasswd', file]), /^berth: auth\.htpasswd: .*ENOENT/)
    await writeFile(file, 'alice:$apr1$not$bcrypt\n')
    assert.match(await failure(t, ['--auth-htpasswd', file]), /^berth: auth\.htpasswd: .*line 1/)
  })

  test('when a certificate is not there', async (t) => {
    const file = join(await ownDirectory(t), 'tls.pem')
    const flags = ['--tls-certificate', file, '--tls-key', file]
    assert.match(await failure(t, flags), /^berth: tls: .*ENOENT/)
  })
})
