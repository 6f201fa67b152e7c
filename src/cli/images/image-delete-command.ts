import { Command } from 'commander'
import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { type Remote, type RemoteManifest, removeReferrer } from '../../remote/remote.ts'
import { forEachOf } from '../../transfer/transfer.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget, type Target, withRegistry } from '../login/registry-options.ts'
import { withSpoolerRegistry } from '../login/spooler-login.ts'
import { type Printing, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { type DeletionResult, describeDeletion } from './deletion-result.ts'
import { deleteAll } from './image-delete-all.ts'
import { digestOfTag, tagNames } from './tag-list.ts'

type Flags = RegistryOptions &
  Printing & {
    readonly digest?: boolean
    readonly force?: boolean
    readonly all?: boolean
    readonly yes?: boolean
  }

export function imageDeleteCommand(context: Context): Command {
  const command = new Command('delete')
    .summary('remove tags, or images by their digests')
    .description(
      'Remove a tag: the image stays, under its digest and its other tags. With --digest, or by NAME@DIGEST, remove the image itself and with it all its tags: if it has other tags than the named ones, they are printed, and --force is needed. Space is freed by the garbage collection of the registry.',
    )
    .argument(
      '[images...]',
      'HOST[:PORT]/NAME:TAG, or HOST[:PORT]/NAME@DIGEST; with --all, as for list: HOST[:PORT], HOST[:PORT]/PREFIX/ or HOST[:PORT]/NAME',
    )
    .option('--digest', 'remove the images that the tags point to, with all their tags')
    .option('-f, --force', 'remove an image also if it has other tags')
    .option(
      '--all',
      'remove all images with tags, of repositories or of a whole registry; needs --yes',
    )
    .option('--yes', 'confirms --all, which otherwise only lists what it would remove')
    .addOption(outputOption)
    .addHelpText('after', help)
  return addRegistryOptions(command).action((images: readonly string[], flags: Flags) =>
    untilInterrupted((signal) =>
      flags.all === true
        ? deleteAll(context, { images, flags, signal })
        : deleteImages(context, { images, flags, signal }),
    ),
  )
}

/** Exit statuses. */
const failed = 1
const kept = 2

type Deletion = {
  readonly images: readonly string[]
  readonly flags: Flags
  readonly signal: AbortSignal
}

/** One failure does not keep the others from being deleted. */
async function deleteImages(context: Context, { images, flags, signal }: Deletion): Promise<void> {
  if (images.length === 0) throw new UsageError('name the images, or add --all')
  const targets = images.map((image) => ({ image, ...parseTarget(image) }))
  const results: DeletionResult[] = []
  for (const host of new Set(targets.map((target) => target.host))) {
    const options = withSpoolerRegistry(host, flags, context.environment)
    await withRegistry({ ...context, host, options }, async (remote) => {
      const own = targets.filter((target) => target.host === host)
      for (const target of own) {
        signal.throwIfAborted()
        const named = own.flatMap(({ name, reference }) =>
          name === target.name && 'tag' in reference ? [reference.tag] : [],
        )
        results.push(await deleteOne({ remote, target, named, flags, signal }))
      }
    })
  }
  print(flags, { results }, () => results.map(describeDeletion).join('\n'))
  if (results.some(({ state }) => state === 'kept')) process.exitCode = kept
  if (results.some(({ state }) => state === 'failed')) process.exitCode = failed
}

type Deleting = {
  readonly remote: Remote
  readonly target: Target & { readonly image: string }
  /** Tags of the repository that the command names. */
  readonly named: readonly Tag[]
  readonly flags: Flags
  readonly signal: AbortSignal
}

async function deleteOne(deleting: Deleting): Promise<DeletionResult> {
  const { remote, target, flags } = deleting
  const { image, name, reference } = target
  try {
    if ('digest' in reference) return await deleteDigest(reference.digest, deleting)
    const digest = await digestOfTag(remote, name, reference.tag)
    if (digest === undefined) return { image, state: 'absent' }
    return flags.digest === true
      ? await deleteDigest(digest, deleting)
      : await deleteTag(reference.tag, digest, deleting)
  } catch (error) {
    if (!isRegistryError(error)) throw error
    return { image, state: 'failed', reason: error.message }
  }
}

async function deleteDigest(digest: Digest, deleting: Deleting): Promise<DeletionResult> {
  const { remote, target, named, flags } = deleting
  const { image, name } = target
  const tags = (await tagsOf(name, digest, deleting)).filter((tag) => !named.includes(tag))
  if (tags.length > 0 && flags.force !== true)
    return { image, state: 'kept', digest, tags, reason: 'it has other tags; --force deletes them' }
  // What cannot be read can be deleted.
  const found = await remote.manifest(name, { digest }).catch(() => undefined)
  try {
    const isDeleted = await remote.writer.deleteManifest(name, { digest })
    const reason = isDeleted && found && (await takeOffList(remote, name, found))
    const state = isDeleted ? 'deleted' : 'absent'
    return { image, state, digest, tags, ...(reason && { reason }) }
  } finally {
    found?.release()
  }
}

/** From the referrers of its subject, where the registry has no such list. What failed, as a text. */
async function takeOffList(
  remote: Remote,
  name: RepositoryName,
  found: Pick<RemoteManifest, 'digest' | 'bytes'>,
): Promise<string | undefined> {
  try {
    await removeReferrer(remote, name, found)
    return undefined
  } catch (error) {
    if (isRegistryError(error, 'MANIFEST_INVALID')) return undefined
    if (!isRegistryError(error)) throw error
    return `it may still be listed as a referrer: ${error.message}`
  }
}

/** All tags that point to a digest. */
async function tagsOf(
  name: RepositoryName,
  digest: Digest,
  { remote, signal }: Pick<Deleting, 'remote' | 'signal'>,
): Promise<readonly Tag[]> {
  const all = (await tagNames(remote, name)) ?? []
  const found = new Set<Tag>()
  await forEachOf(all, {
    parallel: 8,
    signal,
    action: async (tag) => {
      if ((await digestOfTag(remote, name, tag)) === digest) found.add(tag)
    },
  })
  return all.filter((tag) => found.has(tag))
}

/** Registries that delete by digest only refuse, or answer 404 for a tag that is there. */
async function deleteTag(tag: Tag, digest: Digest, deleting: Deleting): Promise<DeletionResult> {
  const { remote, target } = deleting
  const { image, name } = target
  let refusal = `${remote.origin} answered that it is not there`
  try {
    if (await remote.writer.deleteManifest(name, { tag }))
      return { image, state: 'deleted', digest }
  } catch (error) {
    if (!isRegistryError(error, 'UNSUPPORTED')) throw error
    refusal = error.message
  }
  if ((await digestOfTag(remote, name, tag)) === undefined) return { image, state: 'absent' }
  const tags = (await tagsOf(name, digest, deleting)).filter((other) => other !== tag)
  const reason = `${refusal}; if it allows deletions, --digest deletes the image with all its tags`
  return { image, state: 'failed', digest, tags, reason }
}

const help = `
Exit status: 0, everything is deleted or was not there; 1, something could not be deleted; 2, an image was kept
because it has other tags. The others are deleted in any case.

Examples:
  berth image delete localhost:30026/local/app:1.1 localhost:30026/local/app:1.2
  # the image behind a tag, with all its tags
  berth image delete --digest --force localhost:30026/local/app:1.1`
