import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { isSupported } from '../src/own-node.ts'
import { runCommand, sources } from './support/command.ts'
import { ownDirectory } from './support/directory.ts'

test('Node 24.12 and newer run Berth', () => {
  for (const version of ['24.12.0', '24.13.1', '25.0.0', '100.0.0'])
    assert.ok(isSupported(version), version)
  for (const version of ['24.11.9', '23.99.0', '20.20.2', '9.0.0'])
    assert.ok(!isSupported(version), version)
})

/** The system's Node, which runs our programs after `npm link`; undefined if it is new. */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((node) => {
  const { status, stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' })
  return status === 0 && !isSupported(stdout.slice(1))
})

/** A build with only the two files that an old Node must be able to run. */
async function makeProgram(t: TestContext): Promise<string> {
  const directory = await ownDirectory(t)
  await mkdir(join(directory, 'dist'))
  await writeFile(join(directory, 'package.json'), '{"type":"module"}')
  for (const name of ['main', 'own-node']) {
    const source = await readFile(new URL(`../src/${name}.ts`, import.meta.url), 'utf8')
    const built = stripTypeScriptTypes(source).replaceAll(".ts'", ".js'")
    await writeFile(join(directory, 'dist', `${name}.js`), built)
  }
  const file = join(directory, 'docker-credential-berth')
  await symlink(join(directory, 'dist', 'main.js'), file)
  return file
}

suite('an old Node', () => {
  const asOld = `data:text/javascript,${encodeURIComponent(`
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })
  `)}`

  test('runs Berth with the Node of the npm package, with its arguments, input and status', async () => {
    const options = { file: sources, preload: asOld }
    const version = await runCommand(['--version'], options)
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
    const line = await runCommand(['htpasswd', 'alice', '--cost', '4'], {
      ...options,
      input: 'p',
    })
    assert.match(line.stdout, /^alice:\$2y\$04\$/)
    const failed = await runCommand(['htpasswd', 'alice'], options)
    assert.deepEqual([failed.status, failed.stderr], [1, 'berth: the password is empty\n'])
  })

  const skip = oldNode === undefined && 'this machine has no old Node'

  test('can run the start of the program (issue 10, point 31)', { skip }, async (t) => {
    const file = await makeProgram(t)
    const run = () => spawnSync(oldNode ?? '', [file, 'get'], { encoding: 'utf8' })
    const { status, stdout, stderr } = run()
    assert.deepEqual([status, stdout], [1, ''])
    assert.match(
      stderr,
      /^berth: Node 24\.12 or newer is required, but \S+ is \d+\.\d+\.\d+; install a newer Node\n$/,
    )
    const own = join(dirname(file), 'node_modules', 'node', 'bin', 'node')
    await mkdir(dirname(own), { recursive: true })
    await writeFile(own, '#!/bin/sh\necho "$1" "$2"; exit 7\n', { mode: 0o755 })
    assert.deepEqual([run().status, run().stdout], [7, `${file} get\n`])
  })
})
