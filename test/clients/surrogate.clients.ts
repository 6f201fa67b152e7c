import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { stringify } from 'yaml'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { type Command, runCommand, startCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { htpasswdLine } from '../support/docker-registry.ts'
import { type Program, run, start, tool } from '../support/programs.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const path = (name: string) => join(directory, name)
const login = { user: 'team', password: 'surrogate-canary-2b90' }
const serverName = 'registry.example.com'
const size = 32 * 1024 * 1024

suite('a surrogate of docker-registry with TLS and htpasswd', () => {
  let authority: Authority
  let registry: Program
  let surrogate: Command
  let host: string
  let admin: string

  before(async () => {
    authority = await createAuthority('registry')
    const pair = await authority.issue([`DNS:${serverName}`])
    await writeFile(path('tls.crt'), pair.certificate)
    await writeFile(path('tls.key'), pair.key)
    await writeFile(path('htpasswd'), await htpasswdLine(login))
    const config = {
      version: '0.1',
      storage: { filesystem: { rootdirectory: path('data') }, delete: { enabled: true } },
      http: { addr: '127.0.0.1:0', tls: { certificate: path('tls.crt'), key: path('tls.key') } },
      auth: { htpasswd: { realm: 'registry', path: path('htpasswd') } },
    }
    await writeFile(path('config.yml'), stringify(config))
    const environment = { OTEL_TRACES_EXPORTER: 'none' }
    registry = start(['docker-registry', 'serve', path('config.yml')], { directory, environment })
    const [, address = ''] = await registry.wrote(/listening on (127\.0\.0\.1:\d+)/)
    for (const name of ['ca', 'login']) await mkdir(path(name))
    await writeFile(path('ca/ca.crt'), await readFile(authority.file))
    await logIn(login.password)
    surrogate = startCommand(
      [
        ...['surrogate', '--registry', `https://${address}`, '--server-name', serverName],
        ...['--certificate', path('ca/ca.crt'), '--secret', path('login')],
        ...['--secret-name', 'login', '--directory', path('run'), '--interval', '1'],
        ...['--port', '0', '--admin-port', '0', '--admin-host', '127.0.0.1'],
      ],
      { patience: 280_000 },
    )
    const [, port] = await surrogate.wrote(/"port":(\d+).*handing requests on/)
    const [, adminPort] = await surrogate.wrote(/"admin":(\d+).*handing requests on/)
    host = `127.0.0.1:${port}`
    admin = `http://127.0.0.1:${adminPort}`
  })
  after(async () => {
    surrogate?.signal('SIGTERM')
    await surrogate?.finished
    await registry?.kill()
    await authority?.remove()
  })

  /** As a kubelet mounts a Secret of type basic-auth. */
  const logIn = async (password: string) => {
    await writeFile(path('login/username'), login.user)
    await writeFile(path('login/password'), password)
  }
  const berth = async (...words: readonly string[]) => {
    const { status, stdout, stderr } = await runCommand(words, { environment: { HOME: directory } })
    assert.equal(status, 0, stderr)
    return stdout
  }
  const untilIs = (which: 'reachable' | 'authenticated', reason: string) =>
    until(`${which} because of ${reason}`, async () => {
      const report = JSON.parse(await (await fetch(`${admin}/status`)).text())
      assert.equal(report[which].reason, reason)
      return report[which].message as string
    })

  test('berth pushes, lists, pulls and deletes, without a login of its own', async () => {
    await untilIs('authenticated', 'LoggedIn')
    const content = randomBytes(size)
    await writeFile(path('data.bin'), content)
    await berth('image', 'push', '--file', path('data.bin'), `${host}/team/data:1`)
    assert.equal(await berth('image', 'list', host), 'team/data\n')
    await berth('image', 'pull', '--unpack', `${host}/team/data:1`, path('back.bin'))
    assert.ok(content.equals(await readFile(path('back.bin'))))
    await berth('image', 'delete', '--digest', `${host}/team/data:1`)
    const { status } = await runCommand(['image', 'pull', `${host}/team/data:1`, path('gone.tar')])
    assert.notEqual(status, 0)
  })

  test('crane and skopeo copy within the registry', async () => {
    await berth('image', 'push', '--file', path('data.bin'), `${host}/team/data:2`)
    const crane = (...words: readonly string[]) => run([tool('crane'), '--insecure', ...words])
    await crane('copy', `${host}/team/data:2`, `${host}/other/data:2`)
    const digest = await crane('digest', `${host}/other/data:2`)
    await run([
      ...[
        'skopeo',
        'copy',
        '--all',
        '--preserve-digests',
        '--src-tls-verify=false',
        '--dest-tls-verify=false',
      ],
      ...[`docker://${host}/other/data:2`, `docker://${host}/third/data:2`],
    ])
    assert.equal(await crane('digest', `${host}/third/data:2`), digest)
    assert.deepEqual((await crane('catalog', host)).trim().split('\n'), [
      ...['other/data', 'team/data', 'third/data'],
    ])
  })

  test('a wrong password, a Secret for another host, none, and then the right one again', async () => {
    await logIn('wrong')
    assert.match(await untilIs('authenticated', 'LoginDenied'), /team was denied access.*401/)
    for (const name of ['username', 'password']) await rm(path(`login/${name}`))
    assert.match(await untilIs('authenticated', 'LoginNotUsable'), /there is no Secret login/)
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    const entry = { auths: { 'elsewhere.example.com': { auth } } }
    await writeFile(path('login/.dockerconfigjson'), JSON.stringify(entry))
    assert.match(
      await untilIs('authenticated', 'LoginNotUsable'),
      /no entry for 127\.0\.0\.1:\d+; it has entries for elsewhere\.example\.com|there is no Secret/,
    )
    assert.equal((await fetch(`http://${host}/v2/_catalog`)).status, 503)
    await rm(path('login/.dockerconfigjson'))
    await logIn(login.password)
    await untilIs('authenticated', 'LoggedIn')
    assert.ok(!surrogate.stdout().includes(login.password))
  })

  test('a certificate of another authority is not trusted, until its authority is known', async () => {
    const other = await createAuthority('other')
    await writeFile(path('ca/ca.crt'), await readFile(other.file))
    assert.match(await untilIs('reachable', 'CertificateNotTrusted'), /spec\.tls\.caSecretRef/)
    await rm(path('ca/ca.crt'))
    await untilIs('reachable', 'CertificateAuthorityMissing')
    await writeFile(path('ca/ca.crt'), await readFile(authority.file))
    await untilIs('reachable', 'Answers')
    await other.remove()
  })
})
