import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { inTurns, median, type Row, ratioOf } from './measure.ts'
import { type Bench, type Peer, startBerth, startRegistry } from './peers.ts'
import type { Pushed, PushJob } from './push.ts'

const execute = promisify(execFile)

type Programs = { readonly registry: string; readonly distribution: string | undefined }

type PushOptions = {
  readonly bench: Bench
  readonly programs: Programs
  readonly rounds: number
  /** Megabytes of the large layer. */
  readonly layer: number
  readonly images: number
}

type Storing = { readonly peer: Peer; readonly storage: string }

/** Clients that push the same layer at once. */
const herd = 10
const connections = 8

type Work =
  | {
      readonly kind: 'layer'
      readonly size: number
      readonly same: boolean
      readonly connections: number
    }
  | { readonly kind: 'images'; readonly images: number; readonly connections: number }

async function push(peer: Peer, work: Work) {
  const job: PushJob = { ...work, port: peer.port }
  const before = peer.cpu()
  const { stdout } = await execute(process.execPath, ['test/bench/push.ts', JSON.stringify(job)])
  return { ...(JSON.parse(stdout) as Pushed), cpu: peer.cpu() - before }
}

/**
 * Berth syncs everything before its 201. Distribution 2.8 syncs nothing; 3.1 syncs the bytes of blobs.
 */
export async function measurePushes(options: PushOptions): Promise<readonly Row[]> {
  const { bench, programs, rounds, layer, images } = options
  const at = (name: string) => join(bench.directory, name)
  const berth = {
    peer: await startBerth(bench, { storage: at('push-berth') }),
    storage: at('push-berth'),
  }
  const named = [
    ['docker-registry', programs.registry],
    ['Distribution 3', programs.distribution],
  ] as const
  const others: Storing[] = []
  for (const [name, program] of named) {
    if (program === undefined) continue
    const storage = at(`push-${name.replace(' ', '-')}`)
    others.push({ peer: await startRegistry(bench, { program, name, storage }), storage })
  }
  const all = [berth, ...others]
  const size = layer * 1_000_000
  const measure = (work: Work) =>
    inTurns(
      rounds,
      all.map(
        ({ peer }) =>
          () =>
            push(peer, work),
      ),
    )
  try {
    const large = await measure({ kind: 'layer', size, same: false, connections: 1 })
    const small = await measure({ kind: 'images', images, connections })
    const stored = all.map(({ storage }) => blobBytes(storage))
    const one = size / 10
    await Promise.all(
      all.map(({ peer }) =>
        push(peer, { kind: 'layer', size: one, same: true, connections: herd }),
      ),
    )
    const [added = Number.NaN] = all.map(
      ({ storage }, which) => blobBytes(storage) - (stored[which] ?? 0),
    )
    return [
      ...compare(
        `push of a layer of ${layer} MB`,
        all,
        large,
        ({ bytes, elapsed }) => bytes / elapsed / 1000,
        'MB/s',
      ),
      ...compare(
        `pushes of small images, ${connections} clients`,
        all,
        small,
        (result) => (result.images / result.elapsed) * 1000,
        'images/s',
      ),
      {
        what: `a layer pushed by ${herd} clients at once: copies stored`,
        value: added / one,
        unit: 'copies',
        target: 1.01,
        better: 'less',
        detail: '',
      },
    ]
  } finally {
    await Promise.all(all.map(({ peer }) => peer.stop()))
  }
}

type Result = Pushed & { readonly cpu: number }

function compare(
  what: string,
  all: readonly Storing[],
  [ours = [], ...theirs]: readonly (readonly Result[])[],
  figure: (result: Result) => number,
  unit: string,
): readonly Row[] {
  const show = (results: readonly Result[]) => median(results.map(figure)).toFixed(0)
  return theirs.map((results, at) => ({
    what: `${what}, to ${all[at + 1]?.peer.name}`,
    value: ratioOf(ours, results, figure),
    unit: 'ratio',
    target: 1,
    better: 'more',
    detail: `${show(ours)} and ${show(results)} ${unit}; CPU ${median(ours.map(({ cpu }) => cpu)).toFixed(1)} and ${median(results.map(({ cpu }) => cpu)).toFixed(1)} s`,
  }))
}

/** Bytes of the blobs below a registry's root. */
function blobBytes(root: string): number {
  const blobs = join(root, 'docker/registry/v2/blobs')
  return readdirSync(blobs, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('/data'))
    .reduce((sum, name) => sum + statSync(join(blobs, name)).size, 0)
}
