import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { formattedJson } from '../../src/ui/page/files/json.ts'
import { shellWord, visibleName } from '../../src/ui/page/files/visible-text.ts'
import { timeIn } from '../../src/ui/page/parts/format.ts'

test('JSON gets lines, and each of its values stays as it was written', () => {
  assert.equal(
    formattedJson('{"a":1e400, "b" :[ ],"c":{"d":"},:\\"{"}}'),
    '{\n  "a": 1e400,\n  "b": [],\n  "c": {\n    "d": "},:\\"{"\n  }\n}',
  )
  for (const text of ['{"a":', 'plain', '1', `${'['.repeat(1000)}${']'.repeat(1000)}`])
    assert.equal(formattedJson(text), undefined)
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(2), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      const formatted = formattedJson(text)
      if (formatted !== undefined) assert.equal(formatted, JSON.stringify(value, undefined, 2))
    }),
  )
})

test('the dates that stand for none in images are no times', () => {
  for (const text of [undefined, '', 'soon', '0001-01-01T00:00:00Z', '1970-01-01T00:00:00Z'])
    assert.equal(timeIn(text), undefined, text)
  assert.equal(timeIn('1980-01-01T00:00:01Z'), 315_532_801_000)
})

test('a path in a command is one word of a shell on one line, whatever is in it', () => {
  const texts = [
    ...[
      '',
      'etc/motd',
      "it's",
      'a b',
      '$(id)',
      '`id`',
      '\\',
      '-rf',
      '*',
      '~',
      '😀',
      '!x',
      '\\u0041',
    ],
    // All that can be in a path, up to the marks of direction.
    ...Array.from({ length: 0x207f }, (_, at) => `'${String.fromCharCode(at + 1)}9`),
    '\ufeff',
  ]
  const script = `printf '%s\\0' ${texts.map(shellWord).join(' ')}`
  assert.equal(visibleName(script), script)
  const printed = execFileSync('bash', ['--norc', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { LC_ALL: 'C.UTF-8' },
    encoding: 'utf8',
  })
  assert.deepEqual(printed.split('\0').slice(0, -1), texts)
})
