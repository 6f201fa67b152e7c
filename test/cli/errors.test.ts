import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { suite, test } from 'node:test'
import { endOf, InterruptedError, UsageError } from '../../src/cli/errors.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { main } from '../support/command.ts'

suite('a failed command', () => {
  test('ends with one sentence and no stack trace, whatever was thrown', () => {
    const thrown: readonly (readonly [unknown, RegExp])[] = [
      [new UsageError('--cost must be a number'), /^berth: --cost must be a number\n$/],
      [new RegistryError('DENIED', { message: 'denied' }), /^berth: denied\n$/],
      [
        Object.assign(new Error('EACCES: permission denied, open /x'), { syscall: 'open' }),
        /^berth: EACCES: permission denied, open \/x\n$/,
      ],
      [
        new TypeError('x is not a function'),
        /^berth: unexpected error: x is not .+NODE_DEBUG=berth/,
      ],
      ['text', /^berth: unexpected error: text\n$/],
    ]
    for (const [error, sentence] of thrown) {
      assert.match(endOf(error).sentence, sentence)
      assert.equal(endOf(error).status, 1)
    }
    assert.deepEqual(endOf(new InterruptedError()), { sentence: '', status: 130 })
  })

  const shell = (line: string) =>
    spawnSync('sh', ['-c', line, process.execPath, main], { encoding: 'utf8' }).stderr

  test('whose reader has left says nothing, as programs that SIGPIPE ends', () => {
    assert.equal(shell('"$0" "$1" config schema | true'), '')
  })

  test('whose output cannot be written says why', { skip: !existsSync('/dev/full') }, () => {
    const said = shell('"$0" "$1" config schema > /dev/full')
    assert.match(said, /^berth: cannot write to standard output: ENOSPC.*\n$/)
  })
})
