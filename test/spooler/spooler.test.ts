import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import {
  appendFile,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  createSpooler,
  findRecord,
  listEntries,
  type Publish,
  RejectedFile,
  retryFailed,
  type SpoolEvent,
  UnfinishedFile,
} from '../../src/spooler/spooler.ts'
import { eventually } from '../support/berth.ts'
import { useDirectory } from '../support/directory.ts'

const directory = await useDirectory()

function newDirectory(): Promise<string> {
  return mkdtemp(join(directory, 'spool-'))
}

type Options = Partial<Parameters<typeof createSpooler>[0]>

/** A publisher that writes down what it gets, and does what the test wants. */
function createRecorder(
  answer: (path: string, content: string) => Promise<void> | void = () => {},
) {
  const published: { readonly file: string; readonly content: string }[] = []
  const publish: Publish = async (job, { name, path }) => {
    const content = job.kind === 'push' ? await readFile(path, 'utf8') : ''
    await answer(path, content)
    published.push({ file: name.split('/').at(-1) ?? '', content })
    return [{ reference: `host/${job.name}` }]
  }
  return { published, publish }
}

async function start(t: TestContext, options: Options & { publish: Publish }) {
  const root = options.root ?? (await newDirectory())
  const events: SpoolEvent[] = []
  const spooler = await createSpooler({
    root,
    workers: 4,
    settle: 100,
    rescan: 200,
    done: { maxDone: 100, maxAge: 1e9 },
    onEvent: (event) => void events.push(event),
    ...options,
  })
  t.after(() => spooler.stop())
  return { root, spooler, events }
}

async function drop(root: string, name: string, content = name): Promise<void> {
  await mkdir(dirname(join(root, name)), { recursive: true })
  await writeFile(join(root, `${name}~`), content)
  await rename(join(root, `${name}~`), join(root, name))
}

/** Files that users dropped and that are still there. */
async function filesIn(root: string): Promise<readonly string[]> {
  // A directory may go while it is read.
  const all = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => undefined)
  if (all === undefined) return ['changing']
  return all
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((path) => !/^(?:\.berth|done)\//.test(path))
    .toSorted()
}

test('a dropped file is published once, recorded, and gone', async (t) => {
  const { published, publish } = createRecorder()
  const { root } = await start(t, { publish })
  await drop(root, 'team/app:1')
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(published, [{ file: 'app:1', content: 'team/app:1' }])
  const record = await findRecord(root, 'team/app:1')
  assert.equal(record?.state, 'pushed')
  assert.deepEqual(record?.images, [{ reference: 'host/team/app' }])
})

test('unfinished names are ignored at the start and later (S140)', async (t) => {
  const { published, publish } = createRecorder()
  const root = await newDirectory()
  for (const name of ['a~', 'b.tmp', '.c']) await writeFile(join(root, name), 'x')
  await start(t, { root, publish })
  for (const name of ['d~', 'e.tmp', '.f']) await writeFile(join(root, name), 'x')
  await drop(root, 'last')
  await eventually('the last one is gone', async () => !(await filesIn(root)).includes('last'))
  assert.equal(published.length, 1)
  assert.equal((await filesIn(root)).length, 6)
})

test('a file that a process has open for writing waits, however long it pauses (S139)', async (t) => {
  const { published, publish } = createRecorder()
  const { root } = await start(t, { publish })
  const file = await open(join(root, 'slow'), 'w')
  await file.write('0123456789')
  await utimes(join(root, 'slow'), 0, 0)
  await drop(root, 'quick')
  await eventually('the other one is published', () => published.length === 1)
  await drop(root, 'quick2')
  await eventually('and another one', () => published.length === 2)
  await file.write('0123456789')
  await file.close()
  await eventually('it is published', () => published.length === 3)
  assert.equal(published[2]?.content, '01234567890123456789')
})

test('links, FIFOs, sockets and devices are neither opened nor followed (S147)', async (t) => {
  const { published, publish } = createRecorder()
  const { root } = await start(t, { publish })
  const secret = join(await newDirectory(), 'secret')
  await writeFile(secret, 'secret')
  await symlink(secret, join(root, 'link'))
  execFileSync('mkfifo', [join(root, 'fifo')])
  const server = createServer().listen(join(root, 'socket'))
  t.after(() => server.close())
  await drop(root, 'file')
  await eventually('all are handled', async () => {
    const left = await filesIn(root)
    return ['failed/fifo', 'failed/link', 'failed/socket'].every((path) => left.includes(path))
  })
  await eventually('the file too', async () => !(await filesIn(root)).includes('file'))
  assert.deepEqual(
    published.map(({ file }) => file),
    ['file'],
  )
  for (const name of ['link', 'fifo', 'socket'])
    assert.match((await findRecord(root, name))?.reason ?? '', /neither a file/)
  assert.equal(await readFile(secret, 'utf8'), 'secret')
})

test('a file that is rejected goes to failed/ with the reason, and another one beside it (S152)', async (t) => {
  const { publish } = createRecorder(() => {
    throw new RejectedFile('403 Forbidden', { code: 'DENIED' })
  })
  const { root, spooler } = await start(t, { publish })
  await drop(root, 'app', 'one')
  await eventually('it failed', async () => (await filesIn(root)).includes('failed/app'))
  const record = await findRecord(root, 'app')
  assert.equal(record?.reason, '403 Forbidden')
  assert.equal(record?.code, 'DENIED')
  await drop(root, 'app', 'two')
  await eventually('again', async () => (await filesIn(root)).includes('failed/app.2'))
  assert.equal(await readFile(join(root, 'failed/app'), 'utf8'), 'one')
  assert.equal(await readFile(join(root, 'failed/app.2'), 'utf8'), 'two')
  await eventually('they are counted', () => spooler.status().failed === 2)
})

test('a temporary failure is retried, in the order of each tag; other tags do not wait (S149, S151)', async (t) => {
  let isDown = true
  const { published, publish } = createRecorder((path) => {
    if (isDown && path.includes('app')) throw new Error('503 Service Unavailable')
  })
  const root = await newDirectory()
  const names = ['app:1', 'app:1.tar', 'app:1!']
  for (const [at, name] of names.entries()) {
    await writeFile(join(root, name), String(at))
    await utimes(join(root, name), 1000 + at, 1000 + at)
  }
  const { events } = await start(t, { root, publish })
  await drop(root, 'other')
  await eventually('the other one is published', () => published.length === 1)
  await eventually(
    'there were retries',
    () => events.filter(({ kind }) => kind === 'retry').length > 1,
  )
  assert.equal((await filesIn(root)).length, 3)
  isDown = false
  await eventually('all are published', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(
    published.map(({ file }) => file),
    ['other', ...names],
  )
})

test('a retry comes in time although the clock was set back', async (t) => {
  let lag = 0
  const { published, publish } = createRecorder(() => {
    if (lag > 0) return
    lag = 3_600_000
    throw new Error('503 Service Unavailable')
  })
  const { root } = await start(t, { publish, now: () => Date.now() - lag })
  await drop(root, 'app.tar')
  await eventually('it is published', () => published.length === 1)
})

test('a directory that is too deep is reported once, and files above it are pushed', async (t) => {
  const { publish } = createRecorder()
  const { root, spooler, events } = await start(t, { publish })
  const deepest = Array.from({ length: 16 }, (_, at) => `d${at}`).join('/')
  await drop(root, `${deepest}/deeper/app.tar`)
  await drop(root, `${deepest}/app.tar`)
  await eventually('it is reported', () =>
    (spooler.status().problem ?? '').includes(`${deepest}/deeper" is below 16 directories`),
  )
  await eventually(
    'the other one is pushed',
    async () => (await findRecord(root, `${deepest}/app.tar`)) !== undefined,
  )
  assert.equal(events.filter(({ kind }) => kind === 'broken').length, 1)
  await rename(join(root, deepest, 'deeper'), join(root, 'less-deep'))
  await eventually('nothing is reported', () => spooler.status().problem === undefined)
})

test('a file that is replaced while it is pushed stays, and is pushed too', async (t) => {
  const entered = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const { published, publish } = createRecorder(async () => {
    entered.resolve()
    await gate.promise
  })
  const { root } = await start(t, { publish })
  await drop(root, 'app', 'old')
  await entered.promise
  await drop(root, 'app', 'new')
  gate.resolve()
  await eventually('both are published', () => published.length === 2)
  assert.deepEqual(
    published.map(({ content }) => content),
    ['old', 'new'],
  )
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
})

test('a file that is replaced while the old one is rejected does not go to failed/', async (t) => {
  const { published, publish } = createRecorder(async (path, content) => {
    if (content !== 'old') return
    await drop(dirname(path), 'app', 'new')
    throw new RejectedFile('403 Forbidden')
  })
  const { root } = await start(t, { publish })
  await drop(root, 'app', 'old')
  await eventually('the new one is published', () => published.length === 1)
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(published, [{ file: 'app', content: 'new' }])
})

test('a rejected file stays under its name while failed/ cannot be written (S156)', async (t) => {
  const { publish } = createRecorder(() => {
    throw new RejectedFile('403 Forbidden')
  })
  const root = await newDirectory()
  await writeFile(join(root, 'failed'), 'not a directory')
  const { events } = await start(t, { root, publish })
  await drop(root, 'app', 'one')
  await eventually('it is reported', () => events.some(({ kind }) => kind === 'broken'))
  // Each attempt takes its name away for a moment.
  await eventually('it has its name', async () => {
    const content = await readFile(join(root, 'app'), 'utf8').catch(() => '')
    return content === 'one'
  })
  await rm(join(root, 'failed'))
  await eventually(
    'it failed',
    async () => (await filesIn(root)).join() === 'failed/app,failed/app.json',
  )
  await eventually('nothing is left', async () => {
    const left = await readdir(join(root, '.berth/removing'))
    return left.length === 0
  })
})

test('a file that grows while it is pushed stays, and is pushed again', async (t) => {
  let isFirst = true
  const { published, publish } = createRecorder(async (path) => {
    if (isFirst) await appendFile(path, ' more')
    isFirst = false
  })
  const { root } = await start(t, { publish })
  await drop(root, 'app', 'some')
  await eventually('it is published twice', () => published.length === 2)
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(
    published.map(({ content }) => content),
    ['some', 'some more'],
  )
})

test('an incomplete archive waits for a change, and is rejected after a while (S143)', async (t) => {
  let attempts = 0
  const { published, publish } = createRecorder((_path, content) => {
    attempts += 1
    if (content.length < 10) throw new UnfinishedFile('the archive has no end mark')
  })
  const { root } = await start(t, { publish, maxIncomplete: 1500 })
  await drop(root, 'a.tar', '12345')
  await drop(root, 'b.tar', '12345')
  await eventually('both were tried', () => attempts === 2)
  await writeFile(join(root, 'a.tar'), '1234567890')
  await eventually('the whole one is published', () => published.length === 1)
  await eventually('the other one is rejected', async () =>
    (await filesIn(root)).includes('failed/b.tar'),
  )
  assert.ok(attempts <= 5, `${attempts} attempts`)
})

test('an incomplete archive with a time to come is rejected as others are', async (t) => {
  const { publish } = createRecorder(() => {
    throw new UnfinishedFile('it ends too early')
  })
  const { root } = await start(t, { publish, settle: 20, maxIncomplete: 100 })
  await writeFile(join(root, '.app'), '')
  await utimes(join(root, '.app'), 1e10, 1e10)
  await rename(join(root, '.app'), join(root, 'app.tar'))
  await eventually('it is rejected', async () => (await findRecord(root, 'app.tar')) !== undefined)
})

test('a file with the longest possible name is recorded, kept, and tried again under its name', async (t) => {
  const root = await newDirectory()
  const [pushed, refused] = [`${'a'.repeat(251)}.tar`, `${'é'.repeat(125)}.json`]
  const { published, publish } = createRecorder((_, content) => {
    if (content === 'bad') throw new RejectedFile('no')
  })
  const { events } = await start(t, { root, publish })
  await writeFile(join(root, '.x'), 'good')
  await rename(join(root, '.x'), join(root, pushed))
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.equal((await findRecord(root, pushed))?.state, 'pushed')
  assert.equal(published.length, 1)
  await writeFile(join(root, '.x'), 'bad')
  await rename(join(root, '.x'), join(root, refused))
  await eventually('it is rejected', async () => (await findRecord(root, refused)) !== undefined)
  assert.equal((await findRecord(root, refused))?.file, refused)
  assert.deepEqual(
    events.filter(({ kind }) => kind === 'broken'),
    [],
  )
  assert.deepEqual(await retryFailed(root, [refused]), [{ file: refused }])
})

test('a name that is not UTF-8 is reported, and other files are pushed', async (t) => {
  const { publish } = createRecorder()
  const { root, spooler } = await start(t, { publish })
  const name = Buffer.concat([
    Buffer.from(join(root, 'app')),
    Buffer.from([0xff]),
    Buffer.from('.tar'),
  ])
  writeFileSync(name, '')
  await eventually('it is reported', () =>
    /app.*not UTF-8; rename it/.test(spooler.status().problem ?? ''),
  )
  await drop(root, 'good.tar')
  await eventually(
    'the other one is pushed',
    async () => (await findRecord(root, 'good.tar')) !== undefined,
  )
  await rename(name, join(root, 'app.tar'))
  await eventually('nothing is reported', () => spooler.status().problem === undefined)
})

test('small files do not wait behind large ones', async (t) => {
  const gate = Promise.withResolvers<void>()
  const done: string[] = []
  const publish: Publish = async (job, { path }) => {
    if (path.includes('large')) await gate.promise
    done.push(path)
    return [{ reference: String(job.kind) }]
  }
  const root = await newDirectory()
  for (const name of ['large1', 'large2', 'large3', 'large4']) {
    await writeFile(join(root, name), '')
    await truncate(join(root, name), 100 * 1024 * 1024)
    await utimes(join(root, name), 1, 1)
  }
  await start(t, { root, publish })
  for (let at = 0; at < 50; at += 1) await drop(root, `small${at}`)
  await eventually('all small ones are done', () => done.length === 50)
  gate.resolve()
  await eventually('the large ones too', () => done.length === 54)
})

test('two spoolers on one directory publish each file once, and lose none (S157)', async (t) => {
  const { published, publish } = createRecorder()
  const root = await newDirectory()
  for (const _ of [1, 2]) await start(t, { root, publish })
  for (let at = 0; at < 60; at += 1) await drop(root, `file${at}`)
  await eventually('all are gone', async () => (await filesIn(root)).length === 0)
  assert.equal(new Set(published.map(({ file }) => file)).size, 60)
  assert.equal(published.length, 60)
})

test('stopped in the middle, the file stays, and the next start publishes it (S158)', async (t) => {
  const entered = Promise.withResolvers<void>()
  const slow: Publish = (_job, { signal }) => {
    entered.resolve()
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')))
    })
  }
  const { root, spooler } = await start(t, { publish: slow })
  await drop(root, 'app')
  await entered.promise
  await spooler.stop()
  assert.deepEqual(await filesIn(root), ['app'])
  const { published, publish } = createRecorder()
  await start(t, { root, publish })
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.equal(published.length, 1)
})

test('an interrupted removal gives the file back (S154)', async (t) => {
  const root = await newDirectory()
  const removing = join(root, '.berth', 'removing')
  await mkdir(removing, { recursive: true })
  await writeFile(join(removing, 'id'), 'content')
  await writeFile(join(removing, 'id.json'), JSON.stringify({ path: 'team/app' }))
  await utimes(join(removing, 'id.json'), 1, 1)
  const { published, publish } = createRecorder()
  await start(t, { root, publish })
  await eventually('it is published', () => published.length === 1)
  assert.deepEqual(published, [{ file: 'app', content: 'content' }])
})

test('a file that cannot be given back does not stop the others', async (t) => {
  const root = await newDirectory()
  const removing = join(root, '.berth', 'removing')
  await mkdir(removing, { recursive: true })
  await writeFile(join(root, 'parent'), 'a file now')
  await writeFile(join(removing, 'id'), 'content')
  await writeFile(join(removing, 'id.json'), JSON.stringify({ path: 'parent/app' }))
  await utimes(join(removing, 'id.json'), 1, 1)
  const gate = Promise.withResolvers<void>()
  const { published, publish } = createRecorder((path) =>
    path.endsWith('parent') ? gate.promise : undefined,
  )
  await start(t, { root, publish })
  await drop(root, 'other')
  await eventually('another one is published', () => published.length === 1)
  gate.resolve()
  await eventually('it comes back when there is room', () => published.length === 3)
})

test('a spool whose state cannot be written is reported, and keeps its files (S156)', async (t) => {
  const { published, publish } = createRecorder()
  const { root, spooler, events } = await start(t, { publish })
  await rm(join(root, '.berth/removing'), { recursive: true })
  await writeFile(join(root, '.berth/removing'), 'a file where a directory belongs')
  await drop(root, 'app')
  await eventually('it is reported', () => events.some(({ kind }) => kind === 'broken'))
  assert.ok((await filesIn(root)).includes('app'))
  await rm(join(root, '.berth/removing'))
  await mkdir(join(root, '.berth/removing'))
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.ok(published.length >= 1)
  await eventually('the problem is over', () => spooler.status().problem === undefined)
})

test('an OCI layout that is a directory is one file', async (t) => {
  const paths: string[] = []
  const publish: Publish = async (job, { name }) => {
    assert.ok(job.kind === 'push' && job.isArchive)
    paths.push(name)
    return []
  }
  const { root } = await start(t, { publish })
  await mkdir(join(root, 'app~/blobs'), { recursive: true })
  await writeFile(join(root, 'app~/oci-layout'), '{}')
  await writeFile(join(root, 'app~/index.json'), '{}')
  await rename(join(root, 'app~'), join(root, 'app'))
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(paths, ['app'])
})

test('a directory at the top that belongs to a user never counts as a layout', async (t) => {
  const { published, publish } = createRecorder()
  const { root } = await start(t, {
    publish,
    directories: { find: (prefix) => ({ prefix }), names: ['team'] },
  })
  await drop(root, 'team/app')
  await drop(root, 'team/oci-layout')
  await eventually('both are gone', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(new Set(published.map(({ file }) => file)), new Set(['app', 'oci-layout']))
})

test('a directory with oci-layout and other files goes to failed/, and nothing in it is removed', async (t) => {
  const paths: string[] = []
  const publish: Publish = async (_job, { path }) => {
    paths.push(path)
    return []
  }
  const { root } = await start(t, { publish })
  await mkdir(join(root, 'team~'))
  await writeFile(join(root, 'team~/oci-layout'), '{}')
  await writeFile(join(root, 'team~/app.tar'), 'not pushed')
  await rename(join(root, 'team~'), join(root, 'team'))
  await eventually('it failed', async () => (await filesIn(root)).includes('failed/team/app.tar'))
  assert.equal(await readFile(join(root, 'failed/team/app.tar'), 'utf8'), 'not pushed')
  assert.match(
    (await findRecord(root, 'team'))?.reason ?? '',
    /with app\.tar more than an OCI layout/,
  )
  assert.deepEqual(paths, [])
})

test('links below done/ and failed/ lead nowhere: no file outside of the spool is removed or counted', async (t) => {
  const outside = await newDirectory()
  await writeFile(join(outside, 'old'), 'kept')
  await utimes(join(outside, 'old'), 0, 0)
  const root = await newDirectory()
  for (const name of ['done', 'failed']) {
    await mkdir(join(root, name))
    await symlink(outside, join(root, name, 'link'))
  }
  const { publish } = createRecorder()
  const { spooler } = await start(t, { root, publish, done: { maxDone: 3, maxAge: 1000 } })
  await drop(root, 'app')
  await eventually('it is pushed', () =>
    stat(join(root, 'done/app.json')).then(Boolean, () => false),
  )
  await eventually('its record is old', () =>
    stat(join(root, 'done/app.json')).then(
      () => false,
      () => true,
    ),
  )
  assert.equal(await readFile(join(outside, 'old'), 'utf8'), 'kept')
  assert.equal(spooler.status().failed, 1)
})

/** A clock for waits that runs `change` once, when a file was claimed and before it is opened. */
function afterClaim(root: string, change: () => void): () => number {
  let isDone = false
  return () => {
    if (!isDone && readdirSync(join(root, '.berth/claims')).length > 0) {
      isDone = true
      change()
    }
    return performance.now()
  }
}

/** A directory `team` in the spool, and one outside, which have the same file: nothing but the path differs. */
async function twoNames() {
  const root = await newDirectory()
  const outside = await newDirectory()
  await drop(root, 'team/app', 'content')
  await utimes(join(root, 'team/app'), 1, 1)
  await link(join(root, 'team/app'), join(outside, 'app'))
  const swap = () => {
    renameSync(join(root, 'team'), join(root, '.team'))
    symlinkSync(outside, join(root, 'team'))
  }
  return { root, outside, swap }
}

test('a directory that becomes a link after the scan is not followed (S147)', async (t) => {
  const { root, outside, swap } = await twoNames()
  const { published, publish } = createRecorder()
  await mkdir(join(root, '.berth/claims'), { recursive: true })
  let isSwapped = false
  const uptime = afterClaim(root, () => {
    swap()
    isSwapped = true
  })
  const { spooler } = await start(t, { root, publish, uptime })
  await eventually('the link is in failed/', async () =>
    (await filesIn(root)).includes('failed/team'),
  )
  assert.ok(isSwapped)
  await spooler.stop()
  assert.deepEqual(published, [])
  assert.deepEqual(await readdir(outside), ['app'])
})

test('a directory that becomes a link while its file is pushed is not followed by its removal (S147)', async (t) => {
  const { root, outside, swap } = await twoNames()
  const contents: string[] = []
  const publish: Publish = async (_job, { path }) => {
    swap()
    contents.push(await readFile(path, 'utf8'))
    return []
  }
  await start(t, { root, publish })
  await eventually('the link is in failed/', async () =>
    (await filesIn(root)).includes('failed/team'),
  )
  assert.deepEqual(contents, ['content'])
  assert.deepEqual(await readdir(outside), ['app'])
  assert.equal(await readFile(join(root, '.team/app'), 'utf8'), 'content')
})

test('a layout whose directory becomes a link while it is removed loses nothing outside', async (t) => {
  const root = await newDirectory()
  const outside = await newDirectory()
  await writeFile(join(outside, 'abc'), 'kept')
  const publish: Publish = async (_job, { path }) => {
    await rename(join(path, 'blobs/sha256'), join(root, '.blobs'))
    await symlink(outside, join(path, 'blobs/sha256'))
    throw new RejectedFile('an attack')
  }
  await mkdir(join(root, 'app~/blobs/sha256'), { recursive: true })
  await writeFile(join(root, 'app~/oci-layout'), '{}')
  await rename(join(root, 'app~'), join(root, 'app'))
  await start(t, { root, publish })
  await eventually('it is in failed/', async () =>
    (await filesIn(root)).includes('failed/app.json'),
  )
  assert.equal(await readFile(join(outside, 'abc'), 'utf8'), 'kept')
})

for (const name of ['failed', 'done', '.berth', '.berth/removing'])
  test(`a spool whose ${name} is a link is refused, and nothing leaves the spool through it`, async (t) => {
    const root = await newDirectory()
    const outside = await newDirectory()
    const { published, publish } = createRecorder()
    if (name.includes('/')) await mkdir(dirname(join(root, name)))
    await symlink(outside, join(root, name))
    await assert.rejects(start(t, { root, publish }), new RegExp(`/${name} is a symbolic link`))
    await rm(join(root, name))
    const { spooler, events } = await start(t, { root, publish })
    await eventually('it is well', () => spooler.status().sinceScan < 1000)
    await rm(join(root, name), { recursive: true, force: true })
    await symlink(outside, join(root, name))
    await drop(root, 'app')
    await eventually('it says so', () => /symbolic link/.test(spooler.status().problem ?? ''))
    assert.deepEqual(published, [])
    assert.deepEqual(await readdir(outside), [])
    await rm(join(root, name))
    if (name.startsWith('.berth'))
      for (const each of ['claims', 'tmp', 'removing'])
        await mkdir(join(root, '.berth', each), { recursive: true })
    await eventually('it is published', () => published.length === 1)
    await eventually('and says so', () => events.some(({ kind }) => kind === 'mended'))
  })

async function dropLayout(root: string, name: string, files: readonly string[]): Promise<void> {
  await mkdir(join(root, `${name}~/blobs/sha256`), { recursive: true })
  for (const file of ['oci-layout', ...files]) await writeFile(join(root, `${name}~`, file), '{}')
  await rename(join(root, `${name}~`), join(root, name))
}

test('what a file manager leaves in an OCI layout does not matter', async (t) => {
  const names: string[] = []
  const publish: Publish = async (_job, { name }) => {
    names.push(name)
    return []
  }
  const { root } = await start(t, { publish })
  await dropLayout(root, 'app', ['.DS_Store', 'blobs/._sha256', 'blobs/sha256/.DS_Store'])
  await eventually('it is gone', async () => (await filesIn(root)).length === 0)
  assert.deepEqual(names, ['app'])
})

test('an OCI layout with an unfinished file waits, and is rejected after a while with its name', async (t) => {
  const { published, publish } = createRecorder()
  const { root } = await start(t, { publish, maxIncomplete: 1000 })
  await dropLayout(root, 'app', ['blobs/sha256/.abc.tmp'])
  await drop(root, 'other')
  await eventually('another one is published', () => published.length === 1)
  assert.ok((await filesIn(root)).includes('app/oci-layout'))
  await eventually('it failed', async () => (await filesIn(root)).includes('failed/app.json'))
  assert.match(
    (await findRecord(root, 'app'))?.reason ?? '',
    /contains blobs\/sha256\/\.abc\.tmp, which seems to be unfinished/,
  )
})

test('what spoolers left that were killed is removed: claims, and temporary files', async (t) => {
  const root = await newDirectory()
  const [claims, temporary] = [join(root, '.berth/claims'), join(root, '.berth/tmp')]
  for (const directory of [claims, temporary]) await mkdir(directory, { recursive: true })
  const old = [join(claims, 'a.json'), join(claims, 'a.json.123'), join(temporary, '123.tmp')]
  for (const file of old) {
    await writeFile(file, '{"instance":"a","host":"elsewhere","pid":1}')
    await utimes(file, 1, 1)
  }
  const recent = join(claims, 'b.json')
  await writeFile(recent, '{"instance":"b","host":"elsewhere","pid":1}')
  const { publish } = createRecorder()
  await start(t, { root, publish })
  await eventually('they are gone', async () => {
    const left = [...(await readdir(claims)), ...(await readdir(temporary))]
    return left.join() === 'b.json'
  })
})

test('a directory full of files does not hide those of another one', async () => {
  const root = await newDirectory()
  await mkdir(join(root, 'full'))
  for (let at = 0; at < 20_100; at += 1) writeFileSync(join(root, 'full', String(at)), '')
  for (const name of ['a/app', 'z/app']) await drop(root, name)
  const paths = (await listEntries(root)).map(({ path }) => path)
  assert.ok(paths.includes('a/app') && paths.includes('z/app'))
  assert.equal(paths.length, 20_002)
})

test('records of published files are bounded', async (t) => {
  const { publish } = createRecorder()
  const { root } = await start(t, { publish, done: { maxDone: 3, maxAge: 1e9 } })
  for (let at = 0; at < 10; at += 1) await drop(root, `file${at}`)
  await eventually('all are gone', async () => (await filesIn(root)).length === 0)
  await eventually('three are kept', async () => (await readdir(join(root, 'done'))).length === 3)
})
