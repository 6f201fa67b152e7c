import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { createAuthority } from '../support/certificates.ts'
import { get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { until } from '../support/until.ts'
import { useBerth } from '../support/use-berth.ts'

/** What /readyz says of the files that Berth reads again while it runs. */
const berth = useBerth()

async function partIs(part: string, state: RegExp): Promise<void> {
  await until(`${part} is ${state}`, async () => {
    const { body } = await get(`${berth.admin}/readyz`)
    const { parts } = JSON.parse(body.toString()) as { parts: Readonly<Record<string, string>> }
    assert.match(parts[part] ?? 'missing', state)
  })
}

test('/readyz says why a changed htpasswd file is not in force, by its line and without its hash (A104, A105)', async (t) => {
  const htpasswd = join(await ownDirectory(t), 'htpasswd')
  const hash = await hashPassword('secret', 4)
  const whole = `# users\r\nalice:${hash}\r\nbob:${hash}\r\n`
  await writeFile(htpasswd, whole)
  await berth.start({ config: { auth: { htpasswd } } })
  await partIs('users', /^ok$/)
  const before = 'the changed file cannot be used, so its previous content is in force: '
  const md5 = '$apr1$HvnLmOvD$XYJyNFs3ifA6nOXNVT5b40'
  for (const [text, reason] of [
    [whole.replace(`bob:${hash}`, `bob:${md5}`), 'htpasswd line 3 is not "user:bcrypt-hash"; .*'],
    ['', 'the htpasswd file has no users'],
  ] as const) {
    await writeFile(htpasswd, text)
    await partIs('users', new RegExp(`^${before}${reason}$`))
  }
  await rm(htpasswd)
  await partIs('users', new RegExp(`^${before}ENOENT: .*htpasswd`))
  await mkdir(htpasswd)
  await partIs('users', new RegExp(`^${before}.*htpasswd is not a regular file$`))
  await rm(htpasswd, { recursive: true })
  await writeFile(htpasswd, whole)
  await partIs('users', /^ok$/)
  const said = JSON.stringify(berth.logs())
  assert.match(said, /htpasswd line 3 is not/)
  for (const secret of [md5, hash]) assert.ok(!said.includes(secret))
})

test('/readyz says that the certificate has expired, until it is renewed', async (t) => {
  const authority = await createAuthority('Berth Test')
  t.after(authority.remove)
  const directory = await ownDirectory(t)
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  const put = async (options: { readonly expired: boolean }) => {
    const pair = await authority.issue(['IP:127.0.0.1'], options)
    await writeFile(tls.key, pair.key)
    await writeFile(tls.certificate, pair.certificate)
  }
  await put({ expired: true })
  await berth.start({ config: { tls, upstreams: [{ url: 'http://127.0.0.1:1' }] } })
  await partIs(
    'certificate',
    /^the certificate expired at 20[\d:T.-]*Z, so clients do not accept it: renew it$/,
  )
  await put({ expired: false })
  await partIs('certificate', /^ok$/)
})
