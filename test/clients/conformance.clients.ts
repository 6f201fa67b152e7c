import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import {
  type Conformance,
  everything,
  readingOnly,
  runConformance,
} from '../support/conformance.ts'
import { ownDirectory } from '../support/directory.ts'
import { htpasswdLine, startDockerRegistry } from '../support/docker-registry.ts'
import { makeImage, makeIndex } from '../support/images.ts'
import { login } from '../support/scene.ts'
import { startWithoutReferrers } from '../support/without-referrers.ts'

const versions = ['1.1', 'dev'] as const
const repositories = { OCI_REPO1: 'local/conformance/one', OCI_REPO2: 'local/conformance/two' }
/** Images without their layers are accepted where this is configured: the runner can ask for that. */
const hosted = [{ prefix: 'local', sparse: true }]
const actions = ['pull', 'push', 'delete']

/** `passes`: what the runner tested when this was written; fewer would mean that it stopped early. */
function assertConforms(result: Conformance, passes: number, berth: BerthProcess): void {
  const { passed, failed, skipped, problems } = result
  const details = `${problems.join('\n')}\n${berth.lastWords()}`
  assert.deepEqual({ failed, skipped }, { failed: 0, skipped: 0 }, details)
  assert.ok(passed >= passes, `${passed} tests passed`)
}

async function start(
  t: TestContext,
  config: Readonly<Record<string, unknown>>,
): Promise<BerthProcess> {
  const berth = await startBerthProcess(config)
  t.after(berth.close)
  return berth
}

for (const version of versions) {
  suite(`the conformance tests of the specification, version ${version}`, () => {
    const asked = { OCI_VERSION: version, ...everything, ...repositories }

    test('pass, all of them, without a login', async (t) => {
      const access = [{ users: ['*'], repositories: ['local/**'], actions }]
      const berth = await start(t, { hosted, upstreams: [], auth: { access } })
      const result = await runConformance(berth.host, asked)
      assert.equal(result.disabled, 0)
      assertConforms(result, 1000, berth)
    })

    test('pass, all of them, with a login', async (t) => {
      const directory = await ownDirectory(t)
      const htpasswd = join(directory, 'htpasswd')
      await writeFile(htpasswd, await htpasswdLine(login))
      const access = [{ users: [login.user], repositories: ['local/**'], actions }]
      const berth = await start(t, { hosted, upstreams: [], auth: { htpasswd, access } })
      const credentials = { OCI_USERNAME: login.user, OCI_PASSWORD: login.password }
      const result = await runConformance(berth.host, { ...asked, ...credentials })
      assert.equal(result.disabled, 0)
      assertConforms(result, 1000, berth)
    })
  })
}

suite('the conformance tests for pushes to an upstream', () => {
  const auth = { access: [{ users: ['*'], repositories: ['**'], actions }] }
  const asked = {
    ...{ OCI_VERSION: 'dev', ...everything },
    ...{ OCI_REPO1: 'up/local/conformance/one', OCI_REPO2: 'up/local/conformance/two' },
    // The upstream would take any blob that Berth may read, and the client perhaps not.
    OCI_API_BLOBS_MOUNT_ANONYMOUS: 'false',
  }
  for (const [what, hasReferrers] of [
    ['a registry that has all of it', true],
    ['one without a list of referrers', false],
  ] as const)
    test(`pass with ${what}`, async (t) => {
      const upstream = await start(t, { hosted, upstreams: [], auth })
      let url = `http://${upstream.host}`
      if (!hasReferrers) {
        const without = await startWithoutReferrers(url)
        t.after(without.close)
        url = without.url
      }
      const upstreams = [{ prefix: 'up', url, push: true }]
      const berth = await start(t, { upstreams, auth })
      assertConforms(await runConformance(berth.host, asked), 1000, berth)
    })
})

suite('the conformance tests for a registry that can only be read', () => {
  for (const version of versions)
    test(`pass with docker-registry's content, cold and warm, version ${version}`, async (t) => {
      const upstream = await startDockerRegistry()
      t.after(upstream.close)
      const image = makeImage()
      const index = makeIndex([makeImage(), makeImage({ architecture: 'arm64' })])
      await upstream.put('team/app', 'image', image)
      await upstream.put('team/app', 'index', index)
      const credentials = {
        type: 'static',
        username: upstream.login.user,
        password: upstream.login.password,
      }
      const berth = await start(t, { upstreams: [{ url: upstream.url, credentials }] })
      const members = [image, ...index.children]
      const data = {
        OCI_RO_DATA_TAGS: 'image index',
        OCI_RO_DATA_MANIFESTS: [index, ...members].map(({ digest }) => digest).join(' '),
        OCI_RO_DATA_BLOBS: members
          .flatMap(({ blobs }) => blobs.map(({ digest }) => digest))
          .join(' '),
        OCI_RO_DATA_REFERRERS: image.digest,
      }
      const asked = {
        ...{ OCI_VERSION: version, OCI_REPO1: 'team/app' },
        ...{ ...everything, ...readingOnly, ...data },
      }
      const fetched = () => berth.metric('berth_cache_bytes_total', ['source="upstream"'])
      assertConforms(await runConformance(berth.host, asked), 30, berth)
      const cold = await fetched()
      assertConforms(await runConformance(berth.host, asked), 30, berth)
      assert.equal(await fetched(), cold, 'everything came from the cache')
      await upstream.stop()
      const pulls = { OCI_FILTER_TEST: 'OCI Conformance Test/read-only/pull' }
      assertConforms(await runConformance(berth.host, { ...asked, ...pulls }), 10, berth)
    })
})
