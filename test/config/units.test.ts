import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { address, duration, size, timeout } from '../../src/config/units.ts'

const parse = (codec: z.ZodType, text: unknown) => {
  const { success, data, error } = codec.safeParse(text)
  return success ? data : error.issues.map(({ message }) => message).join()
}

suite('durations', () => {
  test('are one or several numbers with units', () => {
    const written: readonly (readonly [string | number, number])[] = [
      ['30s', 30_000],
      ['1h30m', 5_400_000],
      ['250ms', 250],
      ['0', 0],
      ['1.5s', 1500],
      ['2d', 172_800_000],
      [0, 0],
    ]
    for (const [text, milliseconds] of written) assert.equal(parse(duration(), text), milliseconds)
  })

  test('are the same after encoding and decoding', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (milliseconds) => {
        assert.equal(z.decode(duration(), z.encode(duration(), milliseconds)), milliseconds)
      }),
    )
  })

  test('beyond the maximum of a timer are invalid timeouts', () => {
    assert.equal(parse(timeout(), '24d'), 24 * 86_400_000)
    assert.match(String(parse(timeout(), '25d')), /at most 24d/)
    assert.equal(parse(duration(), '365d'), 365 * 86_400_000)
  })
})

suite('sizes', () => {
  test('have units that are powers of ten or of two', () => {
    const written: readonly (readonly [string | number, number])[] = [
      ['10GiB', 10 * 2 ** 30],
      ['500MB', 5e8],
      ['1.5KiB', 1536],
      ['17B', 17],
      [0, 0],
      ['1B', 1],
    ]
    for (const [text, bytes] of written) assert.equal(parse(size(), text), bytes)
  })

  test('are the same after encoding and decoding', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        assert.equal(z.decode(size(), z.encode(size(), bytes)), bytes)
      }),
    )
  })
})

suite('addresses', () => {
  test('consist of a host and a port', () => {
    assert.deepEqual(parse(address(), 'localhost:30026'), { host: 'localhost', port: 30026 })
    assert.deepEqual(parse(address(), '[::1]:1'), { host: '::1', port: 1 })
    assert.deepEqual(parse(address(), ':65535'), { host: '', port: 65535 })
  })

  test('are the same after encoding and decoding', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain(), fc.constant(''))
    fc.assert(
      fc.property(host, fc.nat(65_535), (name, port) => {
        const written = z.encode(address(), { host: name, port })
        assert.deepEqual(z.decode(address(), written), { host: name, port })
      }),
    )
  })

  test('without a valid port are rejected', () => {
    for (const text of ['', 'localhost', '::1:80', 'a:65536', 'a:b', 'a:-1', '[a:1', 'http://a:1'])
      assert.match(String(parse(address(), text)), /expected an address such as/, text)
  })
})

test('the error message for an invalid duration or size has an example', () => {
  const invalid = [
    '',
    ' ',
    's',
    '30 s',
    '30x',
    '-1s',
    '1e3s',
    '1s2',
    's1',
    '1,5s',
    '1constructor',
    '1toString',
    'Infinity',
    '9'.repeat(400),
    `${'9'.repeat(20)}GiB`,
    -1,
    1.5,
    60,
    '60',
    '00',
  ]
  for (const text of invalid) {
    for (const codec of [duration(), size()])
      assert.match(
        String(parse(codec, text)),
        /expected a (duration|size) with a unit/,
        String(text),
      )
  }
  for (const wrong of [null, {}, [], true])
    for (const codec of [duration(), size()])
      assert.match(String(parse(codec, wrong)), /expected a (duration|size) with a unit/)
})

test('any text is a safe non-negative integer or is rejected', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{1,25}[a-zA-Z]{0,3}$/))
  fc.assert(
    fc.property(text, (written) => {
      for (const codec of [duration(), size()]) {
        const { success, data } = codec.safeParse(written)
        if (success) assert.ok(Number.isSafeInteger(data) && data >= 0, `${written} is ${data}`)
      }
    }),
  )
})
