import type { Command } from 'commander'
import { readPodLogs } from '../../install/install.ts'
import type { Context } from '../login/registry-options.ts'
import { untilInterrupted } from '../output/image-output.ts'
import { printableText } from '../output/printable.ts'
import { UsageError } from '../process/errors.ts'
import { type AccessOptions, addAccessOptions, openCluster } from './install-options.ts'

export type LogFlags = AccessOptions & {
  readonly follow?: boolean
  readonly previous?: boolean
  readonly tail?: string
  readonly container?: string
}

type Pods = {
  /** For messages, such as `Berth`. */
  readonly what: string
  readonly labels: Readonly<Record<string, string>>
}

export function addLogOptions(command: Command): Command {
  return addAccessOptions(command)
    .option('-f, --follow', 'go on until Ctrl-C, or until the pod ends')
    .option('--tail <lines>', 'only so many lines from the end')
    .option('-p, --previous', 'of the run before the last restart')
    .option('-c, --container <name>', 'container (default: the first one)')
}

/** Writes the logs of pods to standard output. */
export function writeLogs(context: Context, flags: LogFlags, pods: Pods): Promise<void> {
  const { follow = false, previous = false, container } = flags
  const tail = tailOf(flags)
  return untilInterrupted(async (signal) => {
    const { access, namespace } = await openCluster(flags, context, signal)
    const onLine = (line: string) => void process.stdout.write(`${printableText(line)}\n`)
    const options = { namespace, follow, previous, container, tail, signal, onLine }
    await readPodLogs(access, { ...options, ...pods })
  })
}

function tailOf({ tail }: LogFlags): number | undefined {
  if (tail === undefined) return undefined
  if (!/^\d{1,9}$/.test(tail)) throw new UsageError(`--tail ${tail}: expected a number of lines`)
  return Number(tail)
}
