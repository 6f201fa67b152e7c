import assert from 'node:assert/strict'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { removeBerth, startBerth } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { attempt } from '../support/programs.ts'
import { startSpool } from '../support/spool-process.ts'

const actions = ['pull', 'push', 'delete']
const everything = [{ users: ['*'], repositories: ['**'], actions }]

type Environment = Readonly<Record<string, string>>

function berthCommand(environment: Environment, ...words: readonly string[]) {
  return attempt([process.execPath, main, ...words], { environment })
}

async function dropFile(root: string, name: string): Promise<void> {
  await writeFile(join(root, `${name}~`), 'content')
  await rename(join(root, `${name}~`), join(root, name))
}

/** As the chart does it with `tls.enabled`: by variables of the container. */
test('a spooler verifies the certificate of its registry, and so does registry-pull beside it', async (t) => {
  const files = await ownDirectory(t)
  const authority = await createAuthority('spool')
  t.after(() => authority.remove())
  const pair = await authority.issue(['DNS:localhost'])
  const [certificate, key] = [join(files, 'tls.crt'), join(files, 'tls.key')]
  await writeFile(certificate, pair.certificate)
  await writeFile(key, pair.key)
  const tls = { certificate, key }
  const berth = await startBerth({ config: { upstreams: [], tls, auth: { access: everything } } })
  t.after(() => removeBerth(berth))
  const root = join(files, 'spool')
  await mkdir(root)
  const registry = `https://localhost:${new URL(berth.url).port}`
  const environment = {
    HOME: root,
    REGISTRY_SPOOLER_REGISTRY: registry,
    REGISTRY_SPOOLER_CERTIFICATE: authority.file,
  }
  const spool = await startSpool({ root, registry, environment })
  t.after(() => spool.kill())
  await dropFile(root, 'app')
  const waited = await berthCommand(environment, 'spool', 'wait', '-d', root, 'app')
  assert.match(waited.output, /^pushed localhost:\d+\/local\/app:latest@sha256:/)
  const back = join(root, 'back~')
  const pulled = await berthCommand(environment, 'pull', '--unpack', 'local/app', back)
  assert.equal(pulled.status, 0, pulled.output)
  assert.equal(await readFile(back, 'utf8'), 'content')

  const { REGISTRY_SPOOLER_CERTIFICATE: _, ...without } = environment
  const distrusting = await berthCommand(without, 'pull', '--unpack', 'local/app', back)
  assert.notEqual(distrusting.status, 0)
  assert.match(distrusting.output, /certificate/)
})

test('a spool for an upstream with push: true: its files get there through Berth', async (t: TestContext) => {
  const far = await startBerth({ config: { upstreams: [], auth: { access: everything } } })
  t.after(() => removeBerth(far))
  const near = await startBerth({
    config: {
      upstreams: [{ prefix: 'team', url: far.url, push: true }],
      auth: { access: [{ users: ['*'], repositories: ['team/**'], actions }] },
    },
  })
  t.after(() => removeBerth(near))
  const root = join(await ownDirectory(t), 'spool')
  await mkdir(root)
  const args = ['--prefix', 'team/local/open']
  const spool = await startSpool({ root, registry: new URL(near.url).host, args })
  t.after(() => spool.kill())
  await dropFile(root, 'app:1')
  const waited = await berthCommand({ HOME: root }, 'spool', 'wait', '-d', root, 'app:1')
  const [, digest = ''] = /^pushed \S+\/team\/local\/open\/app:1@(\S+)$/m.exec(waited.output) ?? []
  const response = await fetch(`${far.url}/v2/local/open/app/manifests/1`)
  assert.equal(response.headers.get('docker-content-digest'), digest, waited.output)

  await writeFile(join(root, 'app:1!'), '')
  const deleted = await berthCommand({ HOME: root }, 'spool', 'wait', '-d', root, 'app:1!')
  assert.match(deleted.output, /^deleted /, deleted.output)
  assert.equal((await fetch(`${far.url}/v2/local/open/app/manifests/1`)).status, 404)
})
