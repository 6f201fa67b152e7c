import { Command } from 'commander'
import { isRegistryError } from '../../oci/errors.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import { forEachOf } from '../../transfer/transfer.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parsePlace, withRegistry } from '../login/registry-options.ts'
import { spoolerRegistry, withSpoolerRegistry } from '../login/spooler-login.ts'
import { type Printing, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { formatTable } from '../output/table.ts'
import { UsageError } from '../process/errors.ts'
import {
  columnsOf,
  type ListedTag,
  readTags,
  repositoriesOf,
  rowOf,
  type TagDetails,
} from './tag-list.ts'

type Flags = RegistryOptions &
  Printing & {
    readonly all?: boolean
    readonly digests?: boolean
    readonly long?: boolean
  }

/** Repositories at a time, for `--all`. */
const parallel = 4

export function imageListCommand(context: Context): Command {
  const command = new Command('list')
    .summary('list the repositories of a registry, or the tags of a repository')
    .description(
      'List the tags of a repository, or, without one, the repositories of a registry. Tags are in natural order (1.9 before 1.10). --long reads the manifest and the config of each image, each once.',
    )
    .argument(
      '[what]',
      'HOST[:PORT]/NAME, HOST[:PORT], or HOST[:PORT]/PREFIX/ for the repositories below it (default: $REGISTRY_SPOOLER_REGISTRY, else localhost:30026)',
    )
    .option('-a, --all', 'all repositories, with their tags')
    .option('--digests', 'also print the digest of each tag')
    .option('-l, --long', 'also print digest, size of all blobs, platforms and time of creation')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addRegistryOptions(command).action((what: string | undefined, flags: Flags) =>
    untilInterrupted((signal) => list(context, { what, flags, signal })),
  )
}

type Listing = {
  readonly what: string | undefined
  readonly flags: Flags
  readonly signal: AbortSignal
}

async function list(context: Context, { what, flags, signal }: Listing): Promise<void> {
  const registry = spoolerRegistry(context.environment).host
  const { host, name, prefix } = parsePlace(what ?? registry, registry)
  const options = withSpoolerRegistry(host, flags, context.environment)
  const details = detailsOf(flags)
  await withRegistry({ ...context, host, options }, async (remote) => {
    const reading = { remote, details, signal }
    if (name !== undefined) return listOne(`${host}/${name}`, name, { ...reading, flags })
    const names = await repositoriesOf(remote, prefix)
    if (flags.all !== true && details === 'names') {
      const repositories = names.map((each) => ({ repository: `${host}/${each}` }))
      return print(flags, { registry: host, repositories }, () => names.join('\n'))
    }
    return listAll(host, names, { ...reading, flags })
  })
}

function detailsOf({ digests, long }: Flags): TagDetails {
  if (long === true) return 'long'
  return digests === true ? 'digests' : 'names'
}

type Reading = {
  readonly remote: Remote
  readonly details: TagDetails
  readonly flags: Flags
  readonly signal: AbortSignal
}

async function listOne(
  repository: string,
  name: RepositoryName,
  { flags, ...reading }: Reading,
): Promise<void> {
  const tags = await readTags(name, reading)
  if (tags === undefined)
    throw new UsageError(`${reading.remote.origin} has no repository ${name}, or no tags there`)
  print(flags, { repository, tags }, () =>
    reading.details === 'names'
      ? tags.map(({ tag }) => tag).join('\n')
      : formatTable(columnsOf(reading.details), tags.map(rowOf(reading.details))),
  )
}

type ListedRepository = {
  readonly repository: string
  readonly name: RepositoryName
  readonly tags: readonly ListedTag[]
  /** Why they are not known. */
  readonly problem?: string
}

/** What can be listed is printed, whatever happens to the rest. */
async function listAll(
  host: string,
  names: readonly RepositoryName[],
  { flags, ...reading }: Reading,
): Promise<void> {
  const found = new Map<RepositoryName, ListedRepository>()
  await forEachOf(names, {
    parallel,
    signal: reading.signal,
    action: async (name) => {
      const repository = `${host}/${name}`
      try {
        found.set(name, { repository, name, tags: (await readTags(name, reading)) ?? [] })
      } catch (error) {
        if (!isRegistryError(error)) throw error
        found.set(name, { repository, name, tags: [], problem: error.message })
        process.stderr.write(`berth: ${name}: ${error.message}\n`)
        process.exitCode = 1
      }
    },
  })
  const repositories = names.flatMap((name) => found.get(name) ?? [])
  const format = rowOf(reading.details)
  const rows = repositories.flatMap(({ name, tags }) =>
    tags.length === 0
      ? [[name, ...blank(reading.details)]]
      : tags.map((tag) => [name, ...format(tag)]),
  )
  print(
    flags,
    {
      registry: host,
      repositories: repositories.map(({ name: _name, ...repository }) => repository),
    },
    () => formatTable(['REPOSITORY', ...columnsOf(reading.details)], rows),
  )
}

function blank(details: TagDetails): readonly string[] {
  return columnsOf(details).map(() => '')
}

const examples = `
Examples:
  # the repositories of Berth on this node, and those below local/team
  berth image list localhost:30026
  berth image list localhost:30026/local/team/
  # the tags of one of them, one on a line
  berth image list localhost:30026/local/app
  # size, platforms and time of all images
  berth image list --all --long localhost:30026`
