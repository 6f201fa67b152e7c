import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { loadKernel, type SocketDuplicate } from '../../src/http/kernel.ts'
import { ownDirectory } from '../support/directory.ts'
import { connectRaw, type RawConnection } from '../support/raw.ts'

const kernel = loadKernel()
const options = { skip: kernel === undefined && 'not on Linux' }
const mebibyte = 1024 * 1024

type Connected = {
  readonly socket: Socket
  readonly duplicate: SocketDuplicate
  readonly client: RawConnection
}

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
  const duplicate = kernel?.duplicate(descriptorOf(socket))
  assert.ok(duplicate)
  t.after(() => {
    duplicate.close()
    for (const each of [socket, client.socket]) each.destroy()
  })
  return { socket, duplicate, client }
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

/** Sends until the send buffer is full. */
async function fill({ duplicate }: Connected, file: number): Promise<void> {
  let sent: unknown
  do sent = await duplicate.sendfile(file, 0, 4 * mebibyte)
  while (sent !== 'would-block')
}

test('a file is sent from a position, and has an end', options, async (t) => {
  const { duplicate, client } = await connected(t)
  const file = await ownFile(t, Buffer.from('0123456789'))
  assert.equal(await duplicate.sendfile(file, 3, 4), 4)
  assert.equal(await duplicate.sendfile(file, 10, 4), 0)
  client.resume()
  await once(client.socket, 'data')
  assert.equal(client.rest().toString(), '3456')
})

test('a full send buffer has room again when the client reads', options, async (t) => {
  const connection = await connected(t)
  const file = await ownFile(t, Buffer.alloc(4 * mebibyte))
  await fill(connection, file)
  const writable = connection.duplicate.writable()
  connection.client.resume()
  await writable
  assert.ok(Number(await connection.duplicate.sendfile(file, 0, 1)) > 0)
})

test(
  'a wait ends when the connection is shut down, and nothing is sent any more',
  options,
  async (t) => {
    const connection = await connected(t)
    const file = await ownFile(t, Buffer.alloc(4 * mebibyte))
    await fill(connection, file)
    const writable = connection.duplicate.writable()
    connection.duplicate.shutDown()
    await writable
    await assert.rejects(connection.duplicate.sendfile(file, 0, 1), { name: 'ClientGone' })
  },
)

test('bytes do not go to what got the number of a closed socket', options, async (t) => {
  const { socket, duplicate, client } = await connected(t)
  const file = await ownFile(t, Buffer.from('bytes'))
  const path = join(await ownDirectory(t), 'other')
  const descriptor = descriptorOf(socket)
  socket.destroy()
  await once(socket, 'close')
  const other = openSync(path, 'w')
  t.after(() => closeSync(other))
  assert.equal(other, descriptor)
  assert.equal(await duplicate.sendfile(file, 0, 5), 5)
  assert.equal(readFileSync(path).length, 0)
  client.resume()
  await once(client.socket, 'data')
  assert.equal(client.rest().toString(), 'bytes')
})

test('a file that the kernel cannot send is refused', options, async (t) => {
  const { duplicate } = await connected(t)
  const directory = openSync(await ownDirectory(t), 'r')
  t.after(() => closeSync(directory))
  assert.equal(await duplicate.sendfile(directory, 0, 1), 'refused')
})
