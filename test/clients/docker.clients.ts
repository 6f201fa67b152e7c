import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { startBerthProcess } from '../support/berth-process.ts'
import { ownDirectory } from '../support/directory.ts'
import { startDockerd } from '../support/dockerd.ts'
import { assertHas, digestsBelow } from '../support/exported.ts'
import { diffIdsOf, makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { run } from '../support/programs.ts'
import { describeClient } from '../support/pulling.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

describeClient({
  name: 'docker',
  pullsAll: false,
  tls: 'unverified',
  start: async (host, directory) => {
    const client = join(directory, 'client')
    await mkdir(client)
    const { address, kill } = await startDockerd(directory)
    const docker = (...command: string[]) =>
      run(['/usr/bin/docker', '--config', client, '--host', address, ...command])

    return {
      pull: async (name, { user, password }) => {
        const auth = Buffer.from(`${user}:${password}`).toString('base64')
        const config = { auths: { [host]: { auth } } }
        await writeFile(join(client, 'config.json'), JSON.stringify(config))
        await docker('pull', `${host}/${name}`)
      },

      /** docker keeps what it unpacked: it gives the config back, and the layers as tars. */
      check: async (name, wanted) => {
        const [top] = wanted
        const image = wanted.at(-1)
        assert.ok(top && image)
        const [inspected] = JSON.parse(await docker('image', 'inspect', `${host}/${name}`))
        assert.equal(inspected.Id, image.blobs[0]?.digest)
        const [repository] = name.split(':')
        assert.deepEqual(inspected.RepoDigests, [`${host}/${repository}@${top.digest}`])
        const tar = join(directory, `${top.digest}.tar`)
        await docker('save', '--output', tar, `${host}/${name}`)
        const exported = await digestsBelow(join(directory, top.digest), tar)
        assertHas(exported, [inspected.Id, ...diffIdsOf(image)])
      },

      close: kill,
    }
  },
})

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
