import { linesFor, type Printing } from '../output/image-output.ts'
import { createProgressBars } from './progress-bars.ts'
import { createTransferProgress, type ProgressDisplay } from './transfer-progress.ts'

type Options = {
  readonly flags: Printing
  /** `$TERM`. */
  readonly terminal: string | undefined
}

/** Bars on a terminal, lines elsewhere; undefined if the command is to be quiet. */
export function openProgress({ flags, terminal }: Options): ProgressDisplay | undefined {
  const note = linesFor(flags)
  if (note === undefined) return undefined
  if (isTerminal(terminal)) return createProgressBars({ screen: process.stderr })
  return { update: createTransferProgress({ write: note }), note, close: () => {} }
}

/** Bars on a terminal, nothing elsewhere: for commands whose output is a file. */
export function openBars({ flags, terminal }: Options): ProgressDisplay | undefined {
  return isTerminal(terminal) ? openProgress({ flags, terminal }) : undefined
}

/** A dumb terminal cannot move its cursor. */
function isTerminal(terminal: string | undefined): boolean {
  return process.stderr.isTTY && terminal !== 'dumb'
}
