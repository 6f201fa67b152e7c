import assert from 'node:assert/strict'
import { registerHooks } from 'node:module'
import { test } from 'node:test'

test("AWS's library is loaded when it is used, and not before", async () => {
  const loaded: string[] = []
  const hooks = registerHooks({
    load: (url, context, next) => {
      loaded.push(url)
      return next(url, context)
    },
  })
  const isOfAws = (url: string) => /node_modules\/@(aws-sdk|smithy|aws-crypto)\//.test(url)
  try {
    const { removeBerth, startBerth } = await import('../../support/berth.ts')
    const { startAws } = await import('../../support/aws.ts')
    const { get } = await import('../../support/client.ts')
    const aws = await startAws()
    const upstreams = [{ url: aws.url, credentials: { type: 'anonymous' } }]
    const berth = await startBerth({ config: { upstreams } })
    await get(`${berth.url}/v2/a/manifests/v1`)
    await removeBerth(berth)
    assert.ok(
      loaded.some((url) => url.endsWith('/src/credentials/aws/aws.ts')),
      'the hook works',
    )
    assert.deepEqual(loaded.filter(isOfAws), [])

    const { createAwsSource } = await import('../../../src/credentials/aws/aws.ts')
    const { setAwsEnvironment } = await import('../../support/aws.ts')
    const restore = setAwsEnvironment({ ...aws.endpoints, ...aws.user() })
    await createAwsSource({ host: 'localhost', region: 'eu-west-1' }).fetch()
    restore()
    await aws.stop()
    assert.ok(loaded.some((url) => url.includes('/@aws-sdk/client-ecr/')))
    assert.ok(!loaded.some((url) => url.includes('/@aws-sdk/client-ecr-public/')))
  } finally {
    hooks.deregister()
  }
})
