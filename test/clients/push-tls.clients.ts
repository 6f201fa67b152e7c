import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createAuthority } from '../support/certificates.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { run, tool } from '../support/programs.ts'
import { pusher, setPushScene } from '../support/push-scene.ts'

test('crane and skopeo push over TLS', async (t) => {
  const directory = await ownDirectory(t)
  const authority = await createAuthority('push')
  t.after(authority.remove)
  const pair = await authority.issue(['DNS:localhost', 'IP:127.0.0.1'])
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  await writeFile(tls.certificate, pair.certificate)
  await writeFile(tls.key, pair.key)
  const scene = await setPushScene({ tls })
  t.after(scene.close)
  const { host } = scene.berth
  const image = makeLayeredImage({ layers: [await makeLayer('large', 20_000_000)] })
  const layout = join(directory, 'layout')
  await writeLayout(layout, 'image', image)
  const environment = { HOME: directory, DOCKER_CONFIG: directory, SSL_CERT_FILE: authority.file }
  const crane = (...words: readonly string[]) => run([tool('crane'), ...words], { environment })
  await crane('auth', 'login', host, '-u', pusher.user, '-p', pusher.password)
  await crane('push', layout, `${host}/local/tls/crane:v1`)

  const policy = join(directory, 'policy.json')
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  const creds = ['--dest-creds', `${pusher.user}:${pusher.password}`]
  const target = `docker://${host}/local/tls/skopeo:v1`
  await run(['skopeo', '--policy', policy, 'copy', ...creds, `oci:${layout}:image`, target], {
    environment,
  })
  for (const name of ['crane', 'skopeo']) {
    assert.equal((await crane('digest', `${host}/local/tls/${name}:v1`)).trim(), image.digest)
    await crane('validate', '--remote', `${host}/local/tls/${name}:v1`)
  }
})
