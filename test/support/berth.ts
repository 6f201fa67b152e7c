import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Service, serve } from '../../src/cli/serve/serve.ts'
import { loadConfig } from '../../src/config/config.ts'
import { digestOf, isDigest } from '../../src/oci/digest.ts'
import { wrongBodies } from './client.ts'
import { configFile } from './config-file.ts'
import { removeDirectory } from './directory.ts'
import { diskUseOf, temporaryFiles } from './disk.ts'
import { watchedTelemetry } from './telemetry.ts'
import { until } from './until.ts'

export type Berth = {
  readonly url: string
  readonly admin: string
  /** The cache's directory. */
  readonly cache: string
  /** A directory of this Berth's own, removed at the end. */
  readonly directory: string
  readonly service: Service
  /** Lines of the log so far, parsed. */
  logs(): readonly Readonly<Record<string, unknown>>[]
  /** The value of a metric's line, such as `berth_cache_blobs`; 0 when there is none. */
  metric(line: string): Promise<number>
  /** Stops it, and starts it again with the same storage. */
  restart(): Promise<Berth>
  /** And the one that was started in its place. */
  stop(): Promise<void>
}

export type StartOptions = {
  /** The configuration file, without addresses and storage. */
  readonly config: Readonly<Record<string, unknown>>
  readonly environment?: Readonly<Record<string, string>>
  /** The directory of an earlier Berth. */
  readonly directory?: string
  readonly admin?: string
}

/** A whole Berth in this process, on free ports and in a directory of its own. */
export async function startBerth(options: StartOptions): Promise<Berth> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'berth-test-')))
  const file = join(directory, 'berth.yaml')
  const { storage = {}, ...rest } = options.config as { storage?: object }
  const config = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    storage: { directory: join(directory, 'data'), ...storage },
    shutdown: { delay: 0, deadline: '2s' },
    log: { level: 'debug' },
    ...rest,
  }
  await writeFile(file, configFile(config))
  const loaded = loadConfig({ file, flags: {}, set: [], environment: options.environment ?? {} })
  const { telemetry, logs, metric } = watchedTelemetry(loaded.config.log.level)
  const service = await serve(loaded, { version: 'test', telemetry })
  const scheme = loaded.config.tls === undefined ? 'http' : 'https'
  const admin = `http://127.0.0.1:${service.admin.addresses[0]?.port}`
  let stopped: Promise<void> | undefined
  let next: Berth | undefined
  const stop = async () => {
    stopped ??= service.stop(true)
    await stopped
    await next?.stop()
  }

  return {
    url: `${scheme}://127.0.0.1:${service.api.addresses[0]?.port}`,
    admin,
    cache: loaded.config.storage.cache.directory ?? join(loaded.config.storage.directory, 'cache'),
    directory,
    service,
    logs,
    metric,
    restart: async () => {
      await stop()
      next = await startBerth({ ...options, directory })
      return next
    },
    stop,
  }
}

/** Stops it, and removes its directory. */
export async function removeBerth(berth: Berth): Promise<void> {
  await berth.stop()
  await removeDirectory(berth.directory)
}

/** Polls until the condition holds. Rejects when it takes longer, with its name. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  seconds = 120,
): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${seconds} seconds: ${what}`)
    await sleep(10)
  }
}

/**
 * What must hold when no request is in flight (numbers: the invariants of the list of cases): no complete
 * response had wrong bytes (1); every visible blob has its digest, and is read-only (2); no fill is in
 * flight (8); the cache counts what is on disk, and has no temporary files (10).
 */
export async function checkInvariants(berth: Pick<Berth, 'metric' | 'cache'>): Promise<void> {
  assert.deepEqual(wrongBodies, [], 'complete responses with wrong bytes')
  await eventually(
    'no fill is in flight',
    async () => (await berth.metric('berth_fills_in_flight')) === 0,
  )
  await eventually(
    'no request is in flight',
    async () => (await berth.metric('berth_http_in_flight')) === 0,
  )
  let large = 0
  for (const { path, digest } of await visibleBlobs(berth.cache)) {
    const bytes = await readFile(path)
    if (bytes.length > minFragmented) large += 1
    assert.equal(digestOf(bytes, digest.startsWith('sha512') ? 'sha512' : 'sha256'), digest)
    assert.equal((await stat(path)).mode & 0o222, 0, `${path} is writable`)
  }
  // A download from a bucket that failed removes its file after the response.
  await until('no temporary file is left', async () =>
    assert.deepEqual(await temporaryFiles(berth.cache), []),
  )
  await until('the cache counts what is on disk', async () => {
    const stray = await strayFiles(berth.cache).catch(() => [])
    const used = await diskUseOf(berth.cache, stray)
    const counted = await berth.metric('berth_cache_size_bytes')
    const later = used - counted
    assert.ok(later >= 0 && later <= large * extentBlock, `${counted} counted, ${used} on the disk`)
  })
}

/** When ext4 writes a large file that is in many pieces, after it was counted, it adds a block with their places. */
const minFragmented = 16 * 1024 * 1024
const extentBlock = 4096

export async function visibleBlobs(
  cache: string,
): Promise<readonly { path: string; digest: string }[]> {
  const root = join(cache, 'docker', 'registry', 'v2', 'blobs')
  const files = await readdir(root, { recursive: true }).catch(() => [])
  return files.flatMap((file) => {
    const [algorithm, , encoded, data] = file.split('/')
    const digest = `${algorithm}:${encoded}`
    return data === 'data' && isDigest(digest) ? [{ path: join(root, file), digest }] : []
  })
}

/** Files in the directory of a cache that are neither blobs nor metadata. */
export async function strayFiles(cache: string): Promise<readonly string[]> {
  const entries = await readdir(cache, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory())
  return files
    .map(({ parentPath, name }) => join(parentPath, name).slice(cache.length + 1))
    .filter(
      (path) =>
        !/^(recency|links|lock|CACHEDIR\.TAG|berth-(?:pipe|query)\.sock)$|^docker\/.*\/(data|checksums)$/.test(
          path,
        ),
    )
}
