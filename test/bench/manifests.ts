import { mediaTypes } from '../../src/oci/manifest.ts'
import type { Content } from './content.ts'
import {
  inTurns,
  load,
  type Measured,
  type Row,
  ratioOf,
  requestsPerSecond,
  show,
} from './measure.ts'
import type { Peer } from './peers.ts'

type ManifestOptions = {
  readonly content: Content
  /** With htpasswd, and a log line for each request. */
  readonly berth: Peer
  /** A reply of fastify of the same size, with neither htpasswd nor log. */
  readonly bare: Peer
  /** docker-registry with htpasswd. */
  readonly registry: Peer
  /** Distribution 3 with neither htpasswd nor log. */
  readonly distribution: Peer | undefined
  readonly authorization: string
  readonly rounds: number
  readonly seconds: number
}

/** V8 has optimized what a request runs after some ten thousand of them. */
const warmUp = 40_000

/** HEAD of a tag, the most frequent request of a cluster. */
export async function measureManifests(options: ManifestOptions): Promise<readonly Row[]> {
  const { content, berth, bare, registry, distribution, authorization, rounds, seconds } = options
  const rows: Row[] = []
  for (const [kind, reference] of [
    ['tag', 'latest'],
    ['digest', content.manifest],
  ] as const) {
    for (const method of ['GET', 'HEAD'] as const) {
      const path = `/v2/${content.name}/manifests/${reference}`
      const work = (peer: Peer) => () =>
        load(peer, {
          path,
          method,
          headers: { authorization, accept: mediaTypes.ociManifest },
          connections: 64,
          seconds,
        })
      for (const peer of [berth, bare]) await warm(work(peer))
      const peers = [berth, bare, registry, ...(distribution === undefined ? [] : [distribution])]
      const [ours = [], least = [], theirs = [], third = []] = await inTurns(
        rounds,
        peers.map(work),
      )
      const figures = [ours, least, theirs, third]
        .filter((all) => all.length > 0)
        .map((all) => show(all.map(requestsPerSecond), 0))
      const detail = `a second: ${peers.map(({ name }, at) => `${name} ${figures[at]}`).join(', ')}`
      rows.push({
        what: `manifest ${method} by ${kind}, 64 connections: CPU to a bare reply of fastify`,
        value: ratioOf(ours, least, microseconds),
        unit: 'ratio',
        target: 1.3,
        better: 'less',
        detail: `µs for each: Berth ${show(ours.map(microseconds), 1)}, bare ${show(least.map(microseconds), 1)}; ${detail}`,
      })
      rows.push({
        what: `manifest ${method} by ${kind}, 64 connections: rate to docker-registry, both with htpasswd`,
        value: ratioOf(ours, theirs, requestsPerSecond),
        unit: 'ratio',
        target: 50,
        better: 'more',
        detail,
      })
      if (third.length === 0 || kind === 'tag') continue
      rows.push({
        what: `manifest ${method} by digest, 64 connections: rate to Distribution 3 without htpasswd`,
        value: ratioOf(ours, third, requestsPerSecond),
        unit: 'ratio',
        target: 2,
        better: 'more',
        detail,
      })
    }
  }
  return rows
}

async function warm(work: () => Promise<Measured>): Promise<void> {
  for (let done = 0; done < warmUp; done += (await work()).requests);
}

/** CPU time of a request. */
const microseconds = ({ cpu, requests }: Measured): number => (cpu / requests) * 1e6
