import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run, tool } from './programs.ts'
import { type ClientKind, contentOf } from './pulling.ts'

export const craneClient: ClientKind = {
  name: 'crane',
  pullsAll: true,
  tls: 'verified',
  start: async (host, directory, authority) => {
    const crane = tool('crane')
    const docker = join(directory, 'docker')
    await mkdir(docker)
    const trust = authority !== undefined && { SSL_CERT_FILE: authority }
    const environment = { HOME: directory, DOCKER_CONFIG: docker, ...trust }
    const placeOf = (name: string) => join(directory, name.replaceAll(/[/:]/g, '_'))

    return {
      pull: async (name, { user, password }) => {
        const auth = Buffer.from(`${user}:${password}`).toString('base64')
        await writeFile(
          join(docker, 'config.json'),
          JSON.stringify({ auths: { [host]: { auth } } }),
        )
        await run([crane, 'pull', '--format', 'oci', `${host}/${name}`, placeOf(name)], {
          environment,
        })
      },

      check: async (name, wanted) => {
        const [top] = wanted
        const index = JSON.parse(await readFile(join(placeOf(name), 'index.json'), 'utf8')) as {
          readonly manifests: readonly { readonly digest: string }[]
        }
        assert.deepEqual(
          index.manifests.map(({ digest }) => digest),
          [top?.digest],
        )
        for (const [digest, bytes] of contentOf(wanted)) {
          const place = join(placeOf(name), 'blobs', digest.replace(':', '/'))
          assert.ok(bytes.equals(await readFile(place)), `${place} is not what it should be`)
        }
      },

      close: async () => {},
    }
  },
}
