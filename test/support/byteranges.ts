import assert from 'node:assert/strict'
import type { Reply } from './client.ts'

type Part = { readonly range: string; readonly bytes: Buffer }

/** The parts of a `multipart/byteranges` answer, read as a strict client reads them. */
export function partsOf({ headers, body }: Pick<Reply, 'headers' | 'body'>): readonly Part[] {
  const [, boundary] =
    /^multipart\/byteranges; boundary=(\S+)$/.exec(headers['content-type'] ?? '') ?? []
  assert.ok(boundary !== undefined, headers['content-type'])
  const parts: Part[] = []
  let at = 0
  const expect = (text: string) => {
    assert.equal(body.toString('latin1', at, at + text.length), text)
    at += text.length
  }
  for (;;) {
    expect(`${parts.length === 0 ? '' : '\r\n'}--${boundary}`)
    if (body.toString('latin1', at) === '--\r\n') return parts
    expect('\r\n')
    const start = body.indexOf('\r\n\r\n', at) + 4
    const head = body.toString('latin1', at, start)
    const [, first, last] = /^content-range: bytes (\d+)-(\d+)\/\d+\r$/im.exec(head) ?? []
    at = start + Number(last) + 1 - Number(first)
    parts.push({ range: `${first}-${last}`, bytes: body.subarray(start, at) })
  }
}
