import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { find, type Manifest, matrix, namesOf, render, threeValues } from '../support/chart.ts'

const { google } = threeValues

suite('buckets', { concurrency: 2 }, () => {
  test('take the place of the volume, for several pods, which leave room for pushes', async () => {
    const name = 'hosted repositories and a cache in buckets of a store with the API of S3'
    const manifests = await render(matrix[name] ?? {})
    const { hosted, inUse, storage } = configOf(manifests)
    assert.deepEqual(hosted, [{ prefix: 'team' }])
    assert.equal(inUse.kubernetes, true)
    assert.equal(storage.cache.maxSize, '14336MiB')
    assert.equal(storage.hosted.bucket.name, 'images')
    assert.equal(storage.hosted.directory, undefined)
    assert.ok(!namesOf(manifests).some((one) => one.startsWith('PersistentVolumeClaim')))
    const { spec } = find(manifests, 'Deployment')
    assert.equal(spec.strategy.type, 'RollingUpdate')
    const fromSecret = (key: string) => ({
      name: key,
      valueFrom: { secretKeyRef: { name: 'keys', key } },
    })
    assert.deepEqual(
      spec.template.spec.containers[0].env.filter((one: { name: string }) =>
        one.name.startsWith('AWS_'),
      ),
      ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'].map(fromSecret),
    )
    const { egress } = find(manifests, 'NetworkPolicy').spec
    const ports = egress.flatMap((rule: { ports: readonly { port: unknown }[] }) =>
      rule.ports.map(({ port }) => port),
    )
    assert.deepEqual(ports, ['peers', 53, 53, 443, 8333, 6443])
  })

  for (const [upstream, type, bucket, identity] of [
    ['https://registry-1.docker.io', 'anonymous', 's3', { aws: { podIdentity: true } }],
    ['https://1.dkr.ecr.eu-west-1.amazonaws.com', 'aws', 's3', { aws: { podIdentity: true } }],
    ['https://us-docker.pkg.dev', 'google', 's3', { google, aws: { podIdentity: true } }],
    ['https://public.ecr.aws', 'aws', 'gcs', { google, aws: { existingSecret: 'keys' } }],
    ['https://registry-1.docker.io', 'anonymous', 'gcs', { google }],
    ['https://us-docker.pkg.dev', 'google', 'gcs', { google }],
  ] as const)
    test(`of ${bucket} have an identity that ${upstream} gets only as ${type}`, async () => {
      const manifests = await render({
        ...{ image: threeValues.image, htpasswd: threeValues.htpasswd, upstream, ...identity },
        config: { storage: { cache: { bucket: { type: bucket, name: 'cache' } } } },
      })
      assert.deepEqual(configOf(manifests).upstreams[0].credentials, { type })
    })
})

function configOf(manifests: readonly Manifest[]) {
  return parse(find(manifests, 'ConfigMap', 'berth').data['berth.yaml'])
}
