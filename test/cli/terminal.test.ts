import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { createAuth } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { openTerminal, shellPrompt, type Terminal } from '../support/terminal.ts'

/** A shell with `berth` in its PATH, as after `npm link`. */
async function openShell(t: TestContext): Promise<Terminal & { readonly directory: string }> {
  const directory = await ownDirectory(t)
  const script = `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`
  await writeFile(join(directory, 'berth'), script, { mode: 0o755 })
  const environment = { PATH: `${directory}:/usr/bin:/bin` }
  const terminal = openTerminal({ directory, environment })
  t.after(terminal.close)
  await terminal.shows(/>>> /)
  return { ...terminal, directory }
}

/** Lines of shell blocks whose command prompts for a password. */
async function shownCommands(): Promise<readonly string[]> {
  const files = ['README.md', 'charts/berth/README.md', 'src/config/README.md']
  const texts = await Promise.all(
    files.map((file) => readFile(new URL(`../../${file}`, import.meta.url), 'utf8')),
  )
  const lines = texts.join('\n').matchAll(/^berth (?:htpasswd|pull-secret) .*$/gm)
  return [...new Set([...lines].map(([line]) => line.replace(/\s+#.*/, '')))]
}

const logIn = async (htpasswd: string, user: string, password: string) => {
  const auth = await createAuth({ htpasswd, anonymous: 'none', access: [] })
  return auth.authenticate(`Basic ${basicOf(user, password)}`)
}

const skip = process.platform === 'linux' ? false : 'requires the pseudo-terminals of Linux'

suite('a command at a terminal', { concurrency: true, skip }, () => {
  test('`berth htpasswd alice > htpasswd` prompts on the screen, and the file has only the line', async (t) => {
    const shell = await openShell(t)
    shell.type('berth htpasswd alice > htpasswd\r')
    await shell.shows(/Password for alice: /)
    shell.type('s3cret-ä\r')
    await shell.shows(/Password for alice, again: /)
    shell.type('s3cret-ä\r')
    await shell.shows(/>>> /)
    assert.doesNotMatch(shell.screen(), /s3cret/)
    const file = await readFile(join(shell.directory, 'htpasswd'), 'utf8')
    assert.match(file, /^alice:\$2y\$10\$[./A-Za-z0-9]{53}\n$/)
    assert.deepEqual(await logIn(file, 'alice', 's3cret-ä'), { kind: 'user', name: 'alice' })
  })

  test('the commands of the READMEs work as they are', async (t) => {
    const shell = await openShell(t)
    const kubectl = join(shell.directory, 'kubectl')
    await writeFile(kubectl, '#!/bin/sh\ncat > applied.yaml; echo "$*"\n', { mode: 0o755 })
    const commands = await shownCommands()
    assert.ok(commands.length >= 4, commands.join('\n'))
    for (const command of commands) {
      shell.type(`${command}\r`)
      await shell.shows(/Password (for|of) \w+: /)
      shell.type('s3cret\r')
      if (command.startsWith('berth htpasswd')) {
        await shell.shows(/, again: /)
        shell.type('s3cret\r')
      }
      await shell.shows(/\n>>> /)
    }
    const user = /^berth htpasswd (\w+) > htpasswd$/m.exec(commands.join('\n'))?.[1] ?? ''
    const file = await readFile(join(shell.directory, 'htpasswd'), 'utf8')
    assert.deepEqual(await logIn(file, user, 's3cret'), { kind: 'user', name: user })
    const applied = await readFile(join(shell.directory, 'applied.yaml'), 'utf8')
    assert.match(applied, /^apiVersion: v1\nkind: Secret\n/)
  })

  test('prompts on the screen with standard error redirected, too', async (t) => {
    const shell = await openShell(t)
    shell.type('berth htpasswd alice > htpasswd 2> errors\r')
    await shell.shows(/Password for alice: /)
    shell.type('p\r')
    await shell.shows(/again: /)
    shell.type('p\r')
    await shell.shows(/>>> /)
    assert.match(await readFile(join(shell.directory, 'htpasswd'), 'utf8'), /^alice:\S+\n$/)
    assert.equal(await readFile(join(shell.directory, 'errors'), 'utf8'), '')
  })

  test('`berth pull-secret` prompts once, and the pipe gets only the manifest', async (t) => {
    const shell = await openShell(t)
    shell.type('berth pull-secret kubelet -n my-app | cat > secret.yaml\r')
    await shell.shows(/Password of kubelet: /)
    shell.type('s3cret\r')
    await shell.shows(/>>> /)
    assert.doesNotMatch(shell.screen(), /s3cret|again/)
    const manifest = await readFile(join(shell.directory, 'secret.yaml'), 'utf8')
    assert.match(manifest, /^apiVersion: v1\nkind: Secret\n/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
    assert.doesNotMatch(manifest, /[\x00-\x09\x0b-\x1f]|Password/)
  })

  test('Ctrl-C at the prompt exits with 130 and restores the terminal', async (t) => {
    const shell = await openShell(t)
    shell.type('berth htpasswd alice > htpasswd; echo "status $?"\r')
    await shell.shows(/Password for alice: /)
    shell.type('half\x03')
    const [ended] = await shell.shows(/.*status 130/s)
    assert.equal(ended.trim(), 'status 130')
    shell.type('stty -a\r')
    const [settings] = await shell.shows(/stty -a.*\biutf8.*>>> /s)
    for (const mode of [/[^-]echo /, /[^-]icanon/, /[^-]isig/]) assert.match(settings, mode)
  })

  test('the end of input at the prompt and different passwords are one-line errors', async (t) => {
    const shell = await openShell(t)
    shell.type('berth htpasswd alice > htpasswd; echo "status $?"\r')
    await shell.shows(/Password for alice: /)
    shell.type('\x04')
    await shell.shows(/berth: no password was entered\r\nstatus 1/)
    shell.type('berth htpasswd alice > htpasswd; echo "status $?"\r')
    await shell.shows(/Password for alice: /)
    // Pasted together: the second answer arrives before its prompt.
    shell.type('one\rother\r')
    await shell.shows(/berth: the two passwords differ\r\nstatus 1/)
    await shell.shows(new RegExp(shellPrompt))
  })
})
