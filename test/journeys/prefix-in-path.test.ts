import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const image = makeImage()
const upstream = await useUpstream()
upstream.put('team/app', 'v1', image)
const berth = useBerth({
  shared: true,
  config: { upstreams: [{ prefix: 'ghcr.io', url: upstream.url }] },
})

const clients = {
  'containerd with a mirror': '/v2/team/app/manifests/v1?ns=ghcr.io',
  'containerd with override_path, k3s with rewrite': '/v2/ghcr.io/team/app/manifests/v1?ns=ghcr.io',
  'whoever names Berth itself': '/v2/ghcr.io/team/app/manifests/v1',
}

for (const [what, path] of Object.entries(clients))
  test(`${what} gets the image of the upstream (C187)`, async () => {
    const { status, body } = await get(berth.url + path)
    assert.equal(status, 200, body.toString())
    assert.deepEqual(body, image.bytes)
    const asked = upstream.requests.map(({ path: of }) => of)
    assert.deepEqual([...new Set(asked)], ['/v2/team/app/manifests/v1'])
  })
