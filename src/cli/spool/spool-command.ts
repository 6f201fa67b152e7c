import { tmpdir } from 'node:os'
import { isAbsolute, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import {
  findRecord,
  isInSpool,
  listEntries,
  parseSpoolPath,
  retryFailed,
  type SpoolRecord,
} from '../../spooler/spooler.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import type { Context } from '../login/registry-options.ts'
import {
  spoolerVariable,
  withSpoolerCertificate,
  withSpoolerLogin,
} from '../login/spooler-login.ts'
import { type Printing, print } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { allAddresses } from '../process/all-addresses.ts'
import { UsageError } from '../process/errors.ts'
import {
  addCompressionOptions,
  type CompressionFlags,
  compressionOf,
} from '../transfers/compression-options.ts'
import { runSpool } from './spool.ts'
import { spoolStatusCommand } from './spool-status-command.ts'

type Flags = RegistryOptions &
  CompressionFlags & {
    readonly directory: string
    readonly registry: string
    readonly prefix: string
    readonly directories?: string
    readonly results?: string
    readonly workers: string
    readonly settle: string
    readonly healthPort: string
    readonly healthHost: string
    readonly temporary: string
    readonly doneRecords: string
    readonly logLevel: string
  }

/** Milliseconds between two looks of `wait`. */
const interval = 200
const timedOut = 3

const directoryOption = () =>
  new Option('-d, --directory <path>', 'the spool')
    .default('/spool')
    .env(spoolerVariable('DIRECTORY'))

export function spoolCommand(context: Context): Command {
  const command = new Command('spool')
    .enablePositionalOptions()
    .summary('push the files that are dropped into a directory')
    .description(
      'Watch a directory, and push the files that are dropped there to a registry. A file stays until the registry proves that it has the image; what cannot be pushed goes to failed/, beside its reason.',
    )
    .addOption(directoryOption())
    .addOption(
      new Option('-r, --registry <host>', 'registry, as host:port or URL')
        .default('localhost:30026')
        .env(spoolerVariable('REGISTRY')),
    )
    .addOption(
      new Option('--prefix <name>', 'in front of all repositories, such as local')
        .default('')
        .env(spoolerVariable('PREFIX')),
    )
    .option(
      '--directories <file>',
      'YAML file with the login of each directory at the top of the spool; others are refused',
    )
    .option('--results <path>', 'directory outside of the spool for the result of each file')
    .addOption(
      new Option('--workers <count>', 'files at a time; at most half of them are large')
        .default('4')
        .env(spoolerVariable('QUEUE')),
    )
    .option('-q, --queue <count>', 'the same as --workers')
    .option('--settle <seconds>', 'time without a change until a file counts as complete', '2')
    .addOption(
      new Option('--health-port <port>', 'port of /live, /ready and /metrics')
        .default('8086')
        .env(spoolerVariable('HEALTH_PORT')),
    )
    .option('--health-host <address>', 'address of that port', allAddresses())
    .option('--temporary <path>', 'directory for the copies of compressed archives', tmpdir())
    .option('--done-records <count>', 'records that are kept in done/; 0 for none', '1000')
    .option('--log-level <level>', 'level of the log', 'info')
    .addHelpText('after', examples)
    .addCommand(waitCommand())
    .addCommand(listCommand())
    .addCommand(spoolStatusCommand(directoryOption()))
    .addCommand(retryCommand())
  return addRegistryOptions(addCompressionOptions(command, spoolerVariable)).action(
    (flags: Flags & { readonly queue?: string }) =>
      runSpool(context, {
        ...flags,
        ...resultsOf(flags),
        compression: compressionOf(flags),
        ...withSpoolerCertificate(
          withSpoolerLogin(flags, context.environment),
          context.environment,
        ),
        workers: parseCount('--workers', flags.queue ?? flags.workers),
        settle: 1000 * parseCount('--settle', flags.settle),
        healthPort: parseCount('--health-port', flags.healthPort),
        maxDone: parseCount('--done-records', flags.doneRecords),
      }),
  )
}

/** In the spool, results would be pushed. */
function resultsOf({ results, directory }: Flags): { readonly results?: string } {
  if (results === undefined) return {}
  const path = relative(resolve(directory), resolve(results))
  if (path === '' || !(path.startsWith('..') || isAbsolute(path)))
    throw new UsageError(`--results ${results} is in the spool ${directory}: choose another one`)
  return { results: resolve(results) }
}

function parseCount(name: string, text: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count))
    throw new UsageError(`${name}: expected a whole number`)
  return count
}

function waitCommand(): Command {
  return new Command('wait')
    .summary('wait until a file has left the spool, and print the result')
    .description(
      'Wait until a file has left the spool, and print the image and its digest. Exit status 1: the file is in failed/, and its reason is printed; 3: it is still there after the time limit.',
    )
    .argument('<name>', 'name of the file, below the spool')
    .addOption(directoryOption())
    .option('--timeout <seconds>', 'time limit', '3600')
    .addOption(outputOption)
    .addHelpText('after', waitExamples)
    .action(
      async (
        name: string,
        flags: Printing & { readonly directory: string; readonly timeout: string },
      ) => {
        const until = performance.now() + 1000 * parseCount('--timeout', flags.timeout)
        while (await isInSpool(flags.directory, name)) {
          if (performance.now() > until) {
            process.stderr.write(`berth: ${name} is still in the spool\n`)
            process.exitCode = timedOut
            return
          }
          await sleep(interval)
        }
        const record = await findRecord(flags.directory, name)
        if (record === undefined)
          throw new UsageError(
            `${name} is not in ${flags.directory}, and there is no record of it: check the name, or --done-records of the spooler`,
          )
        print(flags, record, describe)
        if (record.state === 'failed') process.exitCode = 1
      },
    )
}

function describe({ file, state, images, reason, keptAs }: SpoolRecord): string {
  if (state === 'failed') return `${file} failed: ${reason}; the file is ${keptAs}`
  return images
    .map(({ reference, digest }) => `${state} ${reference}${digest ? `@${digest}` : ''}`)
    .join('\n')
}

function retryCommand(): Command {
  return new Command('retry')
    .summary('move files from failed/ back, so that they are tried again')
    .description(
      'Move files from failed/ back to where they were dropped, so that they are tried again. Exit status 1: not all of them could be moved.',
    )
    .argument('[names...]', 'names of the files, as they were dropped or as they are in failed/')
    .option('--all', 'all files in failed/')
    .addOption(directoryOption())
    .addOption(outputOption)
    .addHelpText('after', retryExamples)
    .action(
      async (
        names: readonly string[],
        flags: Printing & { readonly directory: string; readonly all?: boolean },
      ) => {
        if ((names.length === 0) !== (flags.all === true))
          throw new UsageError('name files, or use --all')
        const results = await retryFailed(flags.directory, flags.all ? 'all' : names)
        print(flags, results, () =>
          results
            .map(({ file, problem }) =>
              problem === undefined ? `${file} is tried again` : `${file} stays: ${problem}`,
            )
            .join('\n'),
        )
        if (results.some(({ problem }) => problem !== undefined)) process.exitCode = 1
      },
    )
}

function listCommand(): Command {
  return new Command('list')
    .summary('list the files that wait in the spool')
    .description('List the files that wait in the spool, with their sizes in bytes.')
    .addOption(directoryOption())
    .addOption(outputOption)
    .addHelpText('after', listExamples)
    .action(async (flags: Printing & { readonly directory: string }) => {
      const entries = await listEntries(flags.directory)
      const files = entries.map(({ path, size }) => ({
        file: path,
        size,
        job: parseSpoolPath(path),
      }))
      print(flags, files, () => files.map(({ file, size }) => `${file}\t${size}`).join('\n'))
    })
}

const examples = `
Names: app:1.2.tar is pushed as app:1.2; team/app.tar.gz (or team\\app.tar.gz) as team/app:latest; model.bin as an
image of one layer with that file. A name that ends in ~ is still being written. app:1.2! deletes the tag.

Examples:
  # the files in /spool, into the hosted repositories of Berth, as a user of its htpasswd file
  berth spool --registry localhost:30026 --prefix local -u spool --password-file /etc/spool/password
  # from outside of the cluster
  kubectl cp app.tar POD:/spool/app:1.2.tar -c spooler
  kubectl exec POD -c spooler -- berth spool wait app:1.2.tar`

const waitExamples = `
Examples:
  # what was copied to /spool/app:1.2.tar
  berth spool wait app:1.2.tar
  # at most a minute; the digest, for a program
  berth spool wait --timeout 60 -o json team/app:1.2.tar | jq -r '.images[].digest'`

const listExamples = `
Examples:
  berth spool list
  # in a container of a cluster
  kubectl exec POD -c spooler -- berth spool list -o json`

const retryExamples = `
Examples:
  berth spool retry team/app:1.2.tar
  # after the registry accepts them
  berth spool retry --all`
