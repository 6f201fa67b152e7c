import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { addTo, containerdConfig, makeRoot, picture } from '../support/node-root.ts'
import { sumIn } from '../support/telemetry.ts'
import { startTrust } from '../support/trust.ts'
import { type Answering, sendJson, startWebServer } from '../support/web-server.ts'

const config = 'etc/containerd/config.toml'
const configured = { [config]: containerdConfig.set }
const file = 'etc/containerd/certs.d/localhost_30026_/hosts.toml'

suite('berth trust, once', { concurrency: true }, () => {
  test('writes, says what, and takes it away again', async (t) => {
    const root = await makeRoot(t, configured)
    const before = await picture(root)
    const done = await runCommand(['trust', '--root', root, '--once'])
    assert.equal(done.status, 0, done.stderr)
    assert.equal(done.stdout, `containerd: images can be pulled\n  /${file}\n`)
    const undone = await runCommand(['trust', '--root', root, '--remove'])
    assert.deepEqual([undone.status, undone.stdout], [0, 'Everything is as it was.\n'])
    assert.deepEqual(await picture(root), before)
  })

  test('fails where nothing can be pulled, with the lines that are missing', async (t) => {
    const root = await makeRoot(t, { [config]: containerdConfig.none })
    const { status, stdout } = await runCommand([
      ...['trust', '--root', root, '--once', '--mirror', 'docker.io'],
    ])
    assert.equal(status, 1)
    assert.match(stdout, /containerd: not served\n[\s\S]*add these lines/)
    assert.match(stdout, /config_path = "\/etc\/containerd\/certs\.d"/)
  })

  test('says what it could not put back', async (t) => {
    const root = await makeRoot(t, configured)
    await runCommand(['trust', '--root', root, '--once'])
    await writeFile(join(root, file), `${await readFile(join(root, file), 'utf8')}# mine\n`)
    const { status, stderr } = await runCommand(['trust', '--root', root, '--remove'])
    assert.equal(status, 1)
    assert.equal(stderr, `Left: /${file}: it was edited\n`)
  })

  test('refuses what cannot be meant, in one sentence', async () => {
    const refused: readonly (readonly [args: readonly string[], sentence: RegExp])[] = [
      [['--registry', '../x'], /--registry \.\.\/x: a host/],
      [['--mirror', 'a/b'], /--mirror a\/b: a host/],
      [['--server', 'http://h/path'], /--server http:\/\/h\/path: http or https/],
      [['--server', 'http://h', '--ca', '/x'], /--ca is for a --server with https/],
      [['--admin', '9027'], /--admin 9027: host and port/],
      [['--daemonset', 'a'], /--daemonset needs --namespace/],
      [['--daemonset', 'a', '--namespace', '../b'], /is no name of Kubernetes/],
      [['--daemonset', 'a', '--namespace', 'b'], /there is no \$KUBERNETES_SERVICE_HOST/],
    ]
    for (const [args, sentence] of refused) {
      const { status, stderr } = await runCommand(['trust', '--root', '/nowhere', ...args])
      assert.equal(status, 1, args.join(' '))
      assert.match(stderr, sentence)
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    }
  })
})

suite('berth trust, following the node', { concurrency: true }, () => {
  test('tells its state, and is ready once a runtime is served', async (t) => {
    const root = await makeRoot(t, {})
    const trust = await startTrust(['--root', root])
    await eventually('it has looked', async () =>
      /no container runtime/.test((await trust.readiness()).parts['node'] ?? ''),
    )
    assert.equal((await trust.readiness()).status, 503)
    await addTo(root, configured)
    await trust.settled()
    assert.deepEqual(await trust.readiness(), {
      status: 200,
      parts: { node: 'ok', containerd: 'ok' },
    })
    const { runtimes } = await trust.status()
    assert.equal(runtimes[0]?.files[0]?.path, `/${file}`)
    assert.ok(Date.parse(runtimes[0]?.files[0]?.since ?? '') > 0)
    const metrics = await trust.metrics()
    assert.equal(sumIn(metrics, 'berth_trust_runtime_served'), 1)
    assert.equal(sumIn(metrics, 'berth_trust_files'), 1)
    assert.equal(sumIn(metrics, 'berth_trust_changes_total', ['change="written"']), 1)

    await rm(join(root, file))
    await eventually('it is there again', () => exists(join(root, file)))
    assert.equal(await trust.stop(), 0)
    assert.ok(await exists(join(root, file)), 'a stop leaves the files')
    const changes = trust.command.stdout().match(/"change":"written","msg":"file changed"/g)
    assert.equal(changes?.length, 2, 'one line for each change')
  })

  test('an authority that is not there yet is waited for', async (t) => {
    const root = await makeRoot(t, configured)
    const authority = await createAuthority('late')
    t.after(() => authority.remove())
    const ca = join(root, 'ca.crt')
    const trust = await startTrust(['--root', root, '--ca', ca])
    await eventually('it misses the file', async () =>
      /ENOENT/.test((await trust.readiness()).parts['node'] ?? ''),
    )
    assert.equal(await exists(join(root, file)), false)
    await writeFile(ca, await readFile(authority.file))
    await trust.settled()
    assert.ok(await exists(join(root, file)))
    await trust.stop()
  })
})

suite('berth trust, at the end of its DaemonSet', { concurrency: true }, () => {
  const there = { status: 200, body: { metadata: { name: 'trust' } } }
  const deleted = {
    status: 200,
    body: { metadata: { name: 'trust', deletionTimestamp: '2026-01-01T00:00:00Z' } },
  }
  const answers = {
    gone: { status: 404, body: { kind: 'Status' } },
    forbidden: { status: 403, body: { kind: 'Status' } },
    unauthorized: { status: 401, body: { kind: 'Status' } },
    broken: { status: 500, body: {} },
  }

  for (const [name, first, last, isUndone] of [
    ['leaves the files while it lives', there, there, false],
    ['undoes all when it is gone', there, answers.gone, true],
    ['undoes all when it is being deleted', there, deleted, true],
    ['undoes all when the permission went with it', there, answers.forbidden, true],
    ['undoes all when the service account went with it', there, answers.unauthorized, true],
    [
      'leaves the files when it never had a permission',
      answers.forbidden,
      answers.forbidden,
      false,
    ],
    ['leaves the files when nobody can tell', there, answers.broken, false],
  ] as const)
    test(name, async (t) => {
      const root = await makeRoot(t, configured)
      const before = await picture(root)
      const api = await startApiServer(t, first)
      const trust = await startTrust(
        ['--root', root, '--namespace', 'berth', '--daemonset', 'trust', ...api.args],
        api.environment,
      )
      await trust.settled()
      await eventually('it has asked', () => api.requests.length > 0)
      api.answer(last)
      assert.equal(await trust.stop(), 0, trust.command.stdout())
      if (isUndone) assert.deepEqual(await picture(root), before)
      else assert.match(await readFile(join(root, file), 'utf8'), /owner=berth\/trust /)
      for (const { path, headers } of api.requests) {
        assert.equal(path, '/apis/apps/v1/namespaces/berth/daemonsets/trust')
        assert.equal(headers['authorization'], 'Bearer canary-of-the-pod')
      }
      assert.doesNotMatch(trust.command.stdout() + trust.command.stderr(), /canary/)
    })
})

/** What the API server of a cluster says of the DaemonSet, and what a pod knows of that server. */
async function startApiServer(t: TestContext, first: Answer) {
  const directory = await ownDirectory(t)
  const authority = await createAuthority('cluster')
  t.after(() => authority.remove())
  const answering =
    ({ status, body }: Answer): Answering =>
    (_, response) =>
      sendJson(response, body, status)
  const server = await startWebServer(answering(first), {
    tls: await authority.issue(['IP:127.0.0.1']),
  })
  t.after(server.close)
  await writeFile(join(directory, 'token'), 'canary-of-the-pod\n')
  await writeFile(join(directory, 'ca.crt'), await readFile(authority.file))
  return {
    requests: server.requests,
    args: ['--service-account', directory],
    environment: {
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: String(server.port),
    },
    answer: (answer: Answer) => server.answer(answering(answer)),
  }
}

type Answer = { readonly status: number; readonly body: object }
function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  )
}
