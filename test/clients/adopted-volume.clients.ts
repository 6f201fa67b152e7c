import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Berth, checkInvariants, removeBerth, startBerth } from '../support/berth.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { makeImage, makeIndex } from '../support/images.ts'
import { run, tool } from '../support/programs.ts'

const image = makeImage()
const index = makeIndex([makeImage(), makeImage({ architecture: 'arm64' })])
let registry: DockerRegistry
let berth: Berth

before(async () => {
  registry = await startDockerRegistry()
  await registry.put('team/app', 'v1', image)
  await registry.put('team/app', 'multi', index)
  await registry.stop()
  berth = await startBerth({
    config: { upstreams: [], storage: { hosted: { directory: registry.volume } } },
  })
})
after(async () => {
  await checkInvariants(berth)
  await removeBerth(berth)
  await registry.close()
})

test("Berth with docker-registry's volume is pulled from as docker-registry was", async () => {
  const host = new URL(berth.url).host
  for (const [tag, { digest, bytes }] of [
    ['v1', image],
    ['multi', index],
  ] as const) {
    assert.equal((await run([tool('crane'), 'digest', `${host}/team/app:${tag}`])).trim(), digest)
    assert.equal(await run([tool('crane'), 'manifest', `${host}/team/app:${tag}`]), String(bytes))
    await run([tool('crane'), 'validate', '--fast', '--remote', `${host}/team/app:${tag}`])
  }
  const tags = await run(['skopeo', 'list-tags', '--tls-verify=false', `docker://${host}/team/app`])
  assert.deepEqual(JSON.parse(tags).Tags, ['multi', 'v1'])
  assert.equal((await run([tool('crane'), 'catalog', host])).trim(), 'team/app')
})
