import { Command, Option } from 'commander'
import { z } from 'zod'
import { formatDuration, formatSize } from '../../oci/amounts.ts'
import { type SpoolSummary, summarizeSpool } from '../../spooler/spooler.ts'
import { spoolerVariable } from '../login/spooler-login.ts'
import { type Printing, print } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { printable } from '../output/printable.ts'

/** What `berth spool status -o json` prints. */
export type SpoolState = SpoolSummary & {
  /** Why files cannot be pushed now, as the spooler says. */
  readonly problem?: string
}

type Flags = Printing & { readonly directory: string; readonly healthPort: string }

const readiness = z.object({ parts: z.record(z.string(), z.string()) })
/** Milliseconds for an answer of the spooler. */
const timeout = 3000

export function spoolStatusCommand(directory: Option): Command {
  return new Command('status')
    .summary('print what waits in the spool, what failed, and why')
    .description(
      'Print how many files wait in the spool and which is the oldest, how many have failed and why the last of them did, and whether the spooler that runs here can push. The exit status is 1 if it cannot.',
    )
    .addOption(directory)
    .addOption(
      new Option('--health-port <port>', 'port of the /ready of the spooler')
        .default('8086')
        .env(spoolerVariable('HEALTH_PORT')),
    )
    .addOption(outputOption)
    .addHelpText('after', examples)
    .action(async (flags: Flags) => {
      const problem = await problemOf(flags.healthPort)
      const state = { ...(await summarizeSpool(flags.directory)), ...(problem && { problem }) }
      print(flags, state, (one) => formatSpool(one, Date.now()).map(printable).join('\n'))
      if (problem !== undefined) process.exitCode = 1
    })
}

async function problemOf(port: string): Promise<string | undefined> {
  try {
    const signal = AbortSignal.timeout(timeout)
    const response = await fetch(`http://localhost:${port}/ready`, { signal })
    const { parts } = readiness.parse(await response.json())
    const problems = Object.entries(parts).filter(([, state]) => state !== 'ok')
    return problems.map(([part, state]) => `${part}: ${state}`).join('; ') || undefined
  } catch {
    return `no spooler answers at port ${port}`
  }
}

export function formatSpool(state: SpoolState, now: number): readonly string[] {
  const { files, size, oldest, failed, failures, problem } = state
  const age = (time: string) => formatDuration(now - Date.parse(time))
  const waiting =
    oldest === undefined
      ? 'no files wait'
      : `${files === 1 ? '1 file waits' : `${files} files wait`}, ${formatSize(size)}; the oldest is ${oldest.file}, ${age(oldest.modified)} old`
  return [
    `${waiting}; ${failed} failed`,
    ...failures.map(
      ({ file, reason, finishedAt }) => `${file} failed ${age(finishedAt)} ago: ${reason}`,
    ),
    ...(problem === undefined ? [] : [`PROBLEM: ${problem}`]),
  ]
}

const examples = `
Examples:
  berth spool status
  # of a spooler in a cluster; kubectl berth status prints it as well
  kubectl exec POD -c spooler -- berth spool status -o json`
