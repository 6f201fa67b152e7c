import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { suite, test } from 'node:test'
import { describeFailure, InterruptedError, UsageError } from '../../src/cli/process/errors.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { main } from '../support/command.ts'

suite('a failed command', () => {
  test('has a one-line message without a stack trace for any thrown value', () => {
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
    for (const [error, message] of thrown) {
      assert.match(describeFailure(error).text, message)
      assert.equal(describeFailure(error).status, 1)
    }
    assert.deepEqual(describeFailure(new InterruptedError()), { text: '', status: 130 })
  })

  const shell = (line: string) =>
    spawnSync('sh', ['-c', line, process.execPath, main], { encoding: 'utf8' }).stderr

  test('prints nothing when the reader of its output has exited', () => {
    assert.equal(shell('"$0" "$1" config schema | true'), '')
  })

  test('reports that its output cannot be written', { skip: !existsSync('/dev/full') }, () => {
    const message = shell('"$0" "$1" config schema > /dev/full')
    assert.match(message, /^berth: cannot write to standard output: ENOSPC.*\n$/)
  })
})
