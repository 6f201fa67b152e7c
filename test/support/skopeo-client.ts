import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { trustFlags } from './containers-storage.ts'
import { run } from './programs.ts'
import { type ClientKind, contentOf } from './pulling.ts'

export const skopeoClient: ClientKind = {
  name: 'skopeo',
  pullsAll: true,
  tls: 'verified',
  start: async (host, directory, authority) => {
    const policy = join(directory, 'policy.json')
    await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
    const environment = { HOME: directory, XDG_RUNTIME_DIR: directory }
    const placeOf = (name: string) => join(directory, name.replaceAll(/[/:]/g, '_'))
    const trust = await trustFlags(directory, authority)
    const trustOfSource = await trustFlags(directory, authority, 'src-')

    return {
      pull: async (name, { user, password }) => {
        const skopeo = ['skopeo', '--policy', policy]
        const image = `docker://${host}/${name}`
        const creds = `${user}:${password}`
        const inspected = await run(
          [...skopeo, 'inspect', '--raw', ...trust, '--creds', creds, image],
          { environment },
        )
        await run(
          [
            ...[...skopeo, 'copy', '--all', '--preserve-digests', ...trustOfSource],
            ...['--src-creds', creds, image, `dir:${placeOf(name)}`],
          ],
          { environment },
        )
        assert.equal(inspected, await readFile(join(placeOf(name), 'manifest.json'), 'utf8'))
      },

      check: async (name, wanted) => {
        const [top] = wanted
        for (const [digest, bytes] of contentOf(wanted)) {
          const hex = digest.replace('sha256:', '')
          const isManifest = wanted.some((image) => image.digest === digest)
          const file = isManifest ? `${hex}.manifest.json` : hex
          const place = join(placeOf(name), digest === top?.digest ? 'manifest.json' : file)
          assert.ok(bytes.equals(await readFile(place)), `${place} is not what it should be`)
        }
      },

      close: async () => {},
    }
  },
}
