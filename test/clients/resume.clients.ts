import assert from 'node:assert/strict'
import { access, mkdir, rename, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { suite, type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { openRegistryImage, pushImage } from '../../src/transfer/transfer.ts'
import { readImage } from '../support/archives.ts'
import { eventually } from '../support/berth.ts'
import { startBerthProcess } from '../support/berth-process.ts'
import { main } from '../support/command.ts'
import { startCuttingProxy } from '../support/cutting-proxy.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Login, startDockerRegistry } from '../support/docker-registry.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { memoryImage } from '../support/memory-image.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { attempt, tool } from '../support/programs.ts'
import { createRandom } from '../support/random.ts'
import { changingSource, openRemote } from '../support/remotes.ts'
import { startSpool } from '../support/spool-process.ts'
import { until } from '../support/until.ts'

type Registry = {
  readonly port: number
  readonly login: Login
  /** Kills it, and starts it again with the same volume. */
  readonly restart: () => Promise<Registry>
}

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const name = parseRepositoryName('local/app')
const tag = parseTag('one')
const { signal } = new AbortController()
const MiB = 1024 * 1024
/** What a broken connection may cost where uploads continue at a byte: what was in buffers. */
const lostPerCut = 16 * MiB

async function startBerth(t: TestContext, directory: string): Promise<Registry> {
  const berth = await startBerthProcess({
    upstreams: [],
    auth: { access: everything },
    storage: { directory },
  })
  t.after(berth.close)
  return {
    port: Number(berth.host.split(':')[1]),
    login: { user: '', password: '' },
    restart: async () => {
      await berth.close()
      return startBerth(t, directory)
    },
  }
}

function distribution(program: string) {
  const startIt = async (t: TestContext, directory: string): Promise<Registry> => {
    const registry = await startDockerRegistry({ program, volume: directory })
    t.after(registry.close)
    return {
      port: Number(new URL(registry.url).port),
      login: registry.login,
      restart: async () => {
        await registry.stop()
        return startIt(t, directory)
      },
    }
  }
  return startIt
}

const registries = [
  { title: 'Berth', start: startBerth, continues: true },
  { title: 'Distribution 3', start: distribution(tool('registry3')), continues: true },
  // It refuses a session in which a PATCH broke: such a blob begins again.
  { title: 'docker-registry 2.8', start: distribution('docker-registry'), continues: false },
] as const

async function behindProxy(t: TestContext, registry: Registry) {
  const proxy = await startCuttingProxy(registry.port)
  t.after(proxy.close)
  return { proxy, remote: open(t, `http://${proxy.host}`, registry.login) }
}

function open(t: TestContext, url: string, { user, password }: Login) {
  const source = changingSource({ kind: 'password', username: user, password })
  const remote = openRemote({ url, push: true, ...(user !== '' && { source }) })
  t.after(() => remote.close())
  return remote
}

for (const { title, start, continues } of registries)
  suite(title, { concurrency: false }, () => {
    test('a push whose connections break at random bytes ends well', async (t) => {
      const registry = await start(t, await ownDirectory(t))
      const { proxy, remote } = await behindProxy(t, registry)
      const random = createRandom(t)
      const sizes = [80 * MiB, 15 * MiB, 5 * MiB]
      const { source, image } = memoryImage(sizes)
      const total = sizes.reduce((sum, size) => sum + size, 0)
      const cuts = Array.from({ length: 4 }, () => random.integer(total))
      proxy.cutAt(...cuts)
      await pushImage({ source, image, remote, name, tags: [tag], signal })
      assert.equal(proxy.cuts(), cuts.length)
      t.diagnostic(`${proxy.received() - total} bytes more than ${total}`)
      const limit = continues ? total + cuts.length * lostPerCut : total * (1 + cuts.length)
      assert.ok(proxy.received() < limit, `${proxy.received()} bytes travelled`)
      const found = await openRegistryImage({ remote, name, reference: { tag } })
      for (const { digest, bytes } of (await readImage(found, image)).layers)
        assert.equal(digestOf(bytes), digest)
    })

    test('a push of 300 MB goes on when the registry is killed in the middle, and restarted', async (t) => {
      const directory = await ownDirectory(t)
      const registry = await start(t, join(directory, 'volume'))
      const proxy = await startCuttingProxy(registry.port)
      t.after(proxy.close)
      const layers = [randomBlob(100 * MiB), randomBlob(120 * MiB), randomBlob(80 * MiB)]
      const image = makeImage({ layers })
      await writeLayout(join(directory, 'layout'), tag, image)
      await writeFile(join(directory, 'password'), registry.login.password)
      const login = ['-u', registry.login.user, '--password-file', join(directory, 'password')]
      const pushing = attempt(
        [
          ...[process.execPath, main, 'image', 'push', join(directory, 'layout')],
          ...[`${proxy.host}/${name}:${tag}`, ...(registry.login.user === '' ? [] : login)],
        ],
        { environment: { HOME: directory } },
      )
      await eventually('half has travelled', () => proxy.received() > 150 * MiB)
      const next = await registry.restart()
      proxy.redirect(next.port)
      const { status, output } = await pushing
      assert.equal(status, 0, output)
      assert.match(output, /retrying in \d+ s/)
      const total = 300 * MiB
      t.diagnostic(`${proxy.received() - total} bytes more than ${total}`)
      // Three uploads broke.
      const limit = continues ? total + 3 * lostPerCut : 2 * total
      assert.ok(proxy.received() < limit, `${proxy.received()} bytes travelled`)
      const remote = open(t, `http://127.0.0.1:${next.port}`, registry.login)
      const found = await openRegistryImage({ remote, name, reference: { tag } })
      for (const { digest, bytes } of (await readImage(found, image.digest)).layers)
        assert.equal(digestOf(bytes), digest)
    })
  })

test('a spooled file whose upload breaks continues, also when the registry is restarted', async (t) => {
  const directory = await ownDirectory(t)
  const registry = await startBerth(t, join(directory, 'volume'))
  const proxy = await startCuttingProxy(registry.port)
  t.after(proxy.close)
  const root = join(directory, 'spool')
  await mkdir(root)
  const spool = await startSpool({ root, registry: proxy.host })
  t.after(spool.kill)
  const size = 60 * MiB
  const { bytes } = randomBlob(size)
  proxy.cutAt(10 * MiB, 40 * MiB)
  await writeFile(join(root, 'model.bin~'), bytes)
  await rename(join(root, 'model.bin~'), join(root, 'model.bin'))
  await eventually('a part has travelled', () => proxy.received() > 20 * MiB)
  const next = await registry.restart()
  proxy.redirect(next.port)
  await until('the file is pushed', () => access(join(root, 'done', 'model.bin.json')))
  assert.equal(proxy.cuts(), 2)
  assert.ok(proxy.received() < size + 3 * lostPerCut, `${proxy.received()} bytes travelled`)
  assert.match(spool.output(), /"attempt":"upload sha256:\w+ .*"retrying"/)
  const remote = open(t, `http://127.0.0.1:${next.port}`, registry.login)
  const pushed = await remote.resolve(parseRepositoryName('local/model.bin'), parseTag('latest'))
  assert.ok(pushed)
})

test('docker-registry 2.8 behind a gateway that collects bodies continues after the last part', async (t) => {
  const registry = await distribution('docker-registry')(t, await ownDirectory(t))
  const gateway = await startCollectingGateway(t, registry.port)
  const proxy = await startCuttingProxy(gateway)
  t.after(proxy.close)
  const remote = open(t, `http://${proxy.host}`, registry.login)
  const size = 140 * MiB
  const { source, image } = memoryImage([size])
  proxy.cutAt(100 * MiB)
  await pushImage({ source, image, remote, name, tags: [tag], signal })
  t.diagnostic(`${proxy.received() - size} bytes more than ${size}`)
  assert.ok(proxy.received() < size + 64 * MiB + lostPerCut, `${proxy.received()} bytes travelled`)
})

/** As nginx does by default: the registry gets a request when its body is complete. */
async function startCollectingGateway(t: TestContext, port: number): Promise<number> {
  const gateway = createServer(async (incoming, response) => {
    const { method, url, headers } = incoming
    const body = await buffer(incoming).catch(() => undefined)
    if (body === undefined) return
    const asked = request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    asked.on('error', () => response.destroy())
    asked.end(body)
  })
  const listening = Promise.withResolvers<void>()
  gateway.listen(0, '127.0.0.1', listening.resolve)
  await listening.promise
  t.after(() => gateway.closeAllConnections())
  t.after(() => gateway.close())
  const address = gateway.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
