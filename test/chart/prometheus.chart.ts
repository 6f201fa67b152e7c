import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { createListDirectory, putList } from '../../src/in-use/in-use.ts'
import { type Berth, removeBerth, startBerth } from '../support/berth.ts'
import { chart } from '../support/chart.ts'
import { type Child, startChild } from '../support/child.ts'
import { get } from '../support/client.ts'
import { flipBlob } from '../support/disk.ts'
import { htpasswdLine } from '../support/docker-registry.ts'
import { startGoogle } from '../support/google.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { type Prometheus, startPrometheus } from '../support/prometheus.ts'
import { pullBlob } from '../support/pull.ts'
import {
  answerInTwo,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { type ArtifactRegistryUpstream, artifactRegistryUpstream } from '../support/upstreams.ts'

/** A Berth that Prometheus scrapes, and a fault of it, which is caused again until its alert fires. */
type Faulty = { readonly admin: string; readonly cause: () => Promise<unknown> }

const login = { user: 'kubelet', password: 'secret' }
const name = 'project/repository/image'
/** Milliseconds: each alert waits for several scrapes, on a machine that may be busy. */
const maxWait = 120_000

const cleanups: (() => Promise<unknown>)[] = []
let directory: string
let prometheus: Prometheus

/** The rules without their waiting times. */
async function readRules() {
  const rules = parse(await readFile(join(chart, 'files/alerts.yaml'), 'utf8'))
  for (const rule of rules.groups[0].rules) delete rule.for
  return rules
}

async function start(config: Readonly<Record<string, unknown>>): Promise<Berth> {
  const berth = await startBerth({ config: { log: { level: 'silent' }, ...config } })
  cleanups.push(() => removeBerth(berth))
  return berth
}

async function upstream(): Promise<ScriptedUpstream> {
  const scripted = await startScriptedUpstream()
  cleanups.push(() => scripted.close())
  return scripted
}

/** A Berth with a scripted upstream, and a fault. */
async function withUpstream(
  cause: (berth: Berth, scripted: ScriptedUpstream) => Promise<unknown>,
  config: Readonly<Record<string, unknown>> = {},
): Promise<Faulty> {
  const scripted = await upstream()
  const image = makeImage()
  scripted.put(name, 'v1', image)
  const berth = await start({ upstreams: [{ url: scripted.url, tags: { ttl: 0 } }], ...config })
  return { admin: berth.admin, cause: () => cause(berth, scripted) }
}

async function withUsers(
  cause: (berth: Berth, htpasswd: string) => Promise<unknown>,
): Promise<Faulty> {
  const htpasswd = join(await mkdtemp(join(directory, 'users-')), 'htpasswd')
  await writeFile(htpasswd, await htpasswdLine(login))
  const berth = await start({ auth: { htpasswd } })
  return { admin: berth.admin, cause: () => cause(berth, htpasswd) }
}

async function withGoogle(file: string): Promise<Faulty> {
  const { url } = await upstream()
  const berth = await start({ upstreams: [{ url, credentials: { type: 'google', file } }] })
  return { admin: berth.admin, cause: async () => {} }
}

async function pullTag(berth: Berth, tag = 'v1'): Promise<void> {
  await get(`${berth.url}/v2/${name}/manifests/${tag}`)
}

/** The second half of the body is sent when the client has the first, so that its response must break. */
async function pullWrongBytes(berth: Berth, scripted: ScriptedUpstream): Promise<void> {
  const { digest } = randomBlob(1000)
  const begun = Promise.withResolvers<void>()
  scripted.on(digest, answerInTwo(randomBlob(2_000_000).bytes, 1_000_000, begun.promise), 1)
  await get(`${berth.url}/v2/${name}/blobs/${digest}`, { onData: () => begun.resolve() })
}

/** A Berth for which another cluster has stored a list of images. */
async function withList(list: string, config: Readonly<Record<string, unknown>>) {
  const hosted = await mkdtemp(join(directory, 'hosted-'))
  await putList(createListDirectory(join(hosted, '_berth', 'in-use')), 'edge', list)
  const berth = await start({ storage: { hosted: { directory: hosted } }, ...config })
  return { admin: berth.admin, cause: async () => {} }
}

/** Each causes the alert of its name, and is scraped as a job of that name. */
const faults: Readonly<Record<string, () => Promise<Faulty>>> = {
  BerthDown: () => withUpstream((berth) => berth.stop()),
  BerthRestarting: async () => {
    let child: Child = await startChild({ config: { log: { level: 'silent' } } })
    const { admin, directory: own } = child
    const { hostname: address } = new URL(admin)
    cleanups.push(async () => {
      await child.kill('SIGKILL')
      await rm(own, { recursive: true, force: true })
    })
    const cause = async () => {
      // It has to be seen in between.
      await sleep(2000)
      await child.kill('SIGKILL')
      child = await startChild({ config: { log: { level: 'silent' } }, address, directory: own })
    }
    return { admin, cause }
  },
  BerthUpstreamUnreachable: () =>
    withUpstream(async (berth, scripted) => {
      await scripted.stop()
      await pullTag(berth, `v${Math.random()}`)
    }),
  BerthUpstreamErrors: () =>
    withUpstream(async (berth, scripted) => {
      scripted.misbehave(
        () =>
          ({ reply }) =>
            reply(503),
      )
      await pullTag(berth, `v${Math.random()}`)
    }),
  BerthUpstreamSlow: () =>
    withUpstream(async (berth, scripted) => {
      scripted.misbehave(() => async ({ reply }) => {
        await sleep(5500)
        reply(404)
      })
      await pullTag(berth, `v${Math.random()}`)
    }),
  BerthCredentialFailing: async () => {
    const file = join(directory, 'nobody.json')
    const token = join(directory, 'token')
    await writeFile(token, 'a.b.c')
    const configuration = {
      type: 'external_account',
      audience:
        '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: 'http://127.0.0.1:1/v1/token',
      credential_source: { file: token },
    }
    await writeFile(file, JSON.stringify(configuration))
    return withGoogle(file)
  },
  BerthTokenExpiring: async () => {
    const google = await startGoogle({ grant: 'direct', life: { seconds: 100 } })
    cleanups.push(() => google.stop())
    return withGoogle(await google.configure(await mkdtemp(join(directory, 'google-'))))
  },
  BerthStale: () => {
    let seen = false
    return withUpstream(async (berth, scripted) => {
      await pullTag(berth)
      if (!seen) await scripted.stop()
      seen = true
    })
  },
  BerthErrors: () =>
    withUpstream(async (berth, scripted) => {
      await scripted.stop()
      await pullTag(berth, `v${Math.random()}`)
    }),
  BerthCutOff: () => withUpstream(pullWrongBytes),
  BerthWrongBytes: () => withUpstream(pullWrongBytes),
  BerthCorruption: () =>
    withUpstream(async (berth, scripted) => {
      const blob = randomBlob(1000)
      scripted.putBlob(name, blob)
      await pullBlob(berth, name, blob)
      // The reader is told of the end before the file has its name.
      while ((await pullBlob(berth, name, blob)) !== 'hit');
      await flipBlob(berth.cache, blob.digest, 500)
      await get(`${berth.url}/v2/${name}/blobs/${blob.digest}`)
    }),
  BerthStorageFailing: () =>
    withUpstream(async (berth, scripted) => {
      const temporary = join(berth.cache, 'tmp')
      await rm(temporary, { recursive: true, force: true })
      await writeFile(temporary, 'in the way')
      const blob = randomBlob(1000)
      scripted.putBlob(name, blob)
      await pullBlob(berth, name, blob)
    }),
  BerthCacheTooSmall: () =>
    withUpstream(
      async (berth, scripted) => {
        for (let count = 0; count < 5; count++) {
          const blob = randomBlob(300_000)
          scripted.putBlob(name, blob)
          await pullBlob(berth, name, blob)
        }
      },
      { storage: { cache: { maxSize: '3MiB', minimumFree: 0 } } },
    ),
  BerthUsersStale: () => withUsers((_, htpasswd) => writeFile(htpasswd, 'alice:secret\n')),
  BerthLoginsFailing: () =>
    withUsers(async (berth) => {
      const authorization = `Basic ${Buffer.from('kubelet:wrong').toString('base64')}`
      const attempts = Array.from({ length: 100 }, () =>
        get(`${berth.url}/v2/`, { headers: { authorization } }),
      )
      await Promise.all(attempts)
    }),
  BerthIndexIncomplete: async () => {
    const hosted = await mkdtemp(join(directory, 'hosted-'))
    await mkdir(join(hosted, 'docker/registry/v2/blobs'), { recursive: true })
    await mkdir(join(hosted, '_berth/index.db/in the way'), { recursive: true })
    const { admin } = await start({ storage: { hosted: { directory: hosted } } })
    return { admin, cause: async () => {} }
  },
  BerthInUseUnknown: () => withList('h/local/app:1', { inUse: { listExpiry: '1ms' } }),
  BerthHostedNotWritable: async () => {
    const { admin } = await start({ storage: { hosted: { readOnly: true } } })
    return { admin, cause: async () => {} }
  },
  BerthImageInUseMissing: async () => {
    const { url } = await upstream()
    const inUse = { hosts: ['berth.test'], interval: '1s' }
    return withList(`berth.test/${name}:gone`, { upstreams: [{ url }], inUse })
  },
}

suite('a real Prometheus', () => {
  const watched = new Map<string, Faulty>()
  let registry: ArtifactRegistryUpstream
  let well: Berth

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
    registry = await artifactRegistryUpstream({ grant: 'direct' })
    cleanups.push(() => registry.close())
    const htpasswd = join(directory, 'htpasswd')
    await writeFile(htpasswd, await htpasswdLine(login))
    well = await start({ upstreams: [registry.config], auth: { htpasswd } })
    for (const [alert, begin] of Object.entries(faults)) watched.set(alert, await begin())

    const targets = Object.fromEntries(
      [...watched].map(([alert, { admin }]) => [alert, new URL(admin).host]),
    )
    prometheus = await startPrometheus({
      targets: { ...targets, well: new URL(well.admin).host },
      rules: await readRules(),
    })
    await until('all are scraped', async () => {
      const scraped = await prometheus.query(
        'count(count_over_time(berth_cache_limit_bytes[5m]) > 1)',
      )
      return scraped[0]?.value === watched.size + 1
    })
  })
  after(async () => {
    await prometheus?.stop()
    for (const clean of cleanups.toReversed()) await clean()
    await rm(directory, { recursive: true, force: true })
  })

  test('has data for each query of the dashboard', { timeout: maxWait }, async () => {
    const dashboard = JSON.parse(await readFile(join(chart, 'files/dashboard.json'), 'utf8'))
    const missing = new Map<string, string>()
    // No spooler runs here, no other replica and no shared cache; the server has no value for their metrics.
    for (const { title, targets = [] } of dashboard.panels)
      for (const { expr } of targets)
        if (!/berth_(spool|replica_requests|shared_cache)_/.test(expr))
          missing.set(inForce(expr), title)
    assert.ok(missing.size > 25)

    const image = makeImage()
    await registry.put(name, 'v1', image)
    await until(
      () => `there is data for ${[...missing.values()].join(', ')}`,
      async () => {
        await pullAll(well, image)
        for (const expression of missing.keys()) {
          const samples = await prometheus.query(expression)
          if (samples.some(({ value }) => Number.isFinite(value))) missing.delete(expression)
        }
        return missing.size === 0
      },
    )
  })

  suite('fires', { concurrency: true }, () => {
    for (const alert of Object.keys(faults))
      test(alert, { timeout: maxWait }, async () => {
        const faulty = watched.get(alert)
        assert.ok(faulty)
        await until(`${alert} fires`, async () => {
          await faulty.cause()
          return (await firing(alert, alert)).length > 0
        })
      })
  })

  test('fires nothing of a Berth that is well', async () => {
    // A machine that is busy may miss a scrape.
    const others = 'ALERTS{job="well",alertname!="BerthDown"}'
    assert.deepEqual(await prometheus.query(`last_over_time(${others}[5m])`), [])
  })

  test('fires BerthAbsent when there is none left', { timeout: maxWait }, async () => {
    assert.deepEqual(await prometheus.query('ALERTS{alertname="BerthAbsent"}'), [])
    for (const clean of cleanups.toReversed()) await clean()
    cleanups.splice(0)
    await until('it fires', async () => (await firing('BerthAbsent')).length > 0)
  })
})

/** Logs in, some without; pulls all, and lists. */
async function pullAll(berth: Berth, image: ReturnType<typeof makeImage>): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`
  const paths = [
    ...['manifests/v1', `manifests/${image.digest}`, 'tags/list'],
    ...image.blobs.map(({ digest }) => `blobs/${digest}`),
  ]
  await get(`${berth.url}/v2/`)
  for (const path of paths)
    await get(`${berth.url}/v2/${name}/${path}`, { headers: { authorization } })
}

async function firing(alert: string, job?: string) {
  const selector = job === undefined ? '' : `,job="${job}"`
  const firing = `ALERTS{alertname="${alert}",alertstate="firing"${selector}}`
  return prometheus.query(`last_over_time(${firing}[1m])`)
}

/** As Grafana would ask it, of the one Berth that is well. */
function inForce(expression: string): string {
  return expression
    .replaceAll('$__rate_interval', '30s')
    .replaceAll('$__range', '5m')
    .replaceAll('$job', 'well')
    .replaceAll('$instance', '.+')
}

async function until(what: string | (() => string), isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + maxWait - 5000
  while (!(await isSo())) {
    if (performance.now() > deadline)
      throw new Error(`not in time: ${typeof what === 'string' ? what : what()}`)
    await sleep(500)
  }
}
