import assert from 'node:assert/strict'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Content, Piece } from '../../src/oci/content.ts'
import {
  createSharedContent,
  type SharedContent,
  tailSize,
} from '../../src/store/shared-content.ts'
import { readAll } from '../support/content.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Blob, randomBlob } from '../support/images.ts'

const size = 200_000
const tail = size - tailSize

type Options = Partial<Parameters<typeof createSharedContent>[0]>

/** A content over a file that has all bytes of a blob, none of which was told of yet. */
async function contentOf(t: TestContext, options: Options = {}) {
  const blob = randomBlob(size)
  const file = await open(join(await ownDirectory(t), 'file'), 'w+')
  t.after(() => file.close())
  await file.write(blob.bytes)
  const content = createSharedContent({ digest: blob.digest, size, file, ...options })
  return { blob, file, content }
}

/** What `next` says when everything that may happen without more bytes has happened. */
async function soon(piece: Piece | Promise<Piece>): Promise<Piece | 'waiting'> {
  const waiting = new Promise<'waiting'>((resolve) => setImmediate(() => resolve('waiting')))
  return Promise.race([piece, waiting])
}

function fileUntil({ fd }: FileHandle, end: number): Piece {
  return { kind: 'file', fd, end }
}

/** The bytes of a blob from a position on, as somebody else has them. */
function restOf({ digest, bytes }: Blob, from: number, onClose = () => {}): Content {
  return {
    digest,
    size: bytes.length,
    next: (position) => {
      assert.ok(position >= from, `asked for ${position}, which lies before ${from}`)
      return { kind: 'bytes', bytes: bytes.subarray(position) }
    },
    close: onClose,
  }
}

function end(content: SharedContent): void {
  content.finish(size)
  content.release()
}

test('bytes are returned as soon as they are written', async (t) => {
  const { file, content } = await contentOf(t)
  const reader = content.read()
  const first = reader.next(0)
  assert.equal(await soon(first), 'waiting')
  content.advance(1000)
  assert.deepEqual(await first, fileUntil(file, 1000))
  const second = reader.next(1000)
  assert.equal(await soon(second), 'waiting')
  content.advance(2000)
  assert.deepEqual(await second, fileUntil(file, 2000))
  reader.close()
  end(content)
})

test('the last bytes are held back until the whole blob is verified (INV-1)', async (t) => {
  const { file, content } = await contentOf(t)
  const reader = content.read()
  content.advance(size)
  assert.deepEqual(await reader.next(0), fileUntil(file, tail))
  const last = reader.next(tail)
  assert.equal(await soon(last), 'waiting')
  content.finish(size)
  assert.deepEqual(await last, fileUntil(file, size))
  reader.close()
  content.release()
})

test('a blob no longer than the held-back end is not returned before it is verified', async (t) => {
  const { file, content } = await contentOf(t, { size: tailSize })
  const reader = content.read()
  content.advance(tailSize)
  const all = reader.next(0)
  assert.equal(await soon(all), 'waiting')
  content.finish(tailSize)
  assert.deepEqual(await all, fileUntil(file, tailSize))
  reader.close()
  content.release()
})

test('a blob of unknown size is not returned before its end, and then has a size', async (t) => {
  const { blob, content } = await contentOf(t, { size: undefined })
  const early = content.read()
  content.advance(size)
  assert.equal(await soon(early.next(0)), 'waiting')
  content.finish(size)
  const reader = content.read()
  assert.equal(reader.size, size)
  assert.ok((await readAll(reader)).equals(blob.bytes))
  early.close()
  content.release()
})

test('a failure reaches all readers, waiting and new', async (t) => {
  const { content } = await contentOf(t)
  const [waiting, coming] = [content.read(), content.read()]
  const next = waiting.next(0)
  content.advance(1000)
  await next
  const failing = waiting.next(1000)
  content.fail(new Error('broken'))
  await assert.rejects(Promise.resolve(failing), /broken/)
  await assert.rejects(readAll(coming), /broken/)
  waiting.close()
  content.release()
})

test('each reader reads at its own pace', async (t) => {
  const { blob, content } = await contentOf(t)
  const slow = content.read()
  const fast = content.read()
  content.advance(size)
  content.finish(size)
  assert.ok((await readAll(fast)).equals(blob.bytes))
  assert.ok((await readAll(slow, { from: 150_000 })).equals(blob.bytes.subarray(150_000)))
  content.release()
})

test('the file is checked before the last bytes, and not before the others', async (t) => {
  const proofs: number[] = []
  const { content } = await contentOf(t, { assertUnchanged: () => void proofs.push(1) })
  const reader = content.read()
  content.finish(size)
  await reader.next(0)
  assert.equal(proofs.length, 0)
  await reader.next(tail)
  assert.equal(proofs.length, 1)
  reader.close()
  content.release()
})

test('the end may follow without another call if the file has its stamp, once all is verified', async (t) => {
  const stamp = { file: 'a file', changed: 1n }
  const { file, content } = await contentOf(t, { stamp: () => stamp })
  content.advance(size)
  const reader = content.read()
  assert.deepEqual(await reader.next(0), fileUntil(file, tail))
  content.finish(size)
  assert.deepEqual(await reader.next(1), { ...fileUntil(file, tail), rest: { end: size, stamp } })
  assert.deepEqual(await reader.next(tail), fileUntil(file, size))
  reader.close()
  content.release()
})

test('the end of a file that fails its check is not returned', async (t) => {
  const { content } = await contentOf(t, {
    assertUnchanged: () => {
      throw new Error('changed')
    },
  })
  content.finish(size)
  await assert.rejects(readAll(content.read()), /changed/)
  content.release()
})

for (const written of [0, 1000, tail - 1, tail, tail + 1, size - 1]) {
  test(`readers continue with the rest after ${written} bytes, wherever they are (C61)`, async (t) => {
    const { blob, content } = await contentOf(t)
    content.advance(written)
    const waiting = content.read()
    const position = Math.min(written, tail)
    const next = waiting.next(position)
    const coming = content.read()
    const beyond = content.read()
    await soon(next)
    content.handOver(() => restOf(blob, written))
    const piece = await next
    waiting.close()
    assert.equal(piece.kind, position < written ? 'file' : 'bytes')
    assert.ok((await readAll(coming)).equals(blob.bytes))
    const last = await readAll(beyond, { from: size - 1 })
    assert.ok(last.equals(blob.bytes.subarray(-1)))
    content.release()
  })
}

test('each reader has its own rest, and closes it', async (t) => {
  const { blob, content } = await contentOf(t)
  let closed = 0
  const count = () => {
    closed += 1
  }
  content.handOver(() => restOf(blob, 0, count))
  const [first, second, unread] = [content.read(), content.read(), content.read()]
  await first.next(0)
  await first.next(10)
  await second.next(0)
  first.close()
  assert.equal(closed, 1)
  second.close()
  assert.equal(closed, 2)
  unread.close()
  assert.equal(closed, 2)
  content.release()
})

test('the file is closed after the last release, and each callback is called once', async (t) => {
  const told: string[] = []
  const closed = Promise.withResolvers<void>()
  const { file, content } = await contentOf(t, {
    onIdle: () => void told.push('idle'),
    onClosed: () => {
      told.push('closed')
      closed.resolve()
    },
  })
  const [first, second] = [content.read(), content.read()]
  content.hold()
  content.release()
  content.release()
  first.close()
  first.close()
  assert.deepEqual(told, [])
  assert.ok(file.fd > 0)
  second.close()
  assert.deepEqual(told, ['idle'])
  await closed.promise
  assert.deepEqual(told, ['idle', 'closed'])
  assert.equal(file.fd, -1)
})

test('a file whose holders have all released it cannot be read', async (t) => {
  const { content } = await contentOf(t)
  end(content)
  assert.throws(() => content.read(), /the file is closed/)
})

test('a failed read is reported once', async (t) => {
  let broken = 0
  const onReadFailure = () => {
    broken += 1
  }
  const { content } = await contentOf(t, { onReadFailure })
  const [first, second] = [content.read(), content.read()]
  first.close(true)
  first.close(true)
  second.close()
  assert.equal(broken, 1)
  content.release()
})
