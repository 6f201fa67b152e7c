import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { createSendfile } from '../../../src/http/sendfile/sendfile.ts'
import type { Rest } from '../../../src/oci/content.ts'
import { stampOf } from '../../../src/oci/file-stamp.ts'
import { eventually } from '../../support/berth.ts'
import { ownDirectory } from '../../support/directory.ts'
import { connectRaw, type RawConnection } from '../../support/raw.ts'

const sendfile = createSendfile()
const options = { skip: sendfile === undefined && 'not on Linux' }
/** More than the kernel keeps for a client that does not read. */
const large = 24_000_000

type Connected = { readonly socket: Socket; readonly client: RawConnection }

/** A connection whose client reads nothing until it is resumed. */
async function connected(t: TestContext): Promise<Connected> {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const accepted = once(server, 'connection')
  const client = await connectRaw(`http://127.0.0.1:${address.port}`, { paused: true })
  const [socket] = (await accepted) as [Socket]
  socket.on('error', () => {})
  t.after(() => {
    for (const each of [socket, client.socket]) each.destroy()
  })
  return { socket, client }
}

function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd
}

async function ownFile(t: TestContext, bytes: Buffer): Promise<number> {
  const path = join(await ownDirectory(t), 'file')
  writeFileSync(path, bytes)
  const file = openSync(path, 'r')
  t.after(() => closeSync(file))
  return file
}

function start({ socket }: Connected, file: number, position: number, until: number, rest?: Rest) {
  let counted = 0
  const onSent = (bytes: number) => {
    counted += bytes
  }
  const transfer = sendfile?.(descriptorOf(socket), { file, position, until, rest, onSent })
  assert.ok(transfer)
  return { ...transfer, counted: () => counted }
}

test('a range is sent, up to the end of the file', options, async (t) => {
  const connection = await connected(t)
  const file = await ownFile(t, Buffer.from('0123456789'))
  const range = start(connection, file, 3, 7)
  assert.deepEqual(await range.ended, { position: 7, cause: 'sent' })
  assert.equal(range.counted(), 4)
  const beyond = start(connection, file, 8, 100)
  assert.deepEqual(await beyond.ended, { position: 10, cause: 'sent' })
  connection.client.resume()
  await once(connection.client.socket, 'data')
  assert.equal(connection.client.rest().toString(), '345689')
})

for (const [what, until, end] of [
  ['a few bytes', 4, 8],
  ['much', large - 1000, large],
] as const) {
  test(`the rest of an unchanged file follows (${what})`, options, async (t) => {
    const connection = await connected(t)
    const file = await ownFile(t, Buffer.alloc(large, 'x'))
    const stamp = stampOf(fstatSync(file, { bigint: true }))
    connection.client.resume()
    const range = start(connection, file, 0, until, { end, stamp })
    assert.deepEqual(await range.ended, { position: end, cause: 'sent' })
    assert.equal(range.counted(), end)
    await eventually('all bytes arrive', () => connection.client.rest().length === end)
  })
}

test('of a file that is changed while it is sent, the rest does not follow', options, async (t) => {
  const connection = await connected(t)
  const path = join(await ownDirectory(t), 'file')
  writeFileSync(path, Buffer.alloc(large, 'x'))
  const file = openSync(path, 'r')
  t.after(() => closeSync(file))
  const stamp = stampOf(fstatSync(file, { bigint: true }))
  const range = start(connection, file, 0, large - 1000, { end: large, stamp })
  await setTimeout(100)
  writeFileSync(path, 'y', { flag: 'r+' })
  connection.client.resume()
  assert.deepEqual(await range.ended, { position: large - 1000, cause: 'sent' })
  await eventually(
    'the bytes before the rest arrive',
    () => connection.client.rest().length === large - 1000,
  )
})

test('a client that does not read holds up no other', options, async (t) => {
  const [paused, ...others] = await Promise.all(Array.from({ length: 4 }, () => connected(t)))
  assert.ok(paused)
  const file = await ownFile(t, Buffer.alloc(large))
  const waiting = start(paused, file, 0, large)
  for (const other of others) other.client.resume()
  const ended = others.map((other) => start(other, file, 0, large).ended)
  for (const { position } of await Promise.all(ended)) assert.equal(position, large)
  paused.client.resume()
  assert.equal((await waiting.ended).position, large)
})

test('a transfer ends when the connection is shut down', options, async (t) => {
  const connection = await connected(t)
  const file = await ownFile(t, Buffer.alloc(large))
  const transfer = start(connection, file, 0, large)
  transfer.shutDown()
  const { position, cause } = await transfer.ended
  assert.equal(cause, 'disconnected')
  assert.ok(position < large)
  assert.equal(transfer.counted(), position)
})

test('a transfer ends when the client resets the connection', options, async (t) => {
  const connection = await connected(t)
  const file = await ownFile(t, Buffer.alloc(large))
  const transfer = start(connection, file, 0, large)
  connection.client.reset()
  assert.equal((await transfer.ended).cause, 'disconnected')
})

test('bytes do not go to what got the number of a closed socket', options, async (t) => {
  const connection = await connected(t)
  const file = await ownFile(t, Buffer.alloc(large, 'x'))
  const path = join(await ownDirectory(t), 'other')
  const descriptor = descriptorOf(connection.socket)
  const transfer = start(connection, file, 0, large)
  connection.socket.destroy()
  await once(connection.socket, 'close')
  const other = openSync(path, 'w')
  t.after(() => closeSync(other))
  assert.equal(other, descriptor)
  connection.client.resume()
  assert.deepEqual(await transfer.ended, { position: large, cause: 'sent' })
  assert.equal(readFileSync(path).length, 0)
})

test(
  'the descriptor of a transfer is closed when it has ended, and only once',
  options,
  async (t) => {
    const connection = await connected(t)
    const path = join(await ownDirectory(t), 'next')
    const file = await ownFile(t, Buffer.from('bytes'))
    const next = openSync(path, 'w')
    closeSync(next)
    const transfer = start(connection, file, 0, 5)
    assert.ok(fstatSync(next).isSocket())
    await transfer.ended
    assert.throws(() => fstatSync(next), { code: 'EBADF' })
    // Another connection gets the number.
    transfer.shutDown()
  },
)

test('a file that the kernel cannot send is refused', options, async (t) => {
  const connection = await connected(t)
  const directory = openSync(await ownDirectory(t), 'r')
  t.after(() => closeSync(directory))
  const transfer = start(connection, directory, 0, 1)
  assert.deepEqual(await transfer.ended, { position: 0, cause: 'refused' })
})
