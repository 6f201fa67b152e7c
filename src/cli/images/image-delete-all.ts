import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import { forEachOf } from '../../transfer/transfer.ts'
import type { RegistryOptions } from '../login/registry-login.ts'
import { type Context, parsePlace, withRegistry } from '../login/registry-options.ts'
import { spoolerRegistry, withSpoolerRegistry } from '../login/spooler-login.ts'
import { type Printing, print } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'
import { type DeletionResult, describeDeletion } from './deletion-result.ts'
import { digestOfTag, repositoriesOf, tagNames } from './tag-list.ts'

type Flags = RegistryOptions & Printing & { readonly yes?: boolean }

type Deletion = {
  /** Registries, repositories or prefixes of them; empty: the default registry. */
  readonly images: readonly string[]
  readonly flags: Flags
  readonly signal: AbortSignal
}

/** The images behind all tags of repositories, or of all repositories. */
export async function deleteAll(
  context: Context,
  { images, flags, signal }: Deletion,
): Promise<void> {
  const registry = context.tunnel?.host ?? spoolerRegistry(context.environment).host
  const places = (images.length === 0 ? [registry] : images).map((one) => parsePlace(one, registry))
  const results: DeletionResult[] = []
  for (const { host, name, prefix } of places) {
    const options = withSpoolerRegistry(host, flags, context.environment)
    await withRegistry({ ...context, host, options }, async (remote) => {
      for (const one of name === undefined ? await repositoriesOf(remote, prefix) : [name])
        results.push(...(await deleteRepository({ remote, host, name: one, flags, signal })))
    })
  }
  print(flags, { results }, () => results.map(describeDeletion).join('\n') || 'there are no images')
  if (results.some(({ state }) => state === 'kept'))
    throw new UsageError(
      `nothing was removed: ${results.length} images would be; confirm that with --yes`,
    )
  if (results.some(({ state }) => state === 'failed')) process.exitCode = 1
}

type Emptying = {
  readonly remote: Remote
  readonly flags: Flags
  readonly signal: AbortSignal
  readonly host: string
  readonly name: RepositoryName
}

/** By digest, which all registries support that delete at all. */
async function deleteRepository({
  remote,
  host,
  name,
  flags,
  signal,
}: Emptying): Promise<readonly DeletionResult[]> {
  const all = (await tagNames(remote, name)) ?? []
  const digestOf = new Map<Tag, Digest | undefined>()
  await forEachOf(all, {
    parallel: 8,
    signal,
    action: async (tag) => void digestOf.set(tag, await digestOfTag(remote, name, tag)),
  })
  const results: DeletionResult[] = []
  for (const [digest, tags] of Map.groupBy(all, (tag) => digestOf.get(tag))) {
    signal.throwIfAborted()
    if (digest === undefined) continue
    const image = `${host}/${name}@${digest}`
    const isConfirmed = flags.yes === true
    results.push(
      isConfirmed
        ? await deletePlain(remote, { image, name, digest, tags })
        : { image, state: 'kept', digest, tags, reason: 'not confirmed' },
    )
  }
  return results
}

type Plain = Pick<DeletionResult, 'image'> & {
  readonly name: RepositoryName
  readonly digest: Digest
  readonly tags: readonly Tag[]
}

async function deletePlain(
  remote: Remote,
  { image, name, digest, tags }: Plain,
): Promise<DeletionResult> {
  try {
    const isDeleted = await remote.writer.deleteManifest(name, { digest })
    return { image, state: isDeleted ? 'deleted' : 'absent', digest, tags }
  } catch (error) {
    if (!isRegistryError(error)) throw error
    return { image, state: 'failed', digest, tags, reason: error.message }
  }
}
