import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Job, Outcome } from './load.ts'
import type { Peer } from './peers.ts'

const execute = promisify(execFile)

/** One line of the result: a ratio or a figure, and its target. */
export type Row = {
  readonly what: string
  readonly value: number
  /** `ratio`, or the figure's unit. */
  readonly unit: string
  readonly target: number
  readonly better: 'more' | 'less'
  /** The figures behind it, as measured in this run. */
  readonly detail: string
}

export type Measured = Outcome & {
  /** CPU seconds of the server. */
  readonly cpu: number
}

type LoadOptions = Partial<Omit<Job, 'port'>> & { readonly path: string }

/** Runs load on a peer in a separate process. */
export async function load(peer: Peer, options: LoadOptions): Promise<Measured> {
  const job: Job = { method: 'GET', headers: {}, connections: 1, ...options, port: peer.port }
  const before = peer.cpu()
  const { stdout } = await execute(process.execPath, ['test/bench/load.ts', JSON.stringify(job)])
  const outcome = JSON.parse(stdout) as Outcome
  if (outcome.failures > 0)
    throw new Error(`${peer.name}: ${outcome.failures} requests for ${options.path} failed`)
  return { ...outcome, cpu: peer.cpu() - before }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low = Number.NaN, high = Number.NaN] = [
    sorted[middle - (sorted.length % 2 === 0 ? 1 : 0)],
    sorted[middle],
  ]
  return (low + high) / 2
}

/**
 * Runs all of them in turn, in several rounds, so that changes in the machine's speed affect all of them.
 * Returns the results of each by round.
 */
export async function inTurns<Result>(
  rounds: number,
  works: readonly (() => Promise<Result>)[],
): Promise<readonly (readonly Result[])[]> {
  const results: Result[][] = works.map(() => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, work] of works.entries()) results[at]?.push(await work())
  }
  return results
}

/** The median of the ratios of all rounds. */
export function ratioOf<Result>(
  ours: readonly Result[],
  theirs: readonly Result[],
  figure: (result: Result) => number,
): number {
  return median(ours.map((mine, round) => figure(mine) / figure(theirs[round] ?? mine)))
}

export const perSecond = ({ bytes, elapsed }: Outcome): number => bytes / elapsed / 1e6
export const requestsPerSecond = ({ requests, elapsed }: Outcome): number =>
  (requests / elapsed) * 1000
export const cpuPerGigabyte = ({ cpu, bytes }: Measured): number => cpu / (bytes / 1e9)

export function show(values: readonly number[], digits = 2): string {
  return median(values).toFixed(digits)
}
