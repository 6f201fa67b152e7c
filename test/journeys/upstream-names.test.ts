import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Image, makeImage } from '../support/images.ts'
import { ownNames } from '../support/names.ts'
import { pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'

const host = 'registry.example'
let upstream: ScriptedUpstream
const berth = useBerth()
let image: Image

beforeEach(async () => {
  upstream = await startScriptedUpstream({ host: '127.0.0.2' })
  image = makeImage()
  upstream.put('p/r', 'v1', image)
  await berth.start({ config: { upstreams: [{ url: `http://${host}:${upstream.port}` }] } })
})
afterEach(() => upstream.close())

const tag = () => get(`${berth.url}/v2/p/r/manifests/v1`)

for (const code of ['ENOTFOUND', 'EAI_AGAIN']) {
  test(`an upstream whose name is ${code} is an error at once, and cached content is served (U21)`, async (t) => {
    const clock = useForwardClock(t)
    const names = ownNames(t)
    names.set(host, code)
    const cold = await tag()
    assert.deepEqual([cold.status, codeOf(cold)], [503, 'UNAVAILABLE'])
    assert.match(cold.body.toString(), /registry\.example:\d+: its name/)
    names.set(host, ['127.0.0.2'])
    clock.advance(60_001)
    await settle()
    await pullImage(berth, 'p/r', image, 'v1')
    names.set(host, code)
    for (const { socket } of upstream.requests) socket.destroy()
    clock.advance(60_001)
    await settle()
    await pullImage(berth, 'p/r', image)
    assert.equal((await tag()).headers['x-cache'], 'stale')
  })
}

test('the next connection finds an upstream at its new address (U22)', async (t) => {
  const clock = useForwardClock(t)
  const names = ownNames(t)
  names.set(host, ['127.0.0.2'])
  await pullImage(berth, 'p/r', image, 'v1')
  const { port } = upstream
  await upstream.close()
  upstream = await startScriptedUpstream({ host: '127.0.0.3', port })
  const moved = makeImage()
  upstream.put('p/r', 'v1', moved)
  names.set(host, ['127.0.0.3'])
  clock.advance(60_001)
  await settle()
  await pullImage(berth, 'p/r', moved, 'v1')
})

test('one reachable address of several is enough, in any position (U23)', async (t) => {
  const names = ownNames(t)
  names.set(host, ['::1', '127.0.0.9', '127.0.0.2'])
  await pullImage(berth, 'p/r', image, 'v1')
})
