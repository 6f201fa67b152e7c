import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { setAwsEnvironment } from '../support/aws.ts'
import { type Berth, eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'
import { type S3Keys, type SeaweedFs, startSeaweedFs } from '../support/seaweedfs.ts'

const app = 'team/app'
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const keysNamed = (name: string): S3Keys => ({
  AWS_ACCESS_KEY_ID: `id-${name}`,
  AWS_SECRET_ACCESS_KEY: `bucket-canary-${name}`,
})
const [old, next] = [keysNamed('old'), keysNamed('next')]

suite('hosted repositories in a bucket of SeaweedFS whose keys change', () => {
  let seaweedfs: SeaweedFs
  let restore: () => void
  let file: string
  let berth: Berth

  before(async () => {
    seaweedfs = await startSeaweedFs('registry')
  })
  after(() => seaweedfs.close())
  beforeEach(async (t) => {
    file = join(await ownDirectory(t as never), 'credentials')
    restore = setAwsEnvironment({ AWS_SHARED_CREDENTIALS_FILE: file })
    await writeKeys(old)
    await seaweedfs.allow(old)
    berth = await start()
  })
  afterEach(async () => {
    await removeBerth(berth)
    restore()
  })

  const start = () => {
    const bucket = { type: 's3', name: 'registry', endpoint: seaweedfs.url }
    return startBerth({
      config: { upstreams: [], auth: { access }, storage: { hosted: { bucket } } },
    })
  }
  const writeKeys = ({ AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret }: S3Keys) =>
    writeFile(file, `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`)
  const newImage = () => makeImage({ layers: [randomBlob(40_000)] })
  const push = (image: Image) => createPushClient(berth.url).push(app, image, 'v1')
  const tryPush = async () => {
    const response = await createPushClient(berth.url).putManifest(app, 'v2', newImage())
    return `${response.status} ${await response.text()}`
  }
  const readiness = async () => (await get(`${berth.admin}/readyz`)).body.toString('utf8')
  const lines = (message: string) => berth.logs().filter(({ msg }) => msg === message)
  const denied = () => lines('the bucket denies requests')
  const accepted = () => lines('the bucket accepts requests again')

  const assertNoSecret = async () => {
    const texts = [await readiness(), JSON.stringify(berth.logs())]
    for (const text of texts) assert.doesNotMatch(text, /bucket-canary/)
  }

  test('while they are revoked, local images are pulled, and what else fails says why; later all is as before', async (t) => {
    const image = newImage()
    await push(image)
    await pullImage(berth, app, image, 'v1')
    await seaweedfs.allow(next)
    for (let count = 0; count < 5; count += 1) {
      const refused = await tryPush()
      assert.match(refused, /^503 .*UNAVAILABLE.* 403 InvalidAccessKeyId: .*replace the keys/)
      await pullImage(berth, app, image, 'v1')
    }
    await eventually('the reason is logged', () => denied().length > 0)
    for (let count = 0; count < 5; count += 1) {
      await tryPush()
      await pullImage(berth, app, image, 'v1')
    }
    const ready = await readiness()
    t.diagnostic(ready)
    assert.equal(ready.match(/InvalidAccessKeyId/g)?.length, 1)
    t.diagnostic(JSON.stringify(denied()))
    assert.ok(denied().length <= 2)
    assert.equal(
      (await createPushClient(berth.url).send('HEAD', `${app}/blobs/${randomBlob(9).digest}`))
        .status,
      503,
    )

    await seaweedfs.allow(old)
    const later = newImage()
    await eventually(
      'pushes succeed',
      async () => (await readiness()).match(/InvalidAccessKeyId/) === null,
    )
    await push(later)
    await pullImage(berth, app, later, 'v1')
    assert.equal(accepted().length, denied().length)
    await assertNoSecret()
  })

  test('when others take their place, no client notices', async () => {
    const image = newImage()
    await push(image)
    await writeKeys(next)
    await seaweedfs.allow(next)
    await Promise.all(Array.from({ length: 5 }, () => push(newImage())))
    assert.deepEqual(denied(), [])
    assert.deepEqual(
      berth.logs().filter(({ status }) => Number(status) >= 500),
      [],
    )
    await assertNoSecret()
  })
})
