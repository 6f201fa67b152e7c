import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Argument, Command, Option } from 'commander'
import { complete } from '../../src/cli/completion/completion.ts'
import { main, runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'

function program(): Command {
  const image = new Command('image').command('push <file> [tags...]')
  image.option('-q, --quiet', 'say less').option('--file <path>', 'a file')
  image.addOption(new Option('-o, --output <format>', 'format').choices(['text', 'json']))
  image.addOption(new Option('--secret <text>').hideHelp())
  const parent = new Command('image').summary('images').addCommand(image)
  const shell = new Command('completion').addArgument(
    new Argument('<shell>').choices(['bash', 'zsh']),
  )
  return new Command('berth').addCommand(parent).addCommand(shell)
}

const texts = (...words: readonly string[]) =>
  complete(program(), words).candidates.map(({ text }) => text)

test('commands, options and choices complete; values of other options are files', () => {
  assert.deepEqual(texts(''), ['image', 'completion', 'help'])
  assert.deepEqual(texts('im'), ['image'])
  assert.deepEqual(texts('image', ''), ['push', 'help'])
  assert.deepEqual(texts('image', 'push', '--'), ['--quiet', '--file', '--output', '--help'])
  assert.deepEqual(texts('image', 'push', '-o', ''), ['text', 'json'])
  assert.deepEqual(texts('image', 'push', '--output', 'j'), ['json'])
  assert.deepEqual(texts('image', 'push', '--output=j'), ['--output=json'])
  assert.deepEqual(texts('image', 'push', '-q', '--qu'), ['--quiet'])
  assert.deepEqual(texts('completion', ''), ['bash', 'zsh'])
  assert.deepEqual(texts('completion', 'bash', ''), [])
  const isFile = (...words: readonly string[]) => complete(program(), words).files
  assert.ok(isFile('image', 'push', ''))
  assert.ok(isFile('image', 'push', '--file', 'x'))
  assert.ok(isFile('image', 'push', 'a', 'b', 'c', ''))
  assert.ok(isFile('image', 'push', '--', '--out'))
  assert.ok(!isFile('completion', 'bash', ''))
  assert.ok(!isFile('image', 'push', '-o', ''))
})

test('the program completes its own commands, and those of kubectl berth, in the format of kubectl', async (t) => {
  const lines = async (words: readonly string[], file?: string) => {
    const { stdout, status, stderr } = await runCommand(words, file === undefined ? {} : { file })
    assert.equal(status, 0, stderr)
    return stdout.split('\n')
  }
  assert.deepEqual(await lines(['__complete', 'wh']), ['why', ':4', ''])
  const options = await lines(['__complete', 'why', 'x', '--o'])
  assert.deepEqual(options, ['--output\toutput format', ':4', ''])
  assert.deepEqual(await lines(['__complete', 'image', 'push', '']), [':0', ''])
  assert.deepEqual(await lines(['__complete', 'nothing', '']), [':4', ''])
  const plugin = join(await ownDirectory(t), 'kubectl_complete-berth')
  await symlink(main, plugin)
  const found = await lines(['why', 'x', '--kube'], plugin)
  assert.match(found[0] ?? '', /^--kubeconfig\t/)
})
