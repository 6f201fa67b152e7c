import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { checkInvariants, eventually } from '../support/berth.ts'
import { type Child, startChild } from '../support/child.ts'
import { get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

let upstream: ScriptedUpstream
let berth: Child

before(async () => {
  upstream = await startScriptedUpstream()
})
after(() => upstream.close())
afterEach(async () => {
  await checkInvariants(berth)
  await berth.kill('SIGTERM')
  await rm(berth.directory, { recursive: true, force: true })
})

for (const openFiles of [64, 256])
  test(`with ${openFiles} files, clients that do nothing but connect make no probe fail, and pulls go on (C64, C208)`, async (t) => {
    berth = await startChild({
      config: { upstreams: [{ url: upstream.url }] },
      wrapper: ['prlimit', `--nofile=${openFiles}:${openFiles}`],
    })
    const image = makeImage()
    upstream.put('p/r', 'v1', image)
    const { hostname, port } = new URL(berth.url)
    const idle: Socket[] = []
    t.after(() => {
      for (const socket of idle) socket.destroy()
    })
    for (let at = 0; at < openFiles + 100; at += 1)
      idle.push(connect(Number(port), hostname).on('error', () => {}))
    await eventually('surplus connections are closed', () => idle.some(({ closed }) => closed))
    for (const probe of ['/livez', '/readyz'])
      assert.equal((await get(`${berth.admin}${probe}`)).status, 200, probe)
    await pullImage(berth, 'p/r', image, 'v1')
    for (const probe of ['/livez', '/readyz'])
      assert.equal((await get(`${berth.admin}${probe}`)).status, 200, probe)
    const isTold = () => /limits\.connections is reduced/.test(berth.output())
    await eventually('the log says so', isTold)
  })
