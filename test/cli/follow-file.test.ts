import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { followFiles } from '../../src/cli/follow-file.ts'
import { eventually } from '../support/berth.ts'
import { ownDirectory } from '../support/directory.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

/** Two files that belong together, as a certificate and its key do; `bad` in them cannot be used. */
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
      if (text.includes('bad')) throw new Error('it is bad')
      used.push(text)
    },
    log: telemetry.log,
  })
  t.after(() => followed.close())
  const levels = () => logs().map(({ level }) => level)
  return { directory, files, followed, used, tried, levels }
}

/** Never half of it. */
async function put(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

// Each waits for looks that are a second apart.
suite('files that are followed', { concurrency: true }, () => {
  test('are handed over together when one of them has changed, and once (A104)', async (t) => {
    const { files, followed, used, levels } = await follow(t)
    await put(files[1], 'second')
    await eventually('the change', () => used.length > 0)
    await put(files[1], 'third')
    await eventually('the next change', () => used.length > 1)
    assert.deepEqual(used, ['first+second', 'first+third'])
    assert.ok(followed.isFresh())
    assert.deepEqual(levels(), ['info', 'info'])
  })

  test('that are written in place are read anew (A104)', async (t) => {
    const { files, used } = await follow(t)
    await writeFile(files[0], 'second')
    await eventually('the change', () => used.includes('second+first'))
  })

  test('that cannot be used are told once, tried once, and used when they are mended (A104)', async (t) => {
    const { files, followed, used, tried, levels } = await follow(t)
    await put(files[0], 'bad')
    await eventually('the refusal', () => !followed.isFresh())
    await put(files[1], 'bad too')
    await eventually('another refusal', () => tried.length > 1)
    await put(files[0], 'second')
    await put(files[1], 'second')
    await eventually('the change', () => used.length > 0)
    assert.ok(followed.isFresh())
    assert.equal(used.at(-1), 'second+second')
    assert.equal(new Set(tried).size, tried.length, 'nothing is tried twice')
    assert.deepEqual(new Set(levels().slice(0, 2)), new Set(['error']))
    assert.equal(levels().at(-1), 'info')
  })

  test('that are deleted stay in force as they were, until they are back (A104)', async (t) => {
    const { files, followed, used, levels } = await follow(t)
    await rm(files[0])
    await eventually('the alarm', () => !followed.isFresh())
    assert.deepEqual(levels(), ['error'])
    await put(files[0], 'first')
    await eventually('the end of the alarm', () => followed.isFresh())
    assert.deepEqual(used, [], 'they say what they said')
  })

  test('in a volume of Kubernetes are read anew when its link is swapped (A104)', async (t) => {
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

  test('are not looked at any more once that is closed', async (t) => {
    const { files, followed, used } = await follow(t)
    await followed.close()
    await put(files[0], 'second')
    await new Promise((resolve) => setTimeout(resolve, 2500))
    assert.deepEqual(used, [])
  })
})
