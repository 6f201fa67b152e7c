import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { removeBerth, startBerth } from '../support/berth.ts'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { startFaultyRegistry } from '../support/faulty-uploads.ts'
import { openTerminal } from '../support/terminal.ts'

const size = 40_000_000
/** What moves the cursor to the first bar, and clears the screen below it. */
const erasing = '\u001b\\[\\d+A\\r\u001b\\[J'
const skip = process.platform === 'linux' ? false : 'requires the pseudo-terminals of Linux'

/** A shell of this width beside a file, and the command that pushes it. */
async function shellFor(t: TestContext, url: string, columns = 110) {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'big.bin'), randomBytes(size))
  const script = `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`
  await writeFile(join(directory, 'berth'), script, { mode: 0o755 })
  const environment = { PATH: `${directory}:/usr/bin:/bin`, HOME: directory }
  const terminal = openTerminal({ directory, environment })
  t.after(terminal.close)
  await terminal.shows(/>>> /)
  terminal.resize(columns, 24)
  const image = `${new URL(url).host}/local/big:1`
  const push = `berth image push --artifact big.bin ${image}; echo "status $?"\r`
  return { terminal, directory, image, push }
}

async function besideBerth(t: TestContext) {
  const actions = ['pull', 'push', 'delete']
  const access = [{ users: ['*'], repositories: ['**'], actions }]
  const berth = await startBerth({
    config: { upstreams: [], auth: { anonymous: 'rules', access } },
  })
  t.after(() => removeBerth(berth))
  return shellFor(t, berth.url)
}

/** A registry that reads nothing of the blobs. */
async function besideStuckRegistry(t: TestContext) {
  const registry = await startFaultyRegistry()
  t.after(registry.close)
  const gate = Promise.withResolvers<void>()
  t.after(() => gate.resolve())
  registry.fail({ kind: 'wait', gate: gate.promise }, { kind: 'wait', gate: gate.promise })
  return shellFor(t, registry.url)
}

suite('progress on a terminal', { concurrency: false, skip }, () => {
  test('shows a bar for each blob in flight and one for all, and leaves only results', async (t) => {
    const { terminal, push, image } = await besideBerth(t)
    terminal.type(push)
    await terminal.shows(/sha256:\w{12} +\[[#.]{30}\] +\d+ % [\d.]+ \w+\/38 MiB/)
    await terminal.shows(/total \d\/2 blobs +\[[#.]{30}\] +\d+ % /)
    await terminal.shows(/sha256:\w{12} sent 38 MiB/)
    const [end] = await terminal.shows(/[^\n]*\n[^\n]*tags: 1; sent 38 MiB[^\n]*\nstatus 0/)
    assert.ok(stripVTControlCharacters(end).includes(image.replace(':1', '@sha256:')))
  })

  test('follows the width of the window', async (t) => {
    const { terminal, push } = await besideStuckRegistry(t)
    terminal.type(push)
    await terminal.shows(/total .*\[[#.]{30}\]/)
    terminal.resize(48, 24)
    // No bar has room there; no line may be as wide as the terminal.
    const [frame] = await terminal.shows(
      new RegExp(`${erasing}(sha256:[^\\n[]*\\n)*total \\d/2 blobs +\\d+ %[^\\n[]*\\n`),
    )
    for (const line of frame.split('\n'))
      assert.ok(stripVTControlCharacters(line).trimEnd().length < 48, line)
    terminal.type('\x03')
    await terminal.shows(/status 130/)
  })

  test('Ctrl-C ends with 130, and the terminal is as before', async (t) => {
    const { terminal, push } = await besideStuckRegistry(t)
    terminal.type(push)
    await terminal.shows(/total .*\[[#.]{30}\]/)
    terminal.type('\x03')
    await terminal.shows(new RegExp(`${erasing}status 130`))
    terminal.type('stty -a\r')
    const [settings] = await terminal.shows(/stty -a.*\biutf8.*>>> /s)
    for (const mode of [/[^-]echo /, /[^-]icanon/, /[^-]isig/]) assert.match(settings, mode)
    // Neither hidden nor coloured.
    const moves = terminal.screen().split('\u001b[').slice(1)
    for (const move of moves) assert.match(move, /^\d*[AJ]/)
  })

  test('a pull shows bars too, and writes to standard output as well', async (t) => {
    const { terminal, directory, image, push } = await besideBerth(t)
    terminal.type(push)
    await terminal.shows(/status 0/)
    terminal.type(`berth pull --unpack ${image} back.bin; echo "status $?"\r`)
    await terminal.shows(/total \d\/2 blobs .*sha256:\w{12} received 38 MiB.*status 0/s)
    terminal.type(`berth pull --unpack ${image} > out.bin; cmp out.bin back.bin; echo "same $?"\r`)
    await terminal.shows(/received 38 MiB.*same 0/s)
    const files = (await readdir(directory)).toSorted()
    assert.deepEqual(files, ['back.bin', 'berth', 'big.bin', 'out.bin'])
  })

  test('a dumb terminal, and --quiet, show no bars', async (t) => {
    const { terminal, push } = await besideBerth(t)
    terminal.type(`TERM=dumb ${push}`)
    await terminal.shows(/sha256:\w{12} sent 38 MiB.*status 0/s)
    terminal.type(push.replace('push', 'push -q'))
    await terminal.shows(/tags: 1; sent 0 B.*status 0/s)
    assert.ok(!terminal.screen().includes('\u001b[J') && !terminal.screen().includes('total'))
  })
})
