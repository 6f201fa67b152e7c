import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { request } from 'undici'
import { createOutbound, type OutboundOptions } from '../../src/outbound/outbound.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { useForwardClock } from '../support/clock.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'
import { sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

/** Longer than what was read from a file counts, in milliseconds. */
const later = 10_000
let former: Authority
let next: Authority
let formerServer: WebServer
let nextServer: WebServer

const serve = async (authority: Authority) =>
  startWebServer((_seen, response) => sendJson(response, {}), {
    tls: await authority.issue(['IP:127.0.0.1', 'DNS:registry.example.com']),
  })

before(async () => {
  former = await createAuthority('the former')
  next = await createAuthority('the next')
  formerServer = await serve(former)
  nextServer = await serve(next)
})
after(() => Promise.all([formerServer, nextServer].map((server) => server.close())))
after(() => Promise.all([former, next].map((authority) => authority.remove())))

type Trust = { readonly file?: string; readonly options?: OutboundOptions }

/** Statuses, or codes of errors, each on a new connection. */
function open(t: TestContext, { file, options }: Trust) {
  const opened = createOutbound(options).open({ timeout: 5000, certificateAuthorities: file })
  t.after(() => opened.destroy())
  return async (...urls: readonly string[]) => {
    const results: unknown[] = []
    for (const url of urls) {
      const headers = { connection: 'close' }
      const answer = request(url, { dispatcher: opened.dispatcher, headers })
      results.push(await answer.then(read, ({ code }: NodeJS.ErrnoException) => code))
    }
    return results
  }
}

async function read({ statusCode, body }: Awaited<ReturnType<typeof request>>): Promise<number> {
  await body.dump()
  return statusCode
}

async function fileWith(t: TestContext, authority: Authority): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-authorities-'))
  t.after(() => rm(directory, { recursive: true }))
  const file = join(directory, 'ca.crt')
  await copyFile(authority.file, file)
  return file
}

const unknown = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'

for (const what of ['certificateAuthorities', 'SSL_CERT_FILE'])
  test(`an authority that is renewed in the file of ${what} is trusted without a restart, and the former one no longer`, async (t) => {
    const file = await fileWith(t, former)
    const clock = useForwardClock(t)
    const ask = open(
      t,
      what === 'SSL_CERT_FILE' ? { options: { certificates: { file } } } : { file },
    )
    const urls = [formerServer.url, nextServer.url]
    assert.deepEqual(await ask(...urls), [200, unknown])
    await copyFile(next.file, file)
    clock.advance(later)
    assert.deepEqual(await ask(...urls), [unknown, 200])
  })

test('a file of authorities that is removed, emptied or has a malformed certificate leaves what it had', async (t) => {
  const file = await fileWith(t, former)
  const clock = useForwardClock(t)
  const ask = open(t, { file })
  assert.deepEqual(await ask(formerServer.url), [200])
  await writeFile(file, '')
  clock.advance(later)
  assert.deepEqual(await ask(formerServer.url), [200])
  const malformed = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  await writeFile(file, (await readFile(next.file, 'utf8')) + malformed)
  clock.advance(later)
  assert.deepEqual(await ask(formerServer.url), [200])
  await rm(file)
  clock.advance(later)
  assert.deepEqual(await ask(formerServer.url), [200])
  await copyFile(next.file, file)
  clock.advance(later)
  assert.deepEqual(await ask(formerServer.url, nextServer.url), [unknown, 200])
})

test('a renewed authority is trusted behind a forward proxy, and what is under way there ends', async (t) => {
  const file = await fileWith(t, former)
  const clock = useForwardClock(t)
  let target = formerServer
  const proxy = await startConnectProxy({ route: () => ({ host: '127.0.0.1', port: target.port }) })
  t.after(() => proxy.close())
  const ask = open(t, { file, options: { proxy: { https: proxy.url } } })
  const url = 'https://registry.example.com/v2/'
  assert.deepEqual(await ask(url), [200])

  const started = Promise.withResolvers<() => void>()
  formerServer.answer((_seen, response) => {
    response.write('{')
    started.resolve(() => response.end('}'))
  })
  const under = ask(url)
  const end = await started.promise
  await copyFile(next.file, file)
  target = nextServer
  clock.advance(later)
  assert.deepEqual(await ask(url), [200])
  end()
  assert.deepEqual(await under, [200])
  formerServer.answer((_seen, response) => sendJson(response, {}))
})
