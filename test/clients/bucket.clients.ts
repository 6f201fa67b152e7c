import assert from 'node:assert/strict'
import { after, before, suite, type TestContext, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { type Bucket, type BucketServer, bucketServers } from '../support/bucket-servers.ts'
import { everything, runConformance } from '../support/conformance.ts'
import { ownDirectory } from '../support/directory.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { run, tool } from '../support/programs.ts'
import { createPushClient } from '../support/push-client.ts'

const actions = ['pull', 'push', 'delete']
const skippedData = [
  ...['INDEX_LIST', 'ARTIFACT', 'ARTIFACT_LIST', 'SUBJECT_MISSING', 'DATA_FIELD', 'SPARSE'],
  ...['NONDISTRIBUTABLE', 'CUSTOM_FIELDS', 'NO_LAYERS', 'INDEX', 'SUBJECT_LIST'],
]
const access = [{ users: ['*'], repositories: ['**'], actions }]

for (const server of bucketServers)
  suite(`hosted repositories in a bucket of ${server.name}`, () => testHosted(server))

function testHosted({ name, startBucket, distributions, hasUploads }: BucketServer): void {
  let bucket: Bucket

  before(async () => {
    bucket = await startBucket()
  })
  after(() => bucket.close())

  const startReplica = async (t: TestContext, prefix: string): Promise<BerthProcess> => {
    const hosted = { bucket: { ...bucket.configAt(bucket.url), prefix } }
    const config = {
      storage: { directory: await ownDirectory(t), hosted },
      hosted: [{ prefix: '', sparse: true }],
      upstreams: [],
      auth: { access },
    }
    const berth = await startBerthProcess(config, bucket.keys)
    t.after(berth.close)
    return berth
  }

  const startDistribution = async (t: TestContext, program: string, rootdirectory: string) => {
    const registry = await startDockerRegistry({
      program,
      ...bucket.distribution(rootdirectory),
    })
    t.after(registry.close)
    return registry
  }

  /** All of it; skopeo verifies each digest. */
  const pull = async (t: TestContext, image: string, login: readonly string[] = []) =>
    run([
      ...['skopeo', 'copy', '--all', '--src-tls-verify=false', ...login],
      ...[`docker://${image}`, `dir:${await ownDirectory(t)}`],
    ])

  const testSpecification = async (t: TestContext) => {
    const berth = await startReplica(t, 'conformance')
    const repositories = { OCI_REPO1: 'conformance/one', OCI_REPO2: 'conformance/two' }
    // With all kinds of content it takes minutes: each test is a dozen requests to the bucket.
    const less = Object.fromEntries(skippedData.map((kind) => [`OCI_DATA_${kind}`, 'false']))
    const asked = { OCI_VERSION: '1.1', ...everything, ...less, ...repositories }
    const { failed, skipped, passed, problems } = await runConformance(berth.host, asked)
    assert.deepEqual({ failed, skipped }, { failed: 0, skipped: 0 }, problems.join('\n'))
    assert.ok(passed >= 100, `${passed} tests passed`)
  }
  // It is slow, and all servers pass the conformance tests of the store.
  if (name === bucketServers[0]?.name)
    test('the conformance tests of the specification pass', testSpecification)

  for (const [version, program] of distributions)
    test(`Distribution ${version} reads what Berth wrote, and the reverse`, async (t) => {
      const prefix = `distribution-${version}`
      const command = program === 'registry3' ? tool(program) : program
      const registry = await startDistribution(t, command, prefix)
      const berth = await startReplica(t, prefix)
      const index = makeIndex([makeImage({ layers: [randomBlob(17_000_000)] }), makeImage()])
      await createPushClient(`http://${berth.host}`).push('team/ours', index, 'v1')
      const { user, password } = registry.login
      await registry.put('team/theirs', 'v1', index, hasUploads ? undefined : 'team/ours')
      await pull(t, `${berth.host}/team/theirs:v1`)
      await pull(t, `${new URL(registry.url).host}/team/ours:v1`, [
        '--src-creds',
        `${user}:${password}`,
      ])
    })

  test('what one replica was pushed, another one has at once; a tag set at both is at both what one set', async (t) => {
    const replicas = await Promise.all([startReplica(t, 'two'), startReplica(t, 'two')])
    const clients = replicas.map(({ host }) => createPushClient(`http://${host}`))
    for (let round = 0; round < 2; round += 1) {
      const images = [makeImage(), makeImage()]
      await Promise.all(
        clients.map((client, at) => client.push('team/app', images[at] ?? makeImage(), 'v1')),
      )
      const tagged = await Promise.all(
        clients.map(async ({ send }) => {
          const response = await send('GET', 'team/app/manifests/v1')
          return response.headers.get('docker-content-digest')
        }),
      )
      assert.equal(tagged[0], tagged[1])
      assert.ok(images.some(({ digest }) => digest === tagged[0]))
      for (const [at, { digest }] of images.entries()) {
        const other = replicas[1 - at]
        await pull(t, `${other?.host}/team/app@${digest}`)
      }
    }
  })
}
