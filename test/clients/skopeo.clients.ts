import assert from 'node:assert/strict'
import { run } from '../support/programs.ts'
import { describeClient } from '../support/pulling.ts'
import { login, repository, type Scene } from '../support/scene.ts'
import { skopeoClient } from '../support/skopeo-client.ts'

describeClient({ ...skopeoClient, afterwards: inspect })

/** Reads the config, and asks for all tags, which an upstream that is gone could not tell. */
async function inspect({ berth, images: { image } }: Scene): Promise<void> {
  const name = `docker://${berth.host}/${repository}:image`
  const creds = ['--creds', `${login.user}:${login.password}`]
  const inspected = JSON.parse(
    await run(['skopeo', 'inspect', '--tls-verify=false', ...creds, name]),
  )
  assert.equal(inspected.Digest, image.digest)
  assert.deepEqual(
    inspected.Layers,
    image.blobs.slice(1).map(({ digest }) => digest),
  )
  assert.deepEqual(inspected.RepoTags.toSorted(), ['image', 'index'])
}
