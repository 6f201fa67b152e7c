import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { startBerthProcess } from '../support/berth-process.ts'
import { ownDirectory } from '../support/directory.ts'
import { dockerClient } from '../support/docker-client.ts'
import { startDockerd } from '../support/dockerd.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { run } from '../support/programs.ts'
import { describeClient } from '../support/pulling.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

describeClient(dockerClient)

test("dockerd's registry-mirrors pull Docker Hub's images through Berth, without a password, beside users elsewhere", async (t) => {
  const directory = await ownDirectory(t)
  const hub = await startScriptedUpstream()
  t.after(hub.close)
  const image = makeLayeredImage({ layers: [await makeLayer('one', 100_000)] })
  hub.put('library/busybox', 'latest', image)
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, `alice:${await hashPassword('p', 4)}`)
  const berth = await startBerthProcess({
    auth: { htpasswd },
    upstreams: [{ url: 'http://127.0.0.1:9' }, { prefix: 'docker.io', url: hub.url }],
    mirrors: [{ listen: '127.0.0.1:0' }],
  })
  t.after(berth.close)
  const [, port] = /"mirrors":\[\[\{[^}]*"port":(\d+)/.exec(berth.output()) ?? []
  const { address, kill } = await startDockerd(directory, {
    'registry-mirrors': [`http://127.0.0.1:${port}`],
  })
  t.after(kill)
  const docker = (...command: string[]) => run(['/usr/bin/docker', '--host', address, ...command])

  await docker('pull', 'busybox')
  const [inspected] = JSON.parse(await docker('image', 'inspect', 'busybox'))
  assert.deepEqual(inspected.RepoDigests, [`busybox@${image.digest}`])
  assert.ok(berth.requests().every(({ status }) => status === 200))
  assert.ok(berth.requests().some(({ repository }) => repository === 'docker.io/library/busybox'))
})
