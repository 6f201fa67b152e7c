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

suite('berth trust --once and --remove', { concurrency: 4 }, () => {
  test('writes files, lists them, and removes them again', async (t) => {
    const root = await makeRoot(t, configured)
    const before = await picture(root)
    const done = await runCommand(['trust', '--root', root, '--once'])
    assert.equal(done.status, 0, done.stderr)
    assert.equal(done.stdout, `containerd: can pull from Berth\n  /${file}\n`)
    const undone = await runCommand(['trust', '--root', root, '--remove'])
    assert.deepEqual([undone.status, undone.stdout], [0, 'All original files are restored.\n'])
    assert.deepEqual(await picture(root), before)
  })

  test('fails if no runtime can pull, and prints the missing lines', async (t) => {
    const root = await makeRoot(t, { [config]: containerdConfig.none })
    const { status, stdout } = await runCommand([
      ...['trust', '--root', root, '--once', '--mirror', 'docker.io'],
    ])
    assert.equal(status, 1)
    assert.match(stdout, /containerd: cannot pull from Berth\n[\s\S]*add these lines/)
    assert.match(stdout, /config_path = "\/etc\/containerd\/certs\.d"/)
  })

  test('lists files that it could not restore', async (t) => {
    const root = await makeRoot(t, configured)
    await runCommand(['trust', '--root', root, '--once'])
    await writeFile(join(root, file), `${await readFile(join(root, file), 'utf8')}# mine\n`)
    const { status, stderr } = await runCommand(['trust', '--root', root, '--remove'])
    assert.equal(status, 1)
    assert.equal(stderr, `Not restored: /${file}: the file was edited\n`)
  })

  test('rejects invalid options with a one-line error', async () => {
    const invalid: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [['--registry', '../x'], /--registry \.\.\/x is invalid: expected HOST/],
      [['--mirror', 'a/b'], /--mirror a\/b is invalid: expected HOST/],
      [
        ['--server', 'http://h/path'],
        /--server http:\/\/h\/path is invalid: expected http or https/,
      ],
      [['--server', 'http://h', '--ca', '/x'], /--ca requires a --server with https/],
      [['--admin', '9027'], /--admin 9027 is invalid: expected HOST:PORT/],
      [['--daemonset', 'a'], /--daemonset requires --namespace/],
      [['--daemonset', 'a', '--namespace', '../b'], /is not a valid Kubernetes name/],
      [['--daemonset', 'a', '--namespace', 'b'], /\$KUBERNETES_SERVICE_HOST is not set/],
    ]
    for (const [args, message] of invalid) {
      const { status, stderr } = await runCommand(['trust', '--root', '/nowhere', ...args])
      assert.equal(status, 1, args.join(' '))
      assert.match(stderr, message)
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    }
  })
})

suite('berth trust', { concurrency: 4 }, () => {
  test('reports its state, and is ready once a runtime can pull', async (t) => {
    const root = await makeRoot(t, {})
    const trust = await startTrust(['--root', root])
    await eventually('the first check', async () =>
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
    const gauges = /^berth_(?:cache_limit_bytes|index_complete|hosted_writable|in_use_known) /m
    assert.doesNotMatch(metrics, gauges, 'a zero in a gauge of the server would raise an alert')

    await rm(join(root, file))
    await eventually('the file to be written again', () => exists(join(root, file)))
    assert.equal(await trust.stop(), 0)
    assert.ok(await exists(join(root, file)), 'the files remain after a stop')
    const changes = trust.command.stdout().match(/"change":"written","msg":"file changed"/g)
    assert.equal(changes?.length, 2, 'one line for each change')
  })

  test('waits for a CA file that does not exist yet', async (t) => {
    const root = await makeRoot(t, configured)
    const authority = await createAuthority('late')
    t.after(() => authority.remove())
    const ca = join(root, 'ca.crt')
    const trust = await startTrust(['--root', root, '--ca', ca])
    await eventually('the missing file to be reported', async () =>
      /ENOENT/.test((await trust.readiness()).parts['node'] ?? ''),
    )
    assert.equal(await exists(join(root, file)), false)
    await writeFile(ca, await readFile(authority.file))
    await trust.settled()
    assert.ok(await exists(join(root, file)))
    await trust.stop()
  })
})

suite('berth trust with --daemonset, on exit', { concurrency: 4 }, () => {
  const existing = { status: 200, body: { metadata: { name: 'trust' } } }
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

  for (const [name, first, last, isRestored] of [
    ['keeps the files while the DaemonSet exists', existing, existing, false],
    ['restores the node when the DaemonSet is gone', existing, answers.gone, true],
    ['restores the node when the DaemonSet is being deleted', existing, deleted, true],
    [
      'restores the node when the permission was deleted with it',
      existing,
      answers.forbidden,
      true,
    ],
    [
      'restores the node when the service account was deleted with it',
      existing,
      answers.unauthorized,
      true,
    ],
    ['keeps the files if it never had the permission', answers.forbidden, answers.forbidden, false],
    ['keeps the files if the API server fails', existing, answers.broken, false],
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
      await eventually('the first request', () => api.requests.length > 0)
      api.answer(last)
      assert.equal(await trust.stop(), 0, trust.command.stdout())
      if (isRestored) assert.deepEqual(await picture(root), before)
      else assert.match(await readFile(join(root, file), 'utf8'), /owner=berth\/trust /)
      for (const { path, headers } of api.requests) {
        assert.equal(path, '/apis/apps/v1/namespaces/berth/daemonsets/trust')
        assert.equal(headers['authorization'], 'Bearer canary-of-the-pod')
      }
      assert.doesNotMatch(trust.command.stdout() + trust.command.stderr(), /canary/)
    })
})

/** A fake API server that answers for the DaemonSet, and a pod's files and variables for it. */
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
