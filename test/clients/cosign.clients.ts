import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { run, tool } from '../support/programs.ts'
import { type PushScene, pusher, setPushScene } from '../support/push-scene.ts'

/** Without sigstore's own services: a pair of keys, and no entry in a transparency log. */
describe('cosign', async () => {
  const directory = await useDirectory()
  const environment = { HOME: directory, DOCKER_CONFIG: directory, COSIGN_PASSWORD: '' }
  const image = makeImage()
  let scene: PushScene
  let reference: string
  before(async () => {
    scene = await setPushScene()
    const { host } = scene.berth
    reference = `${host}/local/signed@${image.digest}`
    const layout = join(directory, 'layout')
    await writeLayout(layout, 'image', image)
    const login = ['auth', 'login', host, '-u', pusher.user, '-p', pusher.password]
    await run([tool('crane'), ...login], { environment })
    await run([tool('crane'), 'push', layout, `${host}/local/signed:v1`], { environment })
    await generateKeys('ours')
    await generateKeys('theirs')
  })
  after(() => scene?.close())

  const generateKeys = async (name: string): Promise<void> => {
    const place = join(directory, name)
    await mkdir(place)
    await run([tool('cosign'), 'generate-key-pair'], { directory: place, environment })
  }
  const cosign = (...words: readonly string[]) =>
    run([tool('cosign'), ...words, '--allow-http-registry', reference], { directory, environment })
  const sign = (...how: readonly string[]) =>
    cosign(
      ...['sign', '--yes', '--key', 'ours/cosign.key', ...how],
      ...['--use-signing-config=false', '--tlog-upload=false'],
    )
  const verify = (keys: string, ...how: readonly string[]) =>
    cosign('verify', '--key', `${keys}/cosign.pub`, '--insecure-ignore-tlog', ...how)
  const tags = () => run([tool('crane'), 'ls', reference.split('@')[0] ?? ''], { environment })

  test('signs by a referrer, and verifies', async () => {
    await assert.rejects(verify('ours'), /no signatures found|no matching/i)
    await sign()
    await verify('ours')
    await assert.rejects(verify('theirs'), /invalid signature|no matching|failed to verify/i)
    assert.equal(await tags(), 'v1\n')
  })

  test('signs by a tag, and verifies', async () => {
    const byTag = '--new-bundle-format=false'
    await assert.rejects(verify('ours', byTag), /no signatures found|no matching/i)
    await sign(byTag)
    await verify('ours', byTag)
    await assert.rejects(verify('theirs', byTag), /invalid signature|no matching/i)
    assert.match(await tags(), new RegExp(`^${image.digest.replace(':', '-')}.sig$`, 'm'))
  })

  test('attests, and verifies what it attested', async () => {
    const predicate = ['--type', 'custom', '--predicate', 'ours/cosign.pub']
    await cosign(
      ...['attest', '--yes', '--key', 'ours/cosign.key', ...predicate],
      ...['--use-signing-config=false', '--tlog-upload=false'],
    )
    const check = ['--type', 'custom', '--insecure-ignore-tlog']
    await cosign('verify-attestation', '--key', 'ours/cosign.pub', ...check)
  })
})
