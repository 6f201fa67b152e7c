import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../../src/store/store.ts'
import { checkInvariants, strayFiles } from '../support/berth.ts'
import { bucketServers } from '../support/bucket-servers.ts'
import { startChild } from '../support/child.ts'
import { compileCache } from '../support/compile-cache.ts'
import { temporaryFiles } from '../support/disk.ts'
import { startFaultyProxy } from '../support/faulty-proxy.ts'
import { type Blob, makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullBlob } from '../support/pull.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { volumeFiles } from '../support/volume.ts'

const size = 3_000_000
/** Bytes that have arrived from the bucket when the registry is killed. */
const positions = [size - 1, size]
const hosted = 'local/app'
const proxied = 'p/r'

for (const server of bucketServers)
  test(`a registry that is killed while it fills its disk from a bucket of ${server.name} has nothing unfinished and no wrong blob afterwards`, async (t) => {
    const bucket = await server.startBucket()
    t.after(bucket.close)
    const objects = await bucket.open()
    t.after(objects.close)
    const proxy = await startFaultyProxy(bucket.url)
    t.after(proxy.close)
    const upstream = await startScriptedUpstream()
    t.after(upstream.close)

    const start = (directory?: string) => {
      const at = bucket.configAt(proxy.url)
      return startChild({
        ...(directory !== undefined && { directory }),
        config: {
          upstreams: [{ url: upstream.url }],
          auth: { access: [{ users: ['*'], repositories: ['**'], actions: ['pull'] }] },
          storage: {
            hosted: { bucket: { ...at, prefix: 'hosted' } },
            cache: { bucket: { ...at, prefix: 'cache' }, bucketTimeout: '30s' },
          },
        },
        environment: { ...bucket.keys, ...compileCache },
      })
    }
    let berth = await start()
    t.after(async () => {
      await berth.kill('SIGKILL')
      await rm(berth.directory, { recursive: true, force: true })
    })

    for (const position of positions) {
      const [pushed, cached] = [randomBlob(size), randomBlob(size)]
      for (const [path, bytes] of volumeFiles(hosted, 'v1', makeImage({ layers: [pushed] })))
        await objects.put(`hosted/${path}`, bytes)
      await objects.put(blobPath('cache', cached.digest), cached.bytes)
      upstream.putBlob(proxied, cached)

      const paused = [pushed, cached].map(({ digest }) => {
        const { promise, resolve } = Promise.withResolvers<void>()
        const [, hex = ''] = digest.split(':')
        return { isFor: (line: string) => line.includes(hex), promise, onPaused: resolve }
      })
      // GET with `fields` asks Google for metadata; that of one byte asks S3 whether an object is there.
      proxy.fail((line) => {
        const one =
          /^GET (?!.*(fields=| bytes=0-0$))/.test(line) && paused.find(({ isFor }) => isFor(line))
        return one && position < size && line.includes('data')
          ? { kind: 'pause', after: position, onPaused: one.onPaused }
          : undefined
      })
      const pulls = Promise.allSettled([
        getBlob(berth, hosted, pushed),
        getBlob(berth, proxied, cached),
      ])
      if (position === size) await pulls
      else {
        await Promise.all(paused.map(({ promise }) => promise))
        await until('a part is on the disk', async () =>
          assert.notDeepEqual(await temporaryFiles(berth.cache), []),
        )
      }
      await berth.kill('SIGKILL')
      await pulls
      proxy.behave()

      berth = await start(berth.directory)
      await checkInvariants(berth)
      for (const [name, blob] of [
        [hosted, pushed],
        [proxied, cached],
      ] as const satisfies readonly (readonly [string, Blob])[])
        await pullBlob(berth, name, blob)
      await checkInvariants(berth)
      assert.deepEqual(await strayFiles(berth.cache), [], `after a kill at ${position}`)
      assert.deepEqual(await temporaryFiles(join(berth.directory, 'data', 'hosted')), [])
    }
    t.diagnostic(
      `requests for blobs at the upstream: ${upstream.count(`GET /v2/${proxied}/blobs/`)}`,
    )
  })
