import { lstat } from 'node:fs/promises'
import { type ImageSource, type OpenImage, openImage } from '../../archive/archive.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseStoreReference } from '../../stores/stores.ts'
import { openRegistryImage } from '../../transfer/transfer.ts'
import type { RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget, withRegistry } from '../login/registry-options.ts'
import { openSource } from '../transfers/image-source.ts'

export const imageArgument =
  'HOST[:PORT]/NAME[:TAG][@DIGEST]; the path of an archive or an OCI layout; or docker://NAME, podman://NAME, containerd://NAME'

/** What `--platform` says if it is not given. */
export const platformHelp =
  'platform of an index (default: linux and the architecture of this machine)'

type Opening = Context & {
  readonly options: RegistryOptions
  readonly platform?: string | undefined
  /** Which image of an archive of several. */
  readonly image?: string | undefined
  readonly signal: AbortSignal
}

/** Opens an image to read its files, wherever it is, and closes it after `use`. */
export async function withImage<Result>(
  named: string,
  opening: Opening,
  use: (image: OpenImage) => Promise<Result>,
): Promise<Result> {
  const { platform = `linux/${architecture()}`, environment, signal, image } = opening
  const open = async (source: ImageSource, digest: Digest): Promise<Result> =>
    use(await openImage(source, digest, platform))
  if (await isLocal(named)) {
    // Layers stay as they are: they are only read.
    const local = await openSource(named, {
      image,
      compression: { kind: 'none' },
      environment,
      signal,
    })
    try {
      return await open(local.source, local.digest)
    } finally {
      await local.source.close()
    }
  }
  const target = parseTarget(named)
  return withRegistry({ ...opening, host: target.host }, async (remote) => {
    const source = await openRegistryImage({ remote, ...target })
    const [root] = source.images
    if (root === undefined) throw new Error('a registry image has a manifest')
    return open(source, root.digest)
  })
}

/** Whether it is a file, a directory or an image of a store, and no name of a registry. */
export async function isLocal(named: string): Promise<boolean> {
  if (parseStoreReference(named) !== undefined || /^\.{0,2}\//.test(named)) return true
  return lstat(named).then(
    () => true,
    () => false,
  )
}

/** Go's names. */
function architecture(): string {
  return { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch
}
