import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { followFiles } from '../../src/input/follow-files.ts'
import { eventually } from '../support/berth.ts'
import { ownDirectory } from '../support/directory.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

/** Two files that belong together, such as a certificate and its key; content with `bad` is invalid. */
async function follow(t: TestContext) {
  const directory = await ownDirectory(t)
  const files = [join(directory, 'one'), join(directory, 'other')] as const
  for (const file of files) await writeFile(file, 'first')
  const { telemetry, logs } = watchedTelemetry()
  const used: string[] = []
  const tried: string[] = []
  const followed = followFiles({
    files,
    initial: ['first', 'first'],
    use: (texts) => {
      const text = texts.join('+')
      tried.push(text)
      if (text.includes('bad')) throw new Error('invalid')
      used.push(text)
    },
    log: telemetry.log,
  })
  t.after(() => followed.close())
  const levels = () => logs().map(({ level }) => level)
  return { directory, files, followed, used, tried, levels }
}

/** Atomically. */
async function put(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

// Each test waits for polls, which are a second apart.
suite('followFiles', { concurrency: true }, () => {
  test('passes on all files once when one of them has changed (A104)', async (t) => {
    const { files, followed, used, levels } = await follow(t)
    await put(files[1], 'second')
    await eventually('the change', () => used.length > 0)
    await put(files[1], 'third')
    await eventually('the next change', () => used.length > 1)
    assert.deepEqual(used, ['first+second', 'first+third'])
    assert.equal(followed.problem(), undefined)
    assert.deepEqual(levels(), ['info', 'info'])
  })

  test('notices a file that is written in place (A104)', async (t) => {
    const { files, used } = await follow(t)
    await writeFile(files[0], 'second')
    await eventually('the change', () => used.includes('second+first'))
  })

  test('logs invalid content once, tries it once, and uses the corrected files (A104)', async (t) => {
    const { files, followed, used, tried, levels } = await follow(t)
    await put(files[0], 'bad')
    await eventually('the first rejection', () => followed.problem() !== undefined)
    await put(files[1], 'bad too')
    await eventually('the second rejection', () => tried.length > 1)
    await put(files[0], 'second')
    await put(files[1], 'second')
    await eventually('the change', () => used.length > 0)
    assert.equal(followed.problem(), undefined)
    assert.equal(used.at(-1), 'second+second')
    assert.equal(new Set(tried).size, tried.length, 'no content is tried twice')
    assert.deepEqual(new Set(levels().slice(0, 2)), new Set(['error']))
    assert.equal(levels().at(-1), 'info')
  })

  test('keeps the previous content in force while a file is missing (A104)', async (t) => {
    const { files, followed, used, levels } = await follow(t)
    await rm(files[0])
    await eventually('the error', () => followed.problem() !== undefined)
    assert.deepEqual(levels(), ['error'])
    await put(files[0], 'first')
    await eventually('the recovery', () => followed.problem() === undefined)
    assert.deepEqual(used, [], 'the content is unchanged')
  })

  test('notices when Kubernetes replaces the link of a volume (A104)', async (t) => {
    const { directory, used } = await follow(t)
    const { telemetry } = watchedTelemetry()
    const volume = join(directory, 'volume')
    for (const version of ['v1', 'v2']) {
      await mkdir(join(volume, `..${version}`), { recursive: true })
      await writeFile(join(volume, `..${version}`, 'htpasswd'), version)
    }
    await symlink('..v1', join(volume, '..data'))
    await symlink(join('..data', 'htpasswd'), join(volume, 'htpasswd'))
    const followed = followFiles({
      files: [join(volume, 'htpasswd')],
      initial: ['v1'],
      use: ([text = '']) => void used.push(text),
      log: telemetry.log,
    })
    t.after(() => followed.close())
    await symlink('..v2', join(volume, '..data_tmp'))
    await rename(join(volume, '..data_tmp'), join(volume, '..data'))
    await eventually('the change', () => used.includes('v2'))
  })

  test('stops polling when it is closed', async (t) => {
    const { files, followed, used } = await follow(t)
    await followed.close()
    await put(files[0], 'second')
    await new Promise((resolve) => setTimeout(resolve, 2500))
    assert.deepEqual(used, [])
  })
})
