import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setImmediate as tick } from 'node:timers/promises'
import { createFrameParser, readNumber } from '../../src/tunnel/frame.ts'
import { createTunnelStream } from '../../src/tunnel/tunnel-stream.ts'
import { baseWindow } from '../../src/tunnel/windows.ts'

/** A stream alone, and the credit that it has granted beyond its first window. */
function openStream(window: number) {
  let credit = 0
  const parse = createFrameParser((frame) => {
    if (frame.type === 'credit') credit += readNumber(frame)
  })
  const stream = createTunnelStream({
    id: 1,
    send: parse,
    onReady: () => {},
    window: () => window,
    onClose: () => {},
  })
  stream.start()
  const receive = (payload: Buffer) => stream.receive({ type: 'data', stream: 1, parts: [payload] })
  return { stream, receive, credit: () => credit }
}

// A push stopped after 32 KiB while other streams left this one hardly more than its base.
test('credit is granted for what a paused reader takes at once', async () => {
  for (const window of [baseWindow, baseWindow + 1000, 4 * baseWindow]) {
    const { stream, receive, credit } = openStream(window)
    const { duplex } = stream
    duplex.resume()
    await tick()
    duplex.pause()
    receive(Buffer.alloc(300))
    receive(Buffer.alloc(baseWindow - 300))
    duplex.resume()
    await tick()
    await tick()
    assert.ok(credit() >= baseWindow, `${credit()} bytes for a window of ${window}`)
    duplex.destroy()
    await once(duplex, 'close')
  }
})
