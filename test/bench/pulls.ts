import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Content } from './content.ts'
import { inTurns, load, type Measured, median, type Row, show } from './measure.ts'
import {
  type Bench,
  type Peer,
  startBerth,
  startNginx,
  startRegistry,
  startUpstream,
} from './peers.ts'

type PullOptions = {
  readonly bench: Bench
  readonly content: Content
  /** The blob that is pulled. */
  readonly size: string
  readonly clients: number
  readonly programs: Programs
  readonly rounds: number
}

export type Programs = {
  readonly registry: string
  readonly nginx: string
  /** Distribution 3, if it is installed. */
  readonly distribution: string | undefined
}

type Pulled = Measured & {
  readonly upstreamGets: number
  readonly peakMemory: number
  /** Milliseconds that many clients need once Berth has the blob: what copying in the kernel takes. */
  readonly cached: number
}

/** Rate and delay of the upstream in the targets, in bytes per second and milliseconds. */
const slowLine = { rate: 110e6, delay: 5 }
/** Without limits. */
const fastLine = { delay: 0 }

type Starter = (upstream: string, storage: string) => Promise<Peer>

/** Pulls of a blob that is not cached, by one client and then by many. */
export async function measurePulls(options: PullOptions): Promise<readonly Row[]> {
  const { bench, content, size, clients, programs, rounds } = options
  const berth: Starter = (upstream, storage) => startBerth(bench, { upstream, storage })
  const registry: Starter = (upstream, storage) =>
    startRegistry(bench, { program: programs.registry, name: 'docker-registry', storage, upstream })
  const nginx: Starter = (upstream) => startNginx(bench, { program: programs.nginx, upstream })

  const pathOf = (blob: string) => `/v2/${content.name}/blobs/${content.blobs[blob]}`
  const upstreamGets = async ({ port }: Peer): Promise<number> => {
    const counts = await (await fetch(`http://127.0.0.1:${port}/counts`)).json()
    return (counts as { blobs: number }).blobs
  }

  /**
   * A new peer with its own upstream, after one small pull, so that the cost of the first request is not
   * measured.
   */
  const pull =
    (start: Starter | undefined, line: typeof slowLine | typeof fastLine, connections: number) =>
    async (): Promise<Pulled> => {
      const upstream = await startUpstream(bench, { content, ...line })
      const storage = join(bench.directory, 'pull')
      rmSync(storage, { recursive: true, force: true })
      const peer =
        start === undefined ? upstream : await start(`http://127.0.0.1:${upstream.port}`, storage)
      try {
        await load(peer, { path: pathOf('10MB') })
        await sleep(500)
        const before = await upstreamGets(upstream)
        const job = { path: pathOf(size), connections }
        const measured = await load(peer, job)
        const gets = (await upstreamGets(upstream)) - before
        const peakMemory = peer.peakMemory()
        const cached = start === berth && connections > 1 ? (await load(peer, job)).elapsed : 0
        return { ...measured, upstreamGets: gets, peakMemory, cached }
      } finally {
        await peer.stop()
        await upstream.stop()
      }
    }

  const [direct = [], alone = [], theirAlone = []] = await inTurns(rounds, [
    pull(undefined, slowLine, 1),
    pull(berth, slowLine, 1),
    pull(registry, slowLine, 1),
  ])
  const [fast = [], theirFast = []] = await inTurns(rounds, [
    pull(berth, fastLine, 1),
    pull(registry, fastLine, 1),
  ])
  const [herd = []] = await inTurns(rounds, [pull(berth, slowLine, clients)])
  const [theirHerd = [], nginxHerd = []] = await inTurns(1, [
    pull(registry, slowLine, clients),
    pull(nginx, slowLine, clients),
  ])
  const [fastHerd = [], theirFastHerd = [], nginxFastHerd = []] = await inTurns(rounds, [
    pull(berth, fastLine, clients),
    pull(registry, fastLine, clients),
    pull(nginx, fastLine, clients),
  ])

  const seconds = (all: readonly Pulled[]) => all.map(({ elapsed }) => elapsed / 1000)
  const cached = (all: readonly Pulled[]) => all.map((one) => one.cached / 1000)
  const relation = (ours: readonly Pulled[], theirs: readonly Pulled[]) =>
    median(seconds(ours)) / median(seconds(theirs))
  const cpu = (all: readonly Pulled[]) => all.map((one) => one.cpu / (one.bytes / 1e9))
  const firstByte = Math.max(...herd.flatMap(({ firstBytes }) => firstBytes))
  const herdName = `${clients} clients, ${size}`

  return [
    {
      what: `cold pull of ${size} at 110 MB/s: time to direct`,
      value: relation(alone, direct),
      unit: 'ratio',
      target: 1.02,
      better: 'less',
      detail: `seconds: direct ${show(seconds(direct))}, Berth ${show(seconds(alone))}, docker-registry ${show(seconds(theirAlone))}; upstream GETs ${alone[0]?.upstreamGets} and ${theirAlone[0]?.upstreamGets}`,
    },
    {
      what: `cold pull of ${size} at loopback speed: CPU to docker-registry`,
      value: median(cpu(fast)) / median(cpu(theirFast)),
      unit: 'ratio',
      target: 1,
      better: 'less',
      detail: `CPU-s/GB: Berth ${show(cpu(fast))}, docker-registry ${show(cpu(theirFast))}; seconds: ${show(seconds(fast))} and ${show(seconds(theirFast))}`,
    },
    {
      what: `${herdName} at 110 MB/s: upstream GETs`,
      value: Math.max(...herd.map(({ upstreamGets }) => upstreamGets)),
      unit: 'GETs',
      target: 1,
      better: 'less',
      detail: `docker-registry ${theirHerd[0]?.upstreamGets}, nginx with a lock ${nginxHerd[0]?.upstreamGets}`,
    },
    {
      what: `${herdName} at 110 MB/s: time to one client's`,
      value: relation(herd, alone),
      unit: 'ratio',
      target: 1.05,
      better: 'less',
      detail: `seconds: one ${show(seconds(alone))}, ${clients} ${show(seconds(herd))}, nginx with a lock ${show(seconds(nginxHerd))}`,
    },
    {
      what: `${herdName} at 110 MB/s: time to docker-registry's`,
      value: relation(herd, theirHerd),
      unit: 'ratio',
      target: 0.03,
      better: 'less',
      detail: `seconds: Berth ${show(seconds(herd))}, docker-registry ${show(seconds(theirHerd))}`,
    },
    {
      what: `${herdName} at 110 MB/s: last client's first byte`,
      value: firstByte,
      unit: 'ms',
      target: 50,
      better: 'less',
      detail: `nginx with a lock ${Math.max(...nginxHerd.flatMap(({ firstBytes }) => firstBytes)).toFixed(0)} ms, docker-registry ${Math.max(...theirHerd.flatMap(({ firstBytes }) => firstBytes)).toFixed(0)} ms`,
    },
    {
      what: `${herdName} at 110 MB/s: peak memory`,
      value: Math.max(...herd.map(({ peakMemory }) => peakMemory)) / 1e6,
      unit: 'MB',
      target: 150,
      better: 'less',
      detail: `docker-registry ${((theirHerd[0]?.peakMemory ?? 0) / 1e6).toFixed(0)} MB`,
    },
    {
      what: `${herdName} at loopback speed: time to docker-registry's`,
      value: relation(fastHerd, theirFastHerd),
      unit: 'ratio',
      target: 0.25,
      better: 'less',
      detail: `seconds: Berth ${show(seconds(fastHerd))}, docker-registry ${show(seconds(theirFastHerd))}; upstream GETs ${fastHerd[0]?.upstreamGets} and ${theirFastHerd[0]?.upstreamGets}`,
    },
    {
      what: `${herdName} at loopback speed: time to nginx with a lock`,
      value: relation(fastHerd, nginxFastHerd),
      unit: 'ratio',
      target: 1.05,
      better: 'less',
      detail: `seconds: Berth ${show(seconds(fastHerd))}, nginx ${show(seconds(nginxFastHerd))}`,
    },
    {
      what: `${herdName} at loopback speed: time to one client's and that of ${clients} of the cached blob`,
      value: median(seconds(fastHerd)) / (median(seconds(fast)) + median(cached(fastHerd))),
      unit: 'ratio',
      target: 1.05,
      better: 'less',
      detail: `seconds: one ${show(seconds(fast))}, ${clients} of the cached blob ${show(cached(fastHerd))}`,
    },
  ]
}
