import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  createSpooler,
  findRecord,
  type Publish,
  RejectedFile,
  retryFailed,
} from '../../src/spooler/spooler.ts'
import { eventually } from '../support/berth.ts'
import { useDirectory } from '../support/directory.ts'

const directory = await useDirectory()

/** A spooler whose registry refuses all files at first. */
async function startRefusing(t: TestContext, options: { readonly results?: string } = {}) {
  const root = await mkdtemp(join(directory, 'spool-'))
  let isRefused = true
  const published = new Map<string, string>()
  const publish: Publish = async (job, { name, path }) => {
    if (isRefused) throw new RejectedFile('403 Forbidden')
    const isFile = job.kind === 'push' && !job.isArchive
    published.set(name, isFile ? await readFile(path, 'utf8') : '')
    return [{ reference: `host/${name}` }]
  }
  const spooler = await createSpooler({
    root,
    publish,
    workers: 4,
    settle: 100,
    rescan: 200,
    done: { maxDone: 100, maxAge: 1e9 },
    onEvent: () => {},
    ...options,
  })
  t.after(() => spooler.stop())
  const drop = async (name: string, content = name) => {
    const file = join(root, `${name}~`)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content)
    await utimes(file, 1000 + published.size, 1000)
    await rename(file, join(root, name))
  }
  const failures = (count: number) =>
    eventually(`${count} failed`, () => spooler.status().failed === count)
  const accept = () => {
    isRefused = false
  }
  return { root, spooler, published, drop, failures, accept }
}

test('a file in failed/ is tried again under its name, and the reason goes', async (t) => {
  const { root, published, drop, failures, accept } = await startRefusing(t)
  await drop('team/app')
  await drop('other')
  await failures(2)
  accept()
  assert.deepEqual(await retryFailed(root, ['team/app']), [{ file: 'team/app' }])
  await eventually('it is published', () => published.size === 1)
  await failures(1)
  assert.equal(published.get('team/app'), 'team/app')
  await eventually('its result is another one', async () => {
    return (await findRecord(root, 'team/app'))?.state === 'pushed'
  })
  assert.equal((await findRecord(root, 'other'))?.state, 'failed')
})

test('a file that is refused again is in failed/ again', async (t) => {
  const { root, spooler, drop, failures } = await startRefusing(t)
  await drop('app')
  await failures(1)
  const before = (await findRecord(root, 'app'))?.finishedAt
  assert.deepEqual(await retryFailed(root, ['failed/app']), [{ file: 'app' }])
  await eventually('it failed again', async () => {
    const record = await findRecord(root, 'app')
    return record !== undefined && record.finishedAt !== before
  })
  // The record comes first.
  await eventually('it is in failed/ again', async () => {
    return (await readdir(join(root, 'failed'))).toSorted().join() === 'app,app.json'
  })
  await eventually('the spool is empty', () => spooler.status().files === 0)
})

test('all files are tried again: layouts as a whole, and the second file of a name after the first', async (t) => {
  const { root, published, drop, failures, accept } = await startRefusing(t)
  await mkdir(join(root, 'team/layout~/blobs'), { recursive: true })
  await writeFile(join(root, 'team/layout~/oci-layout'), '{}')
  await rename(join(root, 'team/layout~'), join(root, 'team/layout'))
  await drop('app', 'first')
  await failures(2)
  await drop('app', 'second')
  await failures(3)
  accept()
  const results = await retryFailed(root, 'all')
  const problems = results.filter(({ problem }) => problem !== undefined)
  assert.deepEqual(problems, [{ file: 'failed/app.2', problem: 'app is in the spool again' }])
  await eventually('two are published', () => published.size === 2)
  assert.equal(published.get('app'), 'first')
  assert.ok(published.has('team/layout'))
  await failures(1)
  // The first one leaves the spool after it was published.
  await eventually('the second one is tried again', async () => {
    const [result] = await retryFailed(root, ['app'])
    return result?.problem === undefined
  })
  await eventually('the second one too', () => published.get('app') === 'second')
  await failures(0)
})

test('a name that is not in failed/ is a problem', async (t) => {
  const { root, drop, failures } = await startRefusing(t)
  await drop('app')
  await failures(1)
  assert.deepEqual(await retryFailed(root, ['ap', 'app.json']), [
    { file: 'ap', problem: 'not in failed/' },
    { file: 'app.json', problem: 'not in failed/' },
  ])
})

test('a file that is named as the record of another one is neither replaced nor forgotten', async (t) => {
  const { root, published, drop, failures, accept } = await startRefusing(t)
  await drop('app.json', 'a file of a user')
  await failures(1)
  await drop('app', 'another one')
  await failures(2)
  accept()
  await retryFailed(root, 'all')
  await eventually('both are published', () => published.size === 2)
  assert.deepEqual(
    published,
    new Map([
      ['app.json', 'a file of a user'],
      ['app', 'another one'],
    ]),
  )
})

test('results outside of the spool have successes and failures, and other files there stay', async (t) => {
  const results = await mkdtemp(join(directory, 'results-'))
  const old = join(results, 'other.json')
  await writeFile(old, '{"of":"somebody else"}')
  await utimes(old, 1, 1)
  const { drop, failures, accept } = await startRefusing(t, { results })
  await drop('team/app')
  await failures(1)
  const stateOf = async (name: string) => {
    const text = await readFile(join(results, `${name}.json`), 'utf8').catch(() => '{}')
    return JSON.parse(text).state
  }
  await eventually('the failure is there', async () => (await stateOf('team/app')) === 'failed')
  accept()
  await drop('other')
  await eventually('the success is there', async () => (await stateOf('other')) === 'pushed')
  await drop('team/app')
  await eventually('it is replaced', async () => (await stateOf('team/app')) === 'pushed')
  assert.deepEqual((await readdir(results)).toSorted(), ['other.json', 'team'])
})

test('the results of many files are bounded, and only results are removed', async (t) => {
  const results = await mkdtemp(join(directory, 'results-'))
  const foreign = join(results, 'foreign.json')
  await writeFile(foreign, '{"of":"somebody else"}')
  await utimes(foreign, 1, 1)
  const root = await mkdtemp(join(directory, 'spool-'))
  const spooler = await createSpooler({
    root,
    publish: async () => [],
    workers: 4,
    settle: 0,
    rescan: 200,
    done: { maxDone: 3, maxAge: 1e9 },
    results,
    onEvent: () => {},
  })
  t.after(() => spooler.stop())
  for (let at = 0; at < 10; at += 1) await writeFile(join(root, `file${at}`), '')
  await eventually('all are gone', async () => (await findRecord(root, 'file9')) !== undefined)
  await eventually('three are left, and the other file', async () => {
    const left = await readdir(results)
    return left.length === 4 && left.includes('foreign.json')
  })
})

test('a FIFO in failed/ blocks no retry', async (t) => {
  const { root, drop, failures } = await startRefusing(t)
  // It blocked `berth spool retry` for ever, because every file there was read as a record.
  await drop('app')
  execFileSync('mkfifo', [join(root, 'pipe'), join(root, 'pipe.json')])
  await failures(3)
  assert.deepEqual(await retryFailed(root, ['nosuch']), [
    { file: 'nosuch', problem: 'not in failed/' },
  ])
  execFileSync('mkfifo', [join(root, 'failed', 'record.json')])
  assert.equal(await findRecord(root, 'record'), undefined)
  assert.deepEqual(await retryFailed(root, ['pipe']), [{ file: 'pipe' }])
})
