import { mediaTypes } from '../../src/oci/manifest.ts'
import type { Content } from './content.ts'
import { inTurns, load, type Row, ratioOf, requestsPerSecond, show } from './measure.ts'
import type { Peer } from './peers.ts'

type ManifestOptions = {
  readonly content: Content
  /** With htpasswd, and a log line for each request. */
  readonly berth: Peer
  /** docker-registry with htpasswd. */
  readonly registry: Peer
  /** Distribution 3 with neither htpasswd nor log. */
  readonly distribution: Peer | undefined
  readonly authorization: string
  readonly rounds: number
  readonly seconds: number
}

/** HEAD of a tag, the most frequent request of a cluster. */
export async function measureManifests(options: ManifestOptions): Promise<readonly Row[]> {
  const { content, berth, registry, distribution, authorization, rounds, seconds } = options
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
      const peers = [berth, registry, ...(distribution === undefined ? [] : [distribution])]
      const [ours = [], theirs = [], third = []] = await inTurns(rounds, peers.map(work))
      const figures = [ours, theirs, third]
        .filter((all) => all.length > 0)
        .map((all) => show(all.map(requestsPerSecond), 0))
      const detail = `a second: ${peers.map(({ name }, at) => `${name} ${figures[at]}`).join(', ')}`
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
