import assert from 'node:assert/strict'
import { chmod, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { main, runCommand, startCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { type ExecApiServer, startExecApiServer } from '../support/exec-api-server.ts'
import { makeImage } from '../support/images.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import { tarFile } from '../support/tar-file.ts'
import { until } from '../support/until.ts'

type ApiOptions = Partial<Parameters<typeof startExecApiServer>[0]> & {
  readonly tls?: object
  readonly upstreams?: readonly object[]
}

/** `berth serve`, and an API server that leads to it. */
async function setScene(t: TestContext, { tls, upstreams = [], ...options }: ApiOptions = {}) {
  const directory = await ownDirectory(t)
  const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
  const berth = await startBerth({
    config: {
      hosted: [{ prefix: 'local', anonymous: 'pull' }],
      upstreams,
      auth: { anonymous: 'rules', access },
      ...(tls && { tls }),
    },
  })
  t.after(() => removeBerth(berth))
  const socket = join(berth.cache, 'berth-pipe.sock')
  const program = [process.execPath, main, 'pipe', '--socket', socket]
  const port = Number(new URL(berth.url).port)
  const api = await startExecApiServer({ program, port, ...options })
  t.after(api.close)
  const kubeconfig = await writeKubeconfig(directory, api)
  const plugin = join(directory, 'kubectl-berth')
  await symlink(main, plugin)
  const environment = { HOME: directory, KUBECONFIG: kubeconfig }
  const command = (...args: readonly string[]) =>
    runCommand(args, { environment, file: plugin, directory })
  const succeed = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await command(...args)
    assert.equal(status, 0, stderr)
    return stdout
  }
  return { directory, api, environment, plugin, berth: command, succeed, kubeconfig }
}

async function writeKubeconfig(
  directory: string,
  { url }: Pick<ExecApiServer, 'url'>,
  user: object = { token: 'user-token' },
): Promise<string> {
  const file = join(directory, 'kubeconfig')
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: url } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'other' } }],
    'current-context': 'here',
  })
  await writeFile(file, text)
  return file
}

const archive = (name: string) => tarFile(dockerItems([dockerImage(name)]))

test('kubectl berth push prints the image of pods, and list finds it', async (t) => {
  const { directory, succeed } = await setScene(t)
  await writeFile(join(directory, 'app.tar'), archive('app:1'))
  const pushed = await succeed('push', 'app.tar', 'app:1.2', '--quiet')
  assert.match(pushed, /^image: localhost:30026\/local\/app:1\.2$/m)
  assert.match(await succeed('list', 'app'), /^1\.2$/m)
  assert.match(await succeed('list'), /^local\/app$/m)
})

test('an image that is pulled is pushed again as the same', async (t) => {
  const { directory, succeed } = await setScene(t)
  await writeFile(join(directory, 'app.tar'), archive('app:1'))
  const first = JSON.parse(await succeed('push', 'app.tar', 'app', '-o', 'json'))
  await succeed('pull', 'app', 'back.tar')
  const again = JSON.parse(await succeed('push', 'back.tar', 'app:2', '-o', 'json'))
  assert.deepEqual(again, { ...first, tags: ['2'], sent: 0, present: first.sent })
})

test('kubectl berth copies, inspects and deletes through the API server', async (t) => {
  const { directory, succeed, berth } = await setScene(t)
  await writeFile(join(directory, 'app.tar'), archive('app:1'))
  await succeed('push', 'app.tar', 'app:1.2', '--quiet')
  await succeed('copy', 'localhost:1/local/app:1.2', 'app', '--quiet')
  assert.match(await succeed('inspect', 'app'), /sha256:/)
  await succeed('delete', 'app:1.2')
  assert.match((await berth('inspect', 'app:1.2')).stderr, /^berth: .*localhost:30026/)
})

test('images of upstreams are prefetched and pinned under their names in pods', async (t) => {
  const upstream = await startScriptedUpstream()
  t.after(upstream.close)
  upstream.put('library/app', 'latest', makeImage())
  const { succeed, berth } = await setScene(t, {
    upstreams: [{ prefix: 'docker.io', url: upstream.url }],
  })
  assert.match(
    await succeed('prefetch', 'docker.io/library/app'),
    /^localhost:30026\/docker.io\/library\/app: sha256:\w+ is in the cache: 3 of 3 blobs/,
  )
  const [pinned] = JSON.parse(
    await succeed('pin', 'localhost:30026/docker.io/library/app', '-o', 'json'),
  ).results
  assert.equal(pinned.stored, pinned.size)
  const { status, stdout } = await berth('evict', 'docker.io/library/app')
  assert.deepEqual([status, stdout.includes('unpin it first')], [1, true])
})

test('any file is pushed under its own name, and comes back; all images are deleted', async (t) => {
  const { directory, succeed, berth } = await setScene(t)
  await writeFile(join(directory, 'hello.txt'), 'hello world\n')
  const pushed = await succeed('push', 'hello.txt', '--quiet')
  assert.match(pushed, /^image: localhost:30026\/local\/hello\.txt$/m)
  assert.equal(await succeed('pull', 'hello.txt', '--unpack', '--quiet'), 'hello world\n')
  await succeed('push', 'hello.txt', 'catalog/hello', '--quiet')
  await succeed('pull', 'catalog/hello', 'back.txt', '--unpack', '--quiet')
  assert.equal(await readFile(join(directory, 'back.txt'), 'utf8'), 'hello world\n')

  assert.match(
    (await berth('delete', '--all')).stderr,
    /2 images would be; confirm that with --yes/,
  )
  await succeed('delete', '--all', '--yes', 'catalog/hello')
  assert.match(await succeed('list', 'hello.txt'), /^latest$/m)
  await succeed('delete', '--all', '--yes')
  assert.equal(await succeed('delete', '--all', '--yes'), 'there are no images\n')
})

test('what should be an archive and is none is not pushed as a file, unless that is said', async (t) => {
  const { directory, berth, succeed } = await setScene(t)
  await writeFile(join(directory, 'broken.tar'), 'no archive')
  assert.match((await berth('push', 'broken.tar', 'broken')).stderr, /has no end mark/)
  await succeed('push', '--file', 'broken.tar', 'broken', '--quiet')
  await writeFile(join(directory, 'cut'), archive('app:1').subarray(0, 700))
  assert.match((await berth('push', 'cut', 'cut')).stderr, /cannot read cut: /)
  await writeFile(join(directory, 'Hello'), '')
  assert.match((await berth('push', 'Hello')).stderr, /Hello is no name of a repository/)
})

test('berth pull with an option of a cluster is kubectl berth pull', async (t) => {
  const { directory, succeed, environment, kubeconfig } = await setScene(t)
  await writeFile(join(directory, 'app.tar'), archive('app:1'))
  await succeed('push', 'app.tar', 'app', '--quiet')
  const own = { environment: { HOME: directory }, directory }
  const args = ['pull', 'app', 'a.tar', '--kubeconfig', kubeconfig]
  assert.equal((await runCommand(args, own)).status, 0)
  const direct = await runCommand(['pull', 'localhost:1/app:1', 'b.tar'], { environment })
  assert.match(direct.stderr, /localhost:1/)
})

test('connect serves a port, over v4 too, and survives cuts', async (t) => {
  const { api, plugin, environment } = await setScene(t, { protocols: ['v4.channel.k8s.io'] })
  const port = String(20_000 + (process.pid % 20_000))
  const connect = startCommand(['connect', '--port', port, '-v', '-n', 'registry'], {
    environment,
    file: plugin,
  })
  t.after(() => connect.signal('SIGKILL'))
  await connect.wrote(
    /is the registry of pod berth-0 in namespace registry of context here by exec/,
  )
  const ask = async () => (await fetch(`http://localhost:${port}/v2/`)).status
  assert.equal(await ask(), 200)
  for (let cuts = 0; cuts < 3; cuts += 1) {
    api.cut()
    assert.equal(await ask(), 200)
  }
  await until('it says so', () => assert.match(connect.stderr(), /connected again\n/))
  connect.signal('SIGINT')
  assert.equal((await connect.finished).status, 0)
  await until('no pipe is left', () =>
    assert.ok(api.started.every((one) => one.exitCode !== null || one.signalCode !== null)),
  )
})

test('where exec is forbidden it forwards a port, and says so', async (t) => {
  const { directory, berth } = await setScene(t, { forbidden: ['/exec'] })
  await writeFile(join(directory, 'app.tar'), archive('app:1'))
  const { status, stderr, stdout } = await berth('push', 'app.tar', 'app', '-v', '-o', 'json')
  assert.equal(status, 0, stderr)
  assert.match(stderr, /by port-forward, because exec is forbidden/)
  assert.match(JSON.parse(stdout).image, /local\/app@/)
})

for (const forbidden of [[], ['/exec']])
  test(`a pod that is not ready is waited for, and a port-forward goes on with the next pod: ${forbidden}`, async (t) => {
    const list = (name: string, status: 'True' | 'False') => ({
      items: [
        {
          metadata: { name, namespace: 'registry' },
          spec: { containers: [{ name: 'berth' }] },
          status: { conditions: [{ type: 'Ready', status }] },
        },
      ],
    })
    const objects = { '/api/v1/pods': list('berth-1', 'False') }
    const { environment, plugin, api } = await setScene(t, { objects, forbidden })
    const port = String(20_000 + ((process.pid + 7) % 20_000))
    const connect = startCommand(['connect', '--port', port], { environment, file: plugin })
    t.after(() => connect.signal('SIGKILL'))
    await until('it says so', () =>
      assert.match(connect.stderr(), /^waiting for up to 120 s: no pod of the registry is ready;/),
    )
    objects['/api/v1/pods'] = list('berth-1', 'True')
    await connect.wrote(/is the registry of pod berth-1/)
    const ask = async () => {
      const headers = { connection: 'close' }
      return (await fetch(`http://localhost:${port}/v2/`, { headers })).status
    }
    assert.equal(await ask(), 200)
    objects['/api/v1/pods'] = list('berth-2', 'True')
    if (forbidden.length === 0) api.cut()
    assert.equal(await ask(), 200)
    const how = forbidden.length === 0 ? 'exec' : 'portforward'
    assert.ok(api.requests.some((path) => path.includes(`/pods/berth-2/${how}`)))
  })

test('a registry with TLS is reached through exec and through a port, verified', async (t) => {
  const authority = await createAuthority('cluster')
  t.after(authority.remove)
  const pair = await authority.issue(['DNS:localhost'])
  const directory = await ownDirectory(t)
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  await writeFile(tls.certificate, pair.certificate)
  await writeFile(tls.key, pair.key)
  for (const forbidden of [[], ['/exec']]) {
    const { directory: own, succeed, berth } = await setScene(t, { tls, forbidden })
    await writeFile(join(own, 'app.tar'), archive('app:1'))
    await succeed('push', 'app.tar', 'app', '--certificate', authority.file, '-o', 'json')
    assert.match((await berth('list', 'app')).stderr, /certificate/)
  }
})

test('failures say what is missing', async (t) => {
  const denied = await setScene(t, { forbidden: ['/exec', '/portforward'] })
  assert.match(
    (await denied.berth('list')).stderr,
    /the API server answered 403 Reason403.*pods\/exec/,
  )

  const missing = await setScene(t, { program: ['/nowhere/berth'] })
  assert.match(
    (await missing.berth('list')).stderr,
    /container berth of pod berth-0 in namespace registry has no program berth/,
  )
  const other = await missing.berth('list', '-n', 'elsewhere')
  assert.match(other.stderr, /found no registry \(pods with app\.kubernetes\.io\/name=berth/)
  assert.match((await missing.berth('list', '--context', 'x')).stderr, /no context x; it has: here/)
  const environment = { HOME: missing.directory }
  const { stderr } = await runCommand(['list'], { environment })
  assert.match(stderr, /found no kubeconfig.* The commands of berth image need none/)
  await writeKubeconfig(missing.directory, missing.api, { token: 'wrong' })
  assert.match((await missing.berth('list')).stderr, /401.*log in to the cluster again/)
  await writeKubeconfig(missing.directory, { url: 'http://127.0.0.1:1' })
  assert.match((await missing.berth('list')).stderr, /cannot reach 127\.0\.0\.1:1 of context here/)
})

test('a kubeconfig may be a list of files, and its credentials come from an exec plugin', async (t) => {
  const { directory, api, plugin } = await setScene(t)
  const program = join(directory, 'login')
  await writeFile(
    program,
    '#!/bin/sh\ncase "$KUBERNETES_EXEC_INFO" in *v1beta1*) ;; *) exit 1 ;; esac\necho \'{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"user-token"}}\'\n',
  )
  await chmod(program, 0o755)
  const part = (name: string, content: object) => {
    const file = join(directory, name)
    return writeFile(file, stringify({ apiVersion: 'v1', kind: 'Config', ...content })).then(
      () => file,
    )
  }
  const apiVersion = 'client.authentication.k8s.io/v1beta1'
  const exec = { apiVersion, command: program, interactiveMode: 'Never' }
  const files = [
    join(directory, 'missing'),
    await part('first', {
      users: [{ name: 'u', user: { exec } }],
      contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    }),
    await part('second', {
      clusters: [{ name: 'c', cluster: { server: api.url } }],
      users: [{ name: 'u', user: { token: 'never used' } }],
      'current-context': 'a',
    }),
  ]
  const environment = { HOME: directory, KUBECONFIG: files.join(':') }
  const { status, stderr } = await runCommand(['list'], { environment, file: plugin })
  assert.equal(status, 0, stderr)
})
