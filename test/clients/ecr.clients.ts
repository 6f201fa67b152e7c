import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Image } from '../support/images.ts'
import { run, tool } from '../support/programs.ts'
import { contentOf } from '../support/pulling.ts'
import { login, repository, setScene } from '../support/scene.ts'
import { ecrUpstream } from '../support/upstreams.ts'

/** Each pulls an image into an OCI layout. */
const clients: Readonly<Record<string, (image: string, to: string) => Promise<void>>> = {
  skopeo: async (image, to) => {
    const policy = join(to, '..', 'policy.json')
    await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
    const creds = ['--src-creds', `${login.user}:${login.password}`]
    const copy = ['copy', '--all', '--preserve-digests', '--src-tls-verify=false', ...creds]
    await run(['skopeo', '--policy', policy, ...copy, `docker://${image}`, `oci:${to}:v1`])
  },
  crane: async (image, to) => {
    const [host = ''] = image.split('/')
    const docker = join(to, '..')
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    await writeFile(join(docker, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
    const environment = { DOCKER_CONFIG: docker, HOME: docker }
    await run([tool('crane'), 'pull', '--format', 'oci', image, to], { environment })
  },
}

for (const [client, pull] of Object.entries(clients))
  test(`${client} pulls through Berth from Amazon ECR, while passwords expire and a body breaks`, async () => {
    const upstream = await ecrUpstream()
    const scene = await setScene(upstream)
    const directory = await mkdtemp(join(tmpdir(), 'berth-client-'))
    try {
      upstream.registry.delay(300)
      upstream.storage.cutNext()
      for (const [tag, image] of Object.entries(scene.images)) {
        const to = join(directory, tag)
        await pull(`${scene.berth.host}/${repository}:${tag}`, to)
        await assertHas(to, [image, ...image.children])
        // The next pull uses one that ECR refuses, and its successors expire at a time that Berth knows.
        upstream.aws.expirePasswords()
        upstream.aws.passwordLife(6)
      }
      assert.ok(upstream.aws.countRequests('ecr:GetAuthorizationToken') >= 2)
      assert.ok(upstream.registry.answered(403) >= 1, 'a password was refused')
      assert.ok(await scene.berth.metric('berth_fill_resumes_total'), 'a body was resumed')
      for (const { headers } of upstream.storage.requests)
        assert.equal(headers.authorization, undefined)
    } catch (error) {
      throw new Error(`the end of Berth's log:\n${scene.berth.lastWords()}`, { cause: error })
    } finally {
      await scene.close()
      await rm(directory, { recursive: true, force: true })
    }
  })

async function assertHas(layout: string, images: readonly Image[]): Promise<void> {
  for (const [digest, bytes] of contentOf(images)) {
    const place = join(layout, 'blobs', digest.replace(':', '/'))
    assert.ok(bytes.equals(await readFile(place)), `${place} is not what it should be`)
  }
}
