import assert from 'node:assert/strict'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { get as ask, createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createAuth } from '../../src/auth/auth.ts'
import { createApi, openSend } from '../../src/http/http.ts'
import { createMemory } from '../../src/memory/memory.ts'
import type { Content } from '../../src/oci/content.ts'
import type { Registry, Repository } from '../../src/registry/registry.ts'
import { ownDirectory } from '../support/directory.ts'
import { randomBlob } from '../support/images.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const size = 32 * 1024 * 1024

function notAsked(): never {
  throw new Error('not asked for here')
}

/** A registry whose one blob is a content that a test watches. */
function registryOf(content: Content): Registry {
  const repository: Repository = {
    manifest: notAsked,
    blob: async () => ({ content }),
    statBlob: notAsked,
    tags: notAsked,
    referrers: notAsked,
  }
  return {
    resolve: (name) => ({
      ...{ name, prefix: '', below: name, isHosted: false, repository, anonymous: true },
    }),
    catalog: notAsked,
    fillsInFlight: () => 0,
    close: async () => {},
  }
}

/** Serves a file of which so many bytes are there; tells how its content was closed. */
async function serve(t: TestContext, { sendfile, there }: { sendfile: boolean; there: number }) {
  const { digest } = randomBlob(10)
  const file = await open(join(await ownDirectory(t), 'file'), 'w+')
  await file.truncate(there)
  const closed = Promise.withResolvers<boolean>()
  const content: Content = {
    digest,
    size,
    next: () => ({ kind: 'file', fd: file.fd, end: size }),
    close: (broken = false) => closed.resolve(broken),
  }
  const { telemetry, metric } = watchedTelemetry()
  const auth = await createAuth({ anonymous: 'pull', access: [] })
  const server = createServer(
    await createApi({
      registry: registryOf(content),
      auth,
      telemetry,
      hosts: undefined,
      memory: createMemory(2 ** 29).inFlight,
      answerTime: 20_000,
      send: openSend(sendfile),
    }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    server.closeAllConnections()
    server.close()
    await file.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const url = `http://127.0.0.1:${address.port}/v2/a/blobs/${digest}`
  return { url, metric, closed: closed.promise }
}

for (const sendfile of [true, false]) {
  const how = sendfile ? 'by the kernel' : 'by reading'

  test(`a client that disconnects does not mark the file as broken when it is sent ${how}`, async (t) => {
    const { url, metric, closed } = await serve(t, { sendfile, there: size })
    const asking = ask(url, { agent: false }, (response) => {
      response.once('data', () => response.destroy())
    })
    asking.on('error', () => {})
    assert.equal(await closed, false)
    assert.equal(await metric('berth_http_short_responses_total'), 0)
  })

  test(`a client that resets its connection does not mark the file as broken when it is sent ${how}`, async (t) => {
    const { url, metric, closed } = await serve(t, { sendfile, there: size })
    const asking = ask(url, { agent: false }, (response) => {
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > 4_000_000) asking.socket?.resetAndDestroy()
      })
      response.on('error', () => {})
    })
    asking.on('error', () => {})
    assert.equal(await closed, false)
    assert.equal(await metric('berth_http_short_responses_total'), 0)
  })

  test(`a file that is too short is reported as broken when it is sent ${how}`, async (t) => {
    const { url, metric, closed } = await serve(t, { sendfile, there: size / 2 })
    const asking = ask(url, { agent: false }, (response) => {
      response.resume()
      response.on('error', () => {})
    })
    asking.on('error', () => {})
    assert.equal(await closed, true)
    assert.equal(await metric('berth_http_short_responses_total'), 1)
  })
}
