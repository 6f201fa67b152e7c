import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import type { Remote } from '../../remote/remote.ts'
import {
  type FoundImage,
  listImages,
  type OpenedContainerd,
  openContainerdImage,
  partition,
  platformsOf,
} from '../../stores/stores.ts'
import type { RegistryOptions } from '../login/registry-login.ts'
import { type Context, withRegistry } from '../login/registry-options.ts'
import { type Printing, print } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'
import { formatTarget, type RescueTarget, repositoriesOf, rescueTarget } from './rescue-target.ts'

type Listing = {
  readonly opened: OpenedContainerd
  /** Only names that begin with this. */
  readonly image: string | undefined
  readonly flags: RegistryOptions & Printing & { readonly registry?: string }
  readonly signal: AbortSignal
}

type Candidate = { readonly found: FoundImage; readonly target: RescueTarget }

type Listed = {
  readonly image: string
  readonly digest: Digest
  readonly namespace: string
  /** In the registry. */
  readonly state: 'present' | 'missing' | 'unknown'
  /** Of a missing image: what the node has, such as `linux/amd64`; empty: nothing that could be pushed. */
  readonly platforms?: string
  /** Why the state is unknown. */
  readonly problem?: string
}

/** Prints which images the registries of their names do not have any more. Nothing is changed. */
export async function listRescuable(context: Context, listing: Listing): Promise<void> {
  const { flags } = listing
  const byHost = Map.groupBy(await candidates(listing), ({ target }) => target.host)
  const { username, tokenFile, credentials } = flags
  // The danger: all registries would get the password of one of them.
  const hasLogin = [username, tokenFile, credentials].some((option) => option !== undefined)
  if (byHost.size > 1 && hasLogin)
    throw new UsageError(
      `a login is for one registry, and there are images of ${[...byHost.keys()].join(', ')}: name one, such as --list ${[...byHost.keys()][0]}/`,
    )
  const listed: Listed[] = []
  for (const [host, all] of byHost)
    await withRegistry({ ...context, host, options: flags }, async (remote) => {
      for (const candidate of all) listed.push(await check(candidate, remote, listing))
    })
  print(flags, { images: listed }, ({ images }) => describe(images))
}

/** One for each repository that an image is named by; name spaces that have the same image count once. */
async function candidates({ opened, image, flags }: Listing): Promise<readonly Candidate[]> {
  const all = new Map<string, Candidate>()
  for (const found of await listImages(opened))
    for (const repository of repositoriesOf(found)) {
      if (image !== undefined && !`${repository}:`.startsWith(image)) continue
      const wanted = { query: { digest: found.digest }, repository }
      const target = rescueTarget(found, { wanted, registry: flags.registry })
      const key = `${target.host}/${target.name}@${found.digest}`
      if (!all.has(key)) all.set(key, { found, target })
    }
  return [...all.values()]
}

async function check(
  { found, target }: Candidate,
  remote: Remote,
  { opened: { containerd }, signal }: Listing,
): Promise<Listed> {
  signal.throwIfAborted()
  const { digest, namespace } = found
  const row = { image: formatTarget(target, digest), digest, namespace }
  try {
    const there = await remote.manifest(target.name, { digest })
    there?.release()
    if (there !== undefined) return { ...row, state: 'present' }
  } catch (error) {
    if (!isRegistryError(error)) throw error
    return { ...row, state: 'unknown', problem: error.message }
  }
  const image = await openContainerdImage({ containerd, image: found, signal }).catch(
    () => undefined,
  )
  await image?.source.close()
  const platforms = image === undefined ? '' : platformsOf(partition(image).whole)
  return { ...row, state: 'missing', platforms }
}

function describe(images: readonly Listed[]): string {
  const lines = images
    .filter(({ state }) => state !== 'present')
    .map(({ state, image, digest, platforms, problem }) =>
      state === 'missing'
        ? `missing\t${image}\t${digest}\t${platforms || 'this node lacks its layers, too'}`
        : `unknown\t${image}\t${digest}\t${problem}`,
    )
  const present = images.length - lines.length
  return [...lines, `${present} of ${images.length} images are in their registries`].join('\n')
}
