import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { layerLinkPath, repositoriesDirectory, temporaryDirectory } from '../../src/store/paths.ts'
import { checkInvariants, eventually, startBerth, strayFiles } from '../support/berth.ts'
import { startChild } from '../support/child.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

let upstream: ScriptedUpstream
let blob: Blob

before(async () => {
  upstream = await startScriptedUpstream()
  blob = randomBlob(100_000)
  upstream.putBlob('p/r', blob)
})
after(() => upstream.close())

function config(): Readonly<Record<string, unknown>> {
  return {
    upstreams: [{ url: upstream.url }],
    storage: { cache: { minimumFree: 0, scrubRate: 0 } },
  }
}

/** Of a process that is no more: an unfinished file, and a link as an earlier version made them. */
async function litter(cache: string): Promise<void> {
  const gone = parseDigest(`sha256:${'0'.repeat(64)}`)
  const repositories = join(repositoriesDirectory(cache), '127.0.0.1_0123456789ab')
  for (const path of [
    join(temporaryDirectory(cache), `${hostname()}+999999999+1`, 'unfinished'),
    layerLinkPath(repositories, parseRepositoryName('p/gone'), gone),
  ]) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, gone)
  }
}

for (const call of ['unlink', 'rmdir', 'rename', 'mkdir']) {
  test(`killed at each ${call} of a start that tidies up, the next start does it (C66, C67, INV-18)`, async (t) => {
    const directory = await ownDirectory(t)
    const cache = join(directory, 'data', 'cache')
    const first = await startChild({ config: config(), directory })
    await pullBlob(first, 'p/r', blob)
    await first.kill('SIGTERM')

    let kills = 0
    for (let isKilled = true; isKilled; ) {
      await litter(cache)
      const inject = `inject=${call}:signal=SIGKILL:when=${kills + 1}`
      const wrapper = [
        'strace',
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        `trace=${call}`,
        '-e',
        inject,
      ]
      const child = await startChild({ config: config(), directory, wrapper }).catch(
        () => undefined,
      )
      // What is listed may be gone before it is looked into.
      const isTidy = async () => (await strayFiles(cache).catch(() => ['?'])).length === 0
      if (child !== undefined)
        await eventually('it is tidy, or dead', async () => {
          const alive = await child.metric('berth_cache_limit_bytes').catch(() => undefined)
          return alive === undefined || (await isTidy())
        })
      await child?.kill('SIGTERM')
      isKilled = child === undefined || child.endedBy() === 'SIGKILL'
      if (isKilled) kills += 1

      const berth = await startBerth({ config: config(), directory })
      await eventually('it is tidy', isTidy)
      await checkInvariants(berth)
      assert.equal(await pullBlob(berth, 'p/r', blob), 'hit')
      await berth.stop()
    }
    t.diagnostic(`${kills} kills`)
  })
}
