import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDockerd } from './dockerd.ts'
import { assertHas, digestsBelow } from './exported.ts'
import { diffIdsOf } from './layered-images.ts'
import { run } from './programs.ts'
import type { ClientKind } from './pulling.ts'

export const dockerClient: ClientKind = {
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
}
