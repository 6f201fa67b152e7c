import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { RequestListener, ServerResponse } from 'node:http'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { type Listeners, listen } from '../../src/http/http.ts'
import { createSend } from '../../src/http/send.ts'
import { createSendfile, type Sendfile } from '../../src/http/sendfile/sendfile.ts'
import { type Authority, createAuthority, type KeyPair } from '../support/certificates.ts'
import { ownDirectory } from '../support/directory.ts'
import { connectRaw } from '../support/raw.ts'
import { type Part, type ScriptedContent, scriptedContent } from '../support/scripted-content.ts'

let authority: Authority
let pair: KeyPair
const sendfile = createSendfile()

before(async () => {
  authority = await createAuthority('send')
  pair = await authority.issue(['IP:127.0.0.1'])
})
after(() => authority.remove())

const refusing: Sendfile = (_socket, { position }) => ({
  ended: Promise.resolve({ position, cause: 'refused' }),
  shutDown: () => {},
})

const ways = [
  { name: 'by the kernel', sendfile, isPlain: true },
  { name: 'by a kernel that refuses sendfile', sendfile: refusing, isPlain: true },
  { name: 'by reading', sendfile: undefined, isPlain: true },
  { name: 'over TLS', sendfile, isPlain: false },
] as const

type Sending = {
  readonly content: ScriptedContent
  readonly first?: number
  readonly last?: number
}

/** How sending ended. */
type Ended = { readonly outcome: unknown; readonly sent: number; readonly response: ServerResponse }

for (const way of ways) {
  suite(way.name, { skip: way.name === 'by the kernel' && sendfile === undefined }, () => {
    let listeners: Listeners
    let url: string
    let patience: number | undefined
    /** What each request gets, by its path. */
    const contents = new Map<string, Sending>()
    const ended = new Map<string, (end: Ended) => void>()
    let onSent: ((response: ServerResponse) => void) | undefined

    const handler: RequestListener = async (request, response) => {
      const path = request.url ?? ''
      const sending = contents.get(path)
      if (sending === undefined) return void response.writeHead(404, { 'content-length': 0 }).end()
      const { content, first = 0, last = content.size - 1 } = sending
      const send = createSend(way.sendfile, patience)
      let sent = 0
      const settle = (outcome: unknown) => {
        content.close()
        ended.get(path)?.({ outcome, sent, response })
      }
      const piece = await content.next(first)
      response.writeHead(200, { 'content-length': last + 1 - first })
      response.flushHeaders()
      await send(
        { response, content, piece, parts: [{ first, last }], bufferSize: 64 * 1024 },
        (bytes) => {
          sent += bytes
          onSent?.(response)
        },
      ).then(settle, settle)
    }

    before(async () => {
      listeners = await listen({
        handler,
        hosts: ['127.0.0.1'],
        port: 0,
        maxConnections: 100,
        tls: way.isPlain ? undefined : pair,
      })
      const scheme = way.isPlain ? 'http' : 'https'
      url = `${scheme}://127.0.0.1:${listeners.addresses[0]?.port}`
    })
    after(() => listeners.close(0))

    const put = (path: string, sending: Sending): Promise<Ended> => {
      const end = Promise.withResolvers<Ended>()
      contents.set(path, sending)
      ended.set(path, end.resolve)
      return end.promise
    }
    const ask = (path: string) => [`GET ${path} HTTP/1.1`, 'Host: x'] as const

    test('any range of any content arrives unchanged, in whatever pieces it comes', async (t) => {
      const directory = await ownDirectory(t)
      const client = await connectRaw(url)
      const stretch = fc.tuple(fc.nat(400_000), fc.constantFrom('file' as const, 'bytes' as const))
      const script = fc.tuple(fc.array(stretch, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat())
      const arrives = fc.asyncProperty(script, async ([stretches, a, b]) => {
        let end = 0
        const parts: Part[] = stretches.map(([size, kind]) => {
          end += size + 1
          return { kind, end }
        })
        const bytes = randomBytes(end)
        const [first = 0, last = 0] = [a % end, b % end].toSorted((x, y) => x - y)
        const content = scriptedContent(bytes, { directory, parts })
        const done = put('/any', { content, first, last })
        client.ask(...ask('/any'))
        const { body } = await client.reply()
        assert.ok(body.equals(bytes.subarray(first, last + 1)))
        const { outcome, sent } = await done
        assert.equal(outcome, true)
        assert.equal(sent, last + 1 - first)
      })
      await fc.assert(arrives, { numRuns: 40 })
      client.socket.destroy()
    })

    test('pipelined requests get their responses in order', async (t) => {
      const directory = await ownDirectory(t)
      const bodies = [3_000_000, 1, 700_000].map((size) => randomBytes(size))
      for (const [at, bytes] of bodies.entries())
        put(`/ahead/${at}`, { content: scriptedContent(bytes, { directory }) })
      const client = await connectRaw(url)
      for (const at of bodies.keys()) client.ask(...ask(`/ahead/${at}`))
      client.ask(...ask('/none'))
      for (const bytes of bodies) assert.ok((await client.reply()).body.equals(bytes))
      assert.equal((await client.reply()).status, 404)
      client.socket.destroy()
    })

    test('a slow client gets everything, and others do not wait for it (L90)', async (t) => {
      const directory = await ownDirectory(t)
      const bytes = randomBytes(24_000_000)
      put('/slow', { content: scriptedContent(bytes, { directory }) })
      const slow = await connectRaw(url, { paused: true })
      slow.ask(...ask('/slow'))
      put('/fast', { content: scriptedContent(bytes.subarray(1), { directory }) })
      const fast = await connectRaw(url)
      fast.ask(...ask('/fast'))
      assert.ok((await fast.reply()).body.equals(bytes.subarray(1)))
      slow.resume()
      assert.ok((await slow.reply()).body.equals(bytes))
      for (const client of [slow, fast]) client.socket.destroy()
    })

    test('a client that disconnects ends the sending without an error', async (t) => {
      const directory = await ownDirectory(t)
      for (const leave of ['reset', 'close'] as const) {
        const bytes = randomBytes(24_000_000)
        const done = put('/left', { content: scriptedContent(bytes, { directory }) })
        const client = await connectRaw(url, { paused: true })
        client.ask(...ask('/left'))
        await sleep(50)
        if (leave === 'reset') client.reset()
        else client.socket.destroy()
        const { outcome, sent } = await done
        assert.equal(outcome, false, leave)
        assert.ok(sent < bytes.length)
      }
    })

    test('pipelined requests of a client that disconnects are ended too', async (t) => {
      const directory = await ownDirectory(t)
      const ends = ['/a', '/b', '/c'].map((path) => {
        const content = scriptedContent(randomBytes(24_000_000), { directory })
        return put(path, { content })
      })
      const client = await connectRaw(url, { paused: true })
      for (const path of ['/a', '/b', '/c']) client.ask(...ask(path))
      await sleep(50)
      client.reset()
      for (const { outcome } of await Promise.all(ends)) assert.equal(outcome, false)
    })

    test('a connection that ends between two pieces ends the sending', async (t) => {
      const directory = await ownDirectory(t)
      const bytes = randomBytes(8_000_000)
      const done = put('/cut', { content: scriptedContent(bytes, { directory }) })
      onSent = (response) => void response.socket?.destroy()
      t.after(() => {
        onSent = undefined
      })
      const client = await connectRaw(url)
      client.ask(...ask('/cut'))
      assert.equal((await done).outcome, false)
    })

    test('a client that disconnects before the first byte ends the sending', async (t) => {
      const directory = await ownDirectory(t)
      const isAsked = Promise.withResolvers<void>()
      const isThere = Promise.withResolvers<void>()
      const before = async () => {
        isAsked.resolve()
        await isThere.promise
      }
      const content = scriptedContent(randomBytes(100), { directory, before })
      const done = put('/gone', { content })
      const client = await connectRaw(url)
      client.ask(...ask('/gone'))
      await isAsked.promise
      client.reset()
      await client.closed
      await sleep(50)
      isThere.resolve()
      assert.equal((await done).outcome, false)
    })

    // Node closes TLS connections as a whole.
    if (way.isPlain)
      test('a client that closes its sending half gets the whole body', async (t) => {
        const directory = await ownDirectory(t)
        const bytes = randomBytes(24_000_000)
        put('/half', { content: scriptedContent(bytes, { directory }) })
        const client = await connectRaw(url)
        client.socket.end(['GET /half HTTP/1.1', 'Host: x', '', ''].join('\r\n'))
        assert.ok((await client.reply()).body.equals(bytes))
        await client.closed
      })

    test('a content that fails half-way cuts the response off', async (t) => {
      const directory = await ownDirectory(t)
      const bytes = randomBytes(300_000)
      const fault = new Error('the bytes are wrong')
      const before = (position: number) => {
        if (position > 0) throw fault
      }
      const parts: Part[] = [
        { kind: 'file', end: 100_000 },
        { kind: 'file', end: 300_000 },
      ]
      const done = put('/fails', { content: scriptedContent(bytes, { directory, parts, before }) })
      const client = await connectRaw(url)
      client.ask(...ask('/fails'))
      await client.closed
      assert.equal((await done).outcome, fault)
      assert.ok(client.rest().length < 101_000)
    })

    test('what may follow a piece is sent, up to the end of the range', async (t) => {
      const directory = await ownDirectory(t)
      const bytes = randomBytes(600_000)
      const parts: Part[] = [
        { kind: 'file', end: 300_000, restEnd: 600_000 },
        { kind: 'file', end: 600_000 },
      ]
      for (const last of [299_998, 300_000, 599_998, 599_999]) {
        const path = `/follows/${last}`
        const done = put(path, { content: scriptedContent(bytes, { directory, parts }), last })
        const client = await connectRaw(url)
        client.ask(...ask(path))
        const { body } = await client.reply()
        assert.ok(body.equals(bytes.subarray(0, last + 1)), path)
        assert.deepEqual(await done.then(({ outcome, sent }) => ({ outcome, sent })), {
          outcome: true,
          sent: last + 1,
        })
        client.socket.destroy()
      }
    })

    test('a file that is shorter than its content cuts the response off (T2)', async (t) => {
      const directory = await ownDirectory(t)
      const bytes = randomBytes(3_000_000)
      const onDisk = bytes.subarray(0, 2_000_000)
      const done = put('/short', { content: scriptedContent(bytes, { directory, onDisk }) })
      const client = await connectRaw(url)
      client.ask(...ask('/short'))
      await client.closed
      const { outcome } = await done
      assert.match(String(outcome), /it ends at byte 2000000/)
      assert.ok(client.rest().length < 2_001_000)
    })

    test('a slow content does not disconnect an idle client', async (t) => {
      const directory = await ownDirectory(t)
      const parts: Part[] = Array.from({ length: 10 }, (_, at) => ({
        kind: 'file',
        end: (at + 1) * 10,
      }))
      const content = scriptedContent(randomBytes(100), {
        directory,
        parts,
        before: () => sleep(150),
      })
      patience = 600
      t.after(() => {
        patience = undefined
      })
      const done = put('/trickle', { content })
      const client = await connectRaw(url)
      client.ask(...ask('/trickle'))
      assert.equal((await done).outcome, true)
      client.socket.destroy()
    })

    test('a client that reads nothing until the idle timeout is disconnected (X178)', async (t) => {
      const directory = await ownDirectory(t)
      patience = 300
      t.after(() => {
        patience = undefined
      })
      const done = put('/never', {
        content: scriptedContent(randomBytes(24_000_000), { directory }),
      })
      const client = await connectRaw(url, { paused: true })
      client.ask(...ask('/never'))
      assert.equal((await done).outcome, false)
      client.reset()
    })
  })
}
