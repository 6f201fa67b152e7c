import { closeSync, fdatasyncSync, openSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import koffi from 'koffi'
import { blobFile, type Content } from './content.ts'
import {
  cpuPerGigabyte,
  inTurns,
  load,
  type Measured,
  median,
  perSecond,
  type Row,
  ratioOf,
  show,
} from './measure.ts'
import type { Peer } from './peers.ts'

type HitOptions = {
  readonly content: Content
  readonly berth: Peer
  readonly registry: Peer
  readonly nginx: Peer
  /** The directory of Berth's copy of the content. */
  readonly cache: string
  /** Of Berth. */
  readonly holdFile: string
  readonly rounds: number
  readonly seconds: number
}

/** Pulls of blobs that are in the cache and in the page cache. */
export async function measureHits({
  content,
  berth,
  registry,
  nginx,
  rounds,
  seconds,
}: HitOptions): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const size of ['200MB', '10MB']) {
    for (const connections of [1, 8, 64]) {
      const path = blobPath(content, size)
      const work = (peer: Peer) => () => load(peer, { path, connections, seconds })
      const [ours = [], theirs = [], best = []] = await inTurns(rounds, [
        work(berth),
        work(registry),
        work(nginx),
      ])
      const what = `hit, ${size}, ${connections} connections`
      const detail = `GB/s: Berth ${show(ours.map(perSecond))}, docker-registry ${show(theirs.map(perSecond))}, nginx ${show(best.map(perSecond))}`
      const cpu = `CPU-s/GB: Berth ${show(ours.map(cpuPerGigabyte), 3)}, docker-registry ${show(theirs.map(cpuPerGigabyte), 3)}, nginx ${show(best.map(cpuPerGigabyte), 3)}`
      rows.push(
        {
          what: `${what}: throughput to docker-registry`,
          value: ratioOf(ours, theirs, perSecond),
          unit: 'ratio',
          target: 5,
          better: 'more',
          detail,
        },
        {
          what: `${what}: throughput to nginx`,
          value: ratioOf(ours, best, perSecond),
          unit: 'ratio',
          target: 1,
          better: 'more',
          detail,
        },
        {
          what: `${what}: CPU to nginx`,
          value: ratioOf(ours, best, cpuPerGigabyte),
          unit: 'ratio',
          target: 1.4,
          better: 'less',
          detail: cpu,
        },
      )
    }
  }
  return rows
}

/** The same with a cold page cache. */
export async function measureColdPages({
  content,
  berth,
  registry,
  cache,
  holdFile,
  rounds,
}: HitOptions): Promise<readonly Row[]> {
  const digest = content.blobs['200MB'] ?? ''
  const path = blobPath(content, '200MB')
  const holds: number[] = []
  const cold = (peer: Peer, root: string) => async (): Promise<Measured> => {
    forgetPages(blobFile(root, digest))
    const work = () => load(peer, { path, connections: 1 })
    if (peer !== berth) return work()
    const { outcome, longest } = await withHolds(berth, holdFile, work)
    holds.push(longest)
    return outcome
  }
  const [ours = [], theirs = []] = await inTurns(rounds, [
    cold(berth, cache),
    cold(registry, content.root),
  ])
  return [
    {
      what: 'hit with a cold page cache, 200MB: throughput to docker-registry',
      value: ratioOf(ours, theirs, perSecond),
      unit: 'ratio',
      target: 1,
      better: 'more',
      detail: `GB/s: Berth ${show(ours.map(perSecond))}, docker-registry ${show(theirs.map(perSecond))}`,
    },
    {
      what: 'hit with a cold page cache: longest hold of the event loop',
      value: Math.max(...holds),
      unit: 'ms',
      target: 20,
      better: 'less',
      detail: `median ${median(holds).toFixed(1)} ms of the longest of each round`,
    },
  ]
}

function blobPath({ name, blobs }: Content, size: string): string {
  return `/v2/${name}/blobs/${blobs[size]}`
}

const advise = koffi
  .load(null)
  .func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)')
const dontNeed = 4

/** Evicts a file from the page cache. */
function forgetPages(file: string): void {
  const fd = openSync(file, 'r')
  fdatasyncSync(fd)
  advise(fd, 0, 0, dontNeed)
  closeSync(fd)
}

/** What `work` results in, and the longest hold of Berth's event loop meanwhile, in milliseconds. */
async function withHolds<Outcome>(
  { pid }: Peer,
  file: string,
  work: () => Promise<Outcome>,
): Promise<{ readonly outcome: Outcome; readonly longest: number }> {
  await rm(file, { force: true })
  process.kill(pid, 'SIGUSR2')
  const outcome = await work()
  process.kill(pid, 'SIGUSR2')
  for (;;) {
    const text = await readFile(file, 'utf8').catch(() => '')
    if (text !== '') return { outcome, longest: Number(text) }
    await sleep(5)
  }
}
