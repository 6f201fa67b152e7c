import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { assertHas, digestsBelow } from './exported.ts'
import { diffIdsOf } from './layered-images.ts'
import { run } from './programs.ts'
import type { ClientKind } from './pulling.ts'

/**
 * podman or buildah, which share their storage and most of their flags. Nothing is known of localhost
 * to them, configured for plain HTTP.
 */
export function containersStorageClient(name: 'podman' | 'buildah'): ClientKind {
  return {
    name,
    pullsAll: false,
    tls: 'verified',
    start: async (host, directory, authority) => {
      const policy = join(directory, 'policy.json')
      const registries = join(directory, 'registries.conf')
      await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
      await writeFile(registries, 'unqualified-search-registries = []\n')
      await mkdir(join(directory, 'tmp'), { recursive: true })
      const trust = await trustFlags(directory, authority)
      const environment = {
        HOME: directory,
        XDG_RUNTIME_DIR: directory,
        TMPDIR: join(directory, 'tmp'),
        CONTAINERS_CONF: '/dev/null',
        CONTAINERS_REGISTRIES_CONF: registries,
      }
      const program = [
        ...[name, '--storage-driver', 'vfs'],
        ...['--root', join(directory, 'root'), '--runroot', join(directory, 'run')],
      ]

      return {
        pull: async (image, { user, password }) => {
          await run(
            [
              ...[...program, 'pull', ...trust, '--signature-policy', policy],
              ...['--creds', `${user}:${password}`, `${host}/${image}`],
            ],
            { environment },
          )
        },

        /** The storage keeps manifests and configs as they came, and layers unpacked. */
        check: async (image, wanted) => {
          const kept = await digestsBelow(join(directory, 'root', 'vfs-images'))
          assertHas(
            kept,
            wanted.flatMap(({ digest, blobs: [config] }) =>
              config === undefined ? [digest] : [digest, config.digest],
            ),
          )
          const exported = join(directory, 'tmp', 'exported')
          await run(
            [
              ...[...program, 'push', '--signature-policy', policy],
              // podman compresses into a directory only with this option.
              ...(name === 'buildah' ? ['--disable-compression'] : []),
              ...[`${host}/${image}`, `dir:${exported}`],
            ],
            { environment },
          )
          assertHas(await digestsBelow(exported), wanted.flatMap(diffIdsOf))
          await run(['rm', '-r', exported])
        },

        close: async () => {},
      }
    },
  }
}

/** What the programs of github.com/containers take to believe an authority, or to do without TLS. */
export async function trustFlags(
  directory: string,
  authority: string | undefined,
  prefix = '',
): Promise<readonly string[]> {
  if (authority === undefined) return [`--${prefix}tls-verify=false`]
  const certificates = join(directory, 'certificates')
  await mkdir(certificates, { recursive: true })
  await copyFile(authority, join(certificates, 'ca.crt'))
  return [`--${prefix}cert-dir`, certificates]
}
