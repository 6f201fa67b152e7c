import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ownDirectory } from '../support/directory.ts'
import { createDurableModel } from '../support/durable-model.ts'
import { startHostedProcess } from '../support/hosted-process.ts'
import { pushOf, type Step } from '../support/push-steps.ts'

const calls = 'openat,mkdir,write,writev,pwrite64,pwritev,fsync,fdatasync,rename,unlink,rmdir'

/**
 * Sessions may be lost, and checksums, which bytes are then hashed for. What is in `tmp/` is moved
 * before it counts.
 */
function mustSurvive(root: string, path: string): boolean {
  const isUnfinished = path.includes('/_uploads') || path.startsWith(join(root, 'tmp'))
  return path.startsWith(`${root}/docker`) && !isUnfinished && !path.endsWith('/checksums')
}

for (const [threads, pushes] of [
  [1, 1],
  [4, 1],
  [4, 8],
] as const)
  test(`each name and all bytes are synced before a change is acknowledged, with ${threads} threads and ${pushes} pushes (C68, H138)`, async (t) => {
    const root = await ownDirectory(t)
    const trace = join(await ownDirectory(t), 'trace')
    const wrapper = ['strace', '-f', '-y', '-qq', '-s', '400', '-e', `trace=${calls}`, '-o', trace]
    const child = await startHostedProcess(t, root, { wrapper, threads })
    const seeds = Array.from({ length: pushes }, (_, at) => `s${at}`)
    for (const seed of seeds) child.push(seed)
    for (const seed of seeds) await child.ended(seed)
    await child.close()
    const steps = new Map<string, Step>(
      seeds.flatMap((seed) =>
        pushOf(seed).steps.map((step) => [`done ${seed} ${step.name}`, step] as const),
      ),
    )

    const model = createDurableModel((path) => mustSurvive(root, path))
    const changed = new Set<string>()
    const acknowledged: string[] = []
    for (const line of (await readFile(trace, 'utf8')).split('\n')) {
      model.read(line)
      for (const path of model.fragile()) changed.add(path)
      const [, said = ''] = /write\(1<[^>]*>, "(done [^\\]*)\\n"/.exec(line) ?? []
      const step = steps.get(said)
      if (step === undefined) continue
      acknowledged.push(said)
      // Another push may be replacing it: after a power loss it is this one or that one.
      const isShared = pushes > 1 && step.name === 'tag latest'
      assert.ok(isShared || model.isDurable(step.path(root)), `${step.path(root)} after ${said}`)
      if (pushes === 1) assert.deepEqual(model.fragile(), [], said)
    }
    assert.deepEqual(acknowledged.toSorted(), [...steps.keys()].toSorted())
    assert.deepEqual(model.fragile(), [])
    for (const step of steps.values()) assert.ok(changed.has(step.path(root)), step.name)
  })
