import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, suite, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { ownAddress } from '../support/child.ts'
import { get } from '../support/client.ts'
import { type Command, main, runCommand, startCommand } from '../support/command.ts'
import { configFile } from '../support/config-file.ts'
import { ownDirectory } from '../support/directory.ts'
import { temporaryFiles } from '../support/disk.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import {
  answerInTwo,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'

const name = 'project/repository/app'
let upstream: ScriptedUpstream

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
beforeEach(() => upstream.behave())

type Running = Command & { readonly url: string; readonly admin: string; readonly cache: string }

type RunOptions = {
  readonly config?: Readonly<Record<string, unknown>>
  readonly directory?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly preload?: string
}

/** `berth serve` with a configuration file, once it listens; killed at the end of the test. */
async function run(t: TestContext, options: RunOptions = {}): Promise<Running> {
  const directory = options.directory ?? (await ownDirectory(t))
  const file = join(directory, 'berth.yaml')
  const config = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    storage: { directory: join(directory, 'data') },
    upstreams: [{ url: upstream.url }],
    shutdown: { delay: 0, deadline: '30s' },
    ...options.config,
  }
  await writeFile(file, configFile(config))
  const command = startCommand(['serve', '--config', file], options)
  t.after(() => command.signal('SIGKILL'))
  return { ...command, ...(await addresses(command)), cache: join(directory, 'data', 'cache') }
}

async function addresses(command: Command) {
  const [line] = await command.wrote(/^\{.*"msg":"listening".*\}$/m)
  const { listen, admin } = JSON.parse(line) as Record<'listen' | 'admin', { port: number }[]>
  return {
    url: `http://127.0.0.1:${listen[0]?.port}`,
    admin: `http://127.0.0.1:${admin[0]?.port}`,
  }
}

/** A pull that has received a part of the blob, and waits for `goOn`. */
async function beginTransfer(berth: Running) {
  const blob = randomBlob(2_000_000)
  const gate = Promise.withResolvers<void>()
  upstream.putBlob(name, blob)
  upstream.on(
    `GET /v2/${name}/blobs/${blob.digest}`,
    answerInTwo(blob.bytes, 500_000, gate.promise),
  )
  const begun = Promise.withResolvers<void>()
  const url = `${berth.url}/v2/${name}/blobs/${blob.digest}`
  const reply = get(url, { onData: () => begun.resolve() })
  await begun.promise
  return { blob, reply, goOn: () => gate.resolve() }
}

function isReady(berth: Running): Promise<boolean> {
  return get(`${berth.admin}/readyz`).then(({ status }) => status === 200)
}

suite('berth serve that cannot start prints the reason and exits with 1', {
  concurrency: 4,
}, () => {
  test('an unreadable or invalid configuration', async (t) => {
    const directory = await ownDirectory(t)
    const texts: readonly (readonly [text: string, complaint: RegExp])[] = [
      ['listen: [', /^berth: berth\.yaml: .*line 1/],
      [
        'lissten: localhost:1',
        /\n {2}lissten: unknown field; `berth config table` lists all fields\n$/,
      ],
      [
        'listen: 0.0.0.0:0',
        /\n {2}listen: other machines can reach this address: set auth\.htpasswd/,
      ],
      [`upstreams: [{ url: "https://u:canary@x" }]`, /upstreams\[0\]\.url: expected no user/],
    ]
    for (const [text, complaint] of texts) {
      await writeFile(join(directory, 'berth.yaml'), text)
      const given = ['serve', '--config', 'berth.yaml']
      const { status, stdout, stderr } = await runCommand(given, { directory })
      assert.equal(status, 1, text)
      assert.match(stderr, complaint)
      assert.doesNotMatch(stderr, /canary|\n +at /)
      assert.equal(stdout, '')
    }
    const missing = await runCommand(['serve', '--config', 'nowhere.yaml'], { directory })
    assert.equal(missing.status, 1)
    assert.match(missing.stderr, /^berth: nowhere\.yaml: cannot read the file: .*\n$/)
  })

  test('unknown flags and arguments', async () => {
    for (const [args, complaint] of [
      [['serve', '--lissten', 'x'], /unknown option '--lissten'\n\(Did you mean --listen\?\)/],
      [['serve', 'now'], /too many arguments/],
      [['serve', '--sendfile=perhaps'], /sendfile: .*\(from --sendfile\)/],
    ] as const) {
      const { status, stderr } = await runCommand(args)
      assert.equal(status, 1)
      assert.match(stderr, complaint)
    }
  })
})

test('it is not ready while only the admin address listens', async (t) => {
  const berth = await startBerth({ config: {} })
  t.after(() => removeBerth(berth))
  assert.equal((await get(`${berth.admin}/readyz`)).status, 200)
  await berth.service.api.close(0)
  const { status, body } = await get(`${berth.admin}/readyz`)
  assert.equal(status, 503)
  assert.match(body.toString(), /"server":"the registry is not listening"/)
  assert.equal((await get(`${berth.admin}/livez`)).status, 200)
})

test('the output of --print-config is a configuration file that works', async (t) => {
  const directory = await ownDirectory(t)
  const flags = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-level', 'debug']
  const printed = await runCommand(['serve', '--print-config', ...flags], { directory })
  await writeFile(join(directory, 'berth.yaml'), printed.stdout)
  const command = startCommand(['serve', '--config', 'berth.yaml'], { directory })
  t.after(() => command.signal('SIGKILL'))
  const { url, admin } = await addresses(command)
  assert.equal((await get(`${url}/v2/`)).status, 200)
  assert.equal((await get(`${admin}/readyz`)).status, 200)
  const again = await runCommand(['serve', '--print-config', '--config', 'berth.yaml'], {
    directory,
  })
  assert.equal(again.stdout, printed.stdout)
})

test('npm start prints addresses, upstreams and a command to try', async (t) => {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { scripts } = JSON.parse(text) as { scripts: { start: string } }
  const [, flags = ''] = /main\.[jt]s serve(.*)$/.exec(scripts.start) ?? []
  const directory = await ownDirectory(t)
  const command = startCommand(
    ['serve', ...flags.trim().split(' '), '--listen', 'localhost:0', '--admin', '127.0.0.1:0'],
    { directory },
  )
  t.after(() => command.signal('SIGKILL'))
  const { url, admin } = await addresses(command)
  await eventually('the end of the banner', () => command.stderr().includes('  Try '))
  const port = new URL(url).port
  for (const line of [
    `  Listening on      http://127.0.0.1:${port}`,
    `  Proxies           localhost:${port}/…  from  https://us-central1-docker.pkg.dev`,
    `  Hosts             localhost:${port}/local/…`,
    '  Pushes            allowed to local/**',
    '  Storage           ./.berth',
    '  Users             none: no login is required',
    `  Metrics           ${admin}/metrics`,
    '  Configuration     the embedded default (print it with berth serve --print-config)',
    `  Try               skopeo inspect --tls-verify=false docker://localhost:${port}/docker.io/library/busybox:latest`,
  ])
    assert.ok(command.stderr().includes(`${line}`), `${line} is not in:\n${command.stderr()}`)
  assert.match(command.stderr(), /and \d+ more: .*docker\.io/)
  for (const line of command.stdout().trim().split('\n')) JSON.parse(line)
  assert.equal((await get(`${url}/v2/`)).status, 200)
})

for (const [what, settings, answer] of [
  ['without a rule', { auth: {} }, 'denied: no rule under auth.access allows them'],
  [
    'in read-only mode',
    { storage: { hosted: { readOnly: true } } },
    'denied: storage.hosted.readOnly is true',
  ],
] as const)
  test(`the banner says that pushes are denied ${what}`, async (t) => {
    const directory = await ownDirectory(t)
    const file = join(directory, 'berth.yaml')
    const config = { listen: 'localhost:0', admin: '127.0.0.1:0', hosted: [{ prefix: 'local' }] }
    await writeFile(file, JSON.stringify({ ...config, ...settings }))
    const command = startCommand(['serve', '--banner', '--config', file], { directory })
    t.after(() => command.signal('SIGKILL'))
    await addresses(command)
    await eventually('the end of the banner', () => command.stderr().includes('  Try '))
    assert.ok(command.stderr().includes(`  Pushes            ${answer}\n`), command.stderr())
  })

suite('with all upstreams unreachable', () => {
  test('it starts, is ready, reports the problems and serves cached images (K165, A112)', async (t) => {
    const directory = await ownDirectory(t)
    const gone = await startScriptedUpstream()
    const image = makeImage()
    gone.put(name, 'v1', image)
    const config = {
      upstreams: [
        { url: gone.url, tags: { ttl: 0 } },
        { prefix: 'refused', url: 'http://127.0.0.1:1' },
        { prefix: 'google', url: 'http://127.0.0.1:1', credentials: { type: 'google' } },
      ],
    }
    const environment = { GCE_METADATA_HOST: '127.0.0.1:1', HOME: directory }
    const first = await run(t, { directory, config, environment })
    await pullImage(first, name, image, 'v1')
    first.signal('SIGINT')
    assert.equal((await first.finished).status, 0)
    await gone.close()

    const berth = await run(t, { directory, config, environment })
    await pullImage(berth, name, image, 'v1')
    for (const prefix of ['refused', 'google'])
      for (let times = 0; times < 6; times += 1) {
        const { status } = await get(`${berth.url}/v2/${prefix}/a/b/manifests/t${times}`)
        assert.ok(status === 503 || status === 504, `${prefix}: ${status}`)
      }
    const { status, body } = await get(`${berth.admin}/readyz`)
    const { ready, parts } = JSON.parse(body.toString()) as {
      ready: boolean
      parts: Record<string, string>
    }
    assert.equal(status, 200)
    assert.equal(ready, true)
    assert.equal(parts['cache'], 'ok')
    assert.match(parts['upstream refused'] ?? '', /not contacting/)
    assert.notEqual(parts['upstream google'], 'ok')
    assert.equal((await get(`${berth.admin}/livez`)).status, 200)
  })
})

suite('berth serve on SIGTERM', () => {
  test('is not ready, accepts requests for the delay, finishes running ones, and exits with 0 (K161)', async (t) => {
    const berth = await run(t, { config: { shutdown: { delay: '3s', deadline: '30s' } } })
    const { blob, reply, goOn } = await beginTransfer(berth)
    assert.ok(await isReady(berth))
    berth.signal('SIGTERM')
    await eventually('it to be not ready', async () => !(await isReady(berth)))
    const meanwhile = await get(`${berth.url}/v2/`)
    assert.equal(meanwhile.status, 200)
    assert.equal(meanwhile.headers.connection, 'close')
    await eventually('it to close its port', () =>
      get(`${berth.url}/v2/`).then(
        () => false,
        () => true,
      ),
    )
    goOn()
    const { status, body, complete } = await reply
    assert.equal(status, 200)
    assert.ok(complete && body.equals(blob.bytes))
    const end = await berth.finished
    assert.deepEqual([end.status, end.signal, end.stderr], [0, null, ''])
    assert.match(end.stdout, /"signal":"SIGTERM","msg":"stopping"[\s\S]*"msg":"stopped"\}\n$/)
    assert.match(end.stdout, new RegExp(`"reference":"${blob.digest}".*"status":200`))
  })

  test('cuts off running requests at the deadline, exits with 0 and leaves no temporary files (K163)', async (t) => {
    const berth = await run(t, { config: { shutdown: { delay: 0, deadline: '300ms' } } })
    const { reply } = await beginTransfer(berth)
    berth.signal('SIGTERM')
    const { complete } = await reply
    assert.equal(complete, false)
    const { status } = await berth.finished
    assert.equal(status, 0)
    assert.deepEqual(await temporaryFiles(berth.cache), [])
  })

  test('exits immediately with 1 on a second signal, and the next start works (K163, INV-18)', async (t) => {
    const directory = await ownDirectory(t)
    const config = { shutdown: { delay: '5m', deadline: '5m' } }
    const berth = await run(t, { directory, config })
    const { blob, reply, goOn } = await beginTransfer(berth)
    berth.signal('SIGTERM')
    await berth.wrote(/"msg":"stopping"/)
    let status: number | null | undefined
    void berth.finished.then((end) => {
      status = end.status
    })
    // Two signals at once may count as one.
    await eventually('it to exit', () => {
      berth.signal('SIGTERM')
      return status !== undefined
    })
    assert.equal(status, 1)
    assert.equal((await reply).complete, false)
    goOn()
    const next = await run(t, { directory })
    assert.equal(await pullBlob(next, name, blob), 'miss')
    await eventually('temporary files to be removed', async () => {
      return (await temporaryFiles(next.cache)).length === 0
    })
  })

  test('exits on SIGINT without the delay', async (t) => {
    const berth = await run(t, { config: { shutdown: { delay: '5m', deadline: '5m' } } })
    await get(`${berth.url}/v2/`)
    berth.signal('SIGINT')
    assert.equal((await berth.finished).status, 0)
  })
})

suite('berth serve exits on SIGTERM', () => {
  test('although no process reads its log (point 53)', async (t) => {
    const directory = await ownDirectory(t)
    const file = join(directory, 'berth.yaml')
    const address = ownAddress()
    const config = {
      listen: `${address}:30026`,
      admin: `${address}:9026`,
      storage: { directory: join(directory, 'data') },
      shutdown: { delay: 0, deadline: '1s' },
    }
    await writeFile(file, configFile(config))
    const berth = spawn(process.execPath, [main, 'serve', '--config', file], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    t.after(() => berth.kill('SIGKILL'))
    const isUp = () => get(`http://${address}:30026/v2/`).then(Boolean, () => false)
    await eventually('it to start', isUp)
    // The pipe holds 64 KiB.
    for (let at = 0; at < 20; at += 1)
      await Promise.all(Array.from({ length: 50 }, () => get(`http://${address}:30026/v2/`)))
    const exited = once(berth, 'exit')
    berth.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  })

  test('although its htpasswd file has become a pipe (point 53)', async (t) => {
    const directory = await ownDirectory(t)
    const htpasswd = join(directory, 'htpasswd')
    const pair = `alice:${await hashPassword('p', 4)}\n`
    await writeFile(htpasswd, pair)
    const berth = await run(t, { directory, config: { auth: { htpasswd } } })
    await rm(htpasswd)
    await promisify(execFile)('mkfifo', [htpasswd])
    await berth.wrote(/is not a regular file/)
    const headers = { authorization: `Basic ${Buffer.from('alice:p').toString('base64')}` }
    assert.equal((await get(`${berth.url}/v2/`, { headers })).status, 200)
    berth.signal('SIGTERM')
    assert.equal((await berth.finished).status, 0)
  })

  test('and rejects an htpasswd file that is a pipe at the start (point 53)', async (t) => {
    const directory = await ownDirectory(t)
    const htpasswd = join(directory, 'htpasswd')
    await promisify(execFile)('mkfifo', [htpasswd])
    await assert.rejects(run(t, { directory, config: { auth: { htpasswd } } }), /regular file/)
  })
})

suite('an uncaught error', () => {
  for (const [where, code] of [
    ['a promise', 'Promise.reject(new TypeError("injected"))'],
    ['an exception', 'setImmediate(() => { throw new TypeError("injected") })'],
  ] as const)
    test(`in ${where}: is logged, running requests finish, and the process exits with 1 (X184)`, async (t) => {
      const preload = `data:text/javascript,process.on("SIGUSR2", () => { ${code} })`
      const berth = await run(t, {
        preload: encodeURI(preload),
        config: { shutdown: { delay: '5m', deadline: '30s' } },
      })
      const { blob, reply, goOn } = await beginTransfer(berth)
      berth.signal('SIGUSR2')
      await eventually('it to be not ready', async () => !(await isReady(berth)))
      goOn()
      const { body, complete } = await reply
      assert.ok(complete && body.equals(blob.bytes))
      const { status, stdout } = await berth.finished
      assert.equal(status, 1)
      assert.match(stdout, /"level":"fatal".*"message":"injected".*"msg":"uncaught error"/)
      assert.deepEqual(await temporaryFiles(berth.cache), [])
    })
})
