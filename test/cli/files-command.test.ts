import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { type TarItem, tarFile } from '../support/tar-file.ts'

const hostile = 'evil\u001b[31m\nname\u202e'
const base: readonly TarItem[] = [
  { name: 'usr/lib/os-release', content: 'ID=test\n', mode: 0o644 },
  { name: 'etc/os-release', type: '2', linkName: '../usr/lib/os-release' },
  { name: 'etc/old', content: '12345' },
]
const upper: readonly TarItem[] = [
  { name: 'etc/.wh.old' },
  { name: `etc/${hostile}`, content: 'x' },
  { name: 'bin/tool', content: Buffer.alloc(2048, 1), mode: 0o4755 },
]

async function archiveOf(t: TestContext, layers: readonly (readonly TarItem[])[]) {
  const directory = await ownDirectory(t)
  const path = join(directory, 'image.tar')
  const image = dockerImage(
    'app:1',
    layers.map((items) => tarFile(items)),
  )
  await writeFile(path, tarFile(dockerItems([image])))
  return { path, directory }
}

async function outputOf(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCommand(words)
  assert.equal(status, 0, stderr)
  return stdout
}

test('berth files lists directories, with the layers that put files there or hid them', async (t) => {
  const { path } = await archiveOf(t, [base, upper])
  assert.equal(await outputOf('files', path), 'bin/\netc/\nusr/\n')
  const lines = (await outputOf('files', path, '/etc', '--long', '--removed')).split('\n')
  assert.deepEqual(
    lines.map((line) => line.replace(/^(\S+) .* (#\S+) +/, '$1 $2 ')),
    [
      '-rw-r--r-- #1 etc/evil\\x1b[31m\\nname\\u202e',
      '-rw-r--r-- #0>-1 etc/old (removed)',
      'lrw-r--r-- #0 etc/os-release -> ../usr/lib/os-release',
      '',
    ],
  )
  assert.match(await outputOf('files', path, '-R', '--long'), /^-rwsr-xr-x .* 2048 .* bin\/tool$/m)
  assert.match(await outputOf('files', path, '--layers'), /5 B hidden by upper layers/)
  assert.equal(
    await outputOf('files', path, '--layer', '1'),
    'etc/old (removes what lower layers have there)\netc/evil\\x1b[31m\\nname\\u202e\nbin/tool\n',
  )
  assert.equal(
    await outputOf('files', path, 'etc', '--layer', '1'),
    'etc/evil\\x1b[31m\\nname\\u202e\netc/old (removes what lower layers have there)\n',
  )
  const { layers } = JSON.parse(await outputOf('files', path, '/', '--layer', '1', '-o', 'json'))
  assert.deepEqual([layers.length, layers[0].files], [1, 2049])
  const { status, stderr } = await runCommand(['files', path, 'etc', '--layer', 'x'])
  assert.deepEqual([status, stderr.includes('the image has the layers 0 to 1')], [1, true])
})

test('berth files prints a file, or saves it', async (t) => {
  const { path, directory } = await archiveOf(t, [base, upper])
  assert.equal(await outputOf('files', path, 'etc/os-release'), 'ID=test\n')
  const saved = join(directory, 'tool')
  await outputOf('files', path, 'bin/tool', saved)
  assert.deepEqual(await readFile(saved), Buffer.alloc(2048, 1))
  for (const missing of ['etc/old', 'nothing']) {
    const { status, stderr } = await runCommand(['files', path, missing])
    assert.deepEqual([status, stderr], [1, `berth: the image has no "${missing}"\n`])
  }
})

test('berth files -o json prints one object, for directories and for files', async (t) => {
  const { path } = await archiveOf(t, [base, upper])
  const { digest, layers, totals, files } = JSON.parse(
    await outputOf('files', path, 'etc', '-o', 'json'),
  )
  assert.match(digest, /^sha256:/)
  assert.deepEqual([layers.length, layers[0].hidden, totals.removed], [2, 5, 1])
  assert.deepEqual(
    files.map((file: { readonly path: string }) => file.path),
    [`etc/${hostile}`, 'etc/os-release'],
  )
  const file = JSON.parse(await outputOf('files', path, 'etc/os-release', '-o', 'json'))
  assert.deepEqual([file.path, file.size, file.layer], ['usr/lib/os-release', 8, 0])
})

test('berth diff says what differs, and --exit-code whether', async (t) => {
  const before = await archiveOf(t, [base])
  const after = await archiveOf(t, [base, upper])
  const text = await outputOf('diff', before.path, after.path)
  assert.match(text, /^Layers: 1 shared/)
  assert.match(text, /^- etc\/old {2}5 B$/m)
  assert.match(text, /^\+ etc\/evil\\x1b\[31m\\nname\\u202e {2}1 B$/m)
  const json = ['diff', before.path, after.path, '-o', 'json', '--exit-code']
  const { status, stdout } = await runCommand(json)
  assert.equal(status, 1)
  const { totals, files, layers } = JSON.parse(stdout)
  assert.deepEqual(totals.removed, { count: 1, size: 5 })
  assert.deepEqual([files.length, layers.shared.length, layers.after.length], [4, 1, 1])
  const same = await runCommand(['diff', before.path, before.path, '--exit-code'])
  assert.deepEqual([same.status, same.stdout.startsWith('both are sha256:')], [0, true])
})
