import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { ownDirectory } from '../support/directory.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { droppedFiles, startSpool } from '../support/spool-process.ts'
import { tarFile } from '../support/tar-file.ts'

const smallFiles = 200
/** Bytes of the large archive: a third is random, as in images of real programs. */
const largeSize = 300_000_000
/** Peak memory of a spooler that runs from its sources, in bytes; the large archive would not fit in beside it. */
const maxMemory = 450_000_000

/** Layers, each of 50 MB, that compress a little. */
function largeArchive(): Buffer {
  const text = Buffer.from('a line of text that is in the layer very often\n'.repeat(7000))
  const layers = Array.from({ length: largeSize / 50_000_000 }, (_, layer) => {
    const files = Array.from({ length: 50 }, (_unused, at) => {
      const content = Buffer.concat([randomBytes(333_333), text, text])
      return { name: `${layer}/${at}`, content }
    })
    return tarFile(files)
  })
  return tarFile(dockerItems([dockerImage('any:1', layers)]))
}

async function peakMemoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

test('small files are not stuck behind a large one that is older, and memory is constant', async (t) => {
  const root = await ownDirectory(t)
  const registry = await startDockerRegistry()
  t.after(() => registry.close())
  const password = join(await ownDirectory(t), 'password')
  await writeFile(password, registry.login.password)
  const names = Array.from({ length: smallFiles }, (_, at) => `small-${at}.txt`)
  await writeFile(join(root, 'large:1.tar~'), largeArchive())
  await utimes(join(root, 'large:1.tar~'), 1, 1)
  for (const name of names) await writeFile(join(root, `${name}~`), name)

  const spool = await startSpool({
    root,
    registry: new URL(registry.url).host,
    args: ['--username', registry.login.user, '--password-file', password],
  })
  t.after(() => spool.kill())
  for (const name of ['large:1.tar', ...names])
    await rename(join(root, `${name}~`), join(root, name))
  // As long as the test itself may last.
  while ((await droppedFiles(root).catch(() => ['changing'])).length > 0) await sleep(200)

  const finishedAt = async (name: string) => {
    const record = JSON.parse(await readFile(join(root, 'done', `${name}.json`), 'utf8'))
    assert.equal(record.state, 'pushed')
    return Date.parse(record.finishedAt)
  }
  const end = await finishedAt('large:1.tar')
  const ends = await Promise.all(names.map(finishedAt))
  const before = ends.filter((each) => each < end).length
  t.diagnostic(`${before} of ${smallFiles} small files were pushed before the large one`)
  // In the order of age, it would be none; how many there are depends on the machine.
  assert.ok(before >= 3, `${before} small files were pushed before the large one`)
  const memory = await peakMemoryOf(spool.pid)
  t.diagnostic(`peak memory ${Math.round(memory / 1e6)} MB`)
  assert.ok(memory < maxMemory, `${memory} bytes of memory`)
})
