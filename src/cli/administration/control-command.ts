import type { Command } from 'commander'
import { loadConfig } from '../../config/config.ts'
import { callControl } from '../../control/control.ts'
import { parseImageReference } from '../../oci/image-reference.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { UsageError } from '../process/errors.ts'
import { hostedRootOf } from '../serve/hosted-root.ts'
import { controlReply, formatTime } from './control-reply.ts'

export type ControlContext = { readonly environment: Record<string, string | undefined> }

/** Options of commands that a running registry executes. */
export function withControlOptions(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file of the registry (default: $BERTH_CONFIG)')
    .option('--directory <directory>', 'directory of hosted repositories, instead of --config')
}

type Request = {
  readonly action: string
  readonly body: unknown
  /** Printed, unless as JSON, if the answer has no lines. */
  readonly nothing?: string
}

/**
 * Lets the running registry execute an action, and prints its answer.
 * @throws UsageError: no registry runs, it refused, or it failed.
 */
export async function askRegistry(
  command: Command,
  { environment }: ControlContext,
  { action, body, nothing }: Request,
): Promise<void> {
  const {
    config: file,
    directory,
    output,
  } = command.optsWithGlobals<{ config?: string; directory?: string; output: 'text' | 'json' }>()
  const root =
    directory ?? hostedRootOf(loadConfig({ file, flags: {}, set: [], environment }).config)
  let lines = 0
  try {
    for await (const line of callControl({ root, action, body })) {
      lines += 1
      const { text, data, failed } = controlReply.parse(line)
      if (output === 'json') printJson(data)
      if (failed === true) throw new Error(text)
      if (output === 'text') process.stdout.write(`${text}\n`)
    }
    if (lines === 0 && output === 'text' && nothing !== undefined)
      process.stdout.write(`${nothing}\n`)
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** `NAME:TAG`, also with a host before it. */
export function parseTagName(text: string): { readonly name: RepositoryName; readonly tag: Tag } {
  const { name, tag, digest } = parseImageReference(text)
  if (name === undefined || tag === undefined || digest !== undefined)
    throw new UsageError(
      `invalid image "${text}": expected a name and a tag, such as local/app:1.2`,
    )
  return { name, tag }
}

/** Times in ISO 8601. */
function printJson(data: unknown): void {
  const text = JSON.stringify(data, (key, value: unknown) =>
    key === 'at' && typeof value === 'number' ? formatTime(value) : value,
  )
  process.stdout.write(`${text}\n`)
}
