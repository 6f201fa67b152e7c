import { formatDuration, formatSize } from '../../oci/amounts.ts'
import { printable } from '../output/printable.ts'
import type { Status } from './status.ts'

const width = 18

/** The state of one process, for people: a line for each part, and for each problem. */
export function formatStatus(status: Status, now: number): string {
  const { version, startedAt, ready, parts } = status
  const problems = Object.entries(parts).filter(([, state]) => state !== 'ok')
  return [
    row(
      'berth',
      `${version}, up ${formatDuration(now - Date.parse(startedAt))}, ${ready ? 'ready' : 'not ready'}`,
    ),
    row('listens on', status.listen.join(', ')),
    row('cache', describeCache(status.cache)),
    row('hosted', describeHosted(status.hosted)),
    ...status.upstreams.map((upstream) => row('upstream', describeUpstream(upstream, now))),
    row('in flight', `${status.downloads} downloads, ${status.uploads} uploads`),
    row('service accounts', describeAccounts(status.serviceAccounts)),
    row('images in use', describeUse(status.inUse)),
    ...problems.map(([part, state]) => row('problem', `${part}: ${state}`)),
  ].join('\n')
}

/** A line about a part. */
export function row(name: string, text: string): string {
  return `${name.padEnd(width)}${printable(text)}`
}

function describeCache({
  size,
  limit,
  blobs,
  requests,
  hitRate,
  bytesFromUpstreams,
}: Status['cache']) {
  const { hits, misses, errors } = requests
  const rate =
    hitRate === undefined
      ? 'no requests yet'
      : `${Math.round(hitRate * 100)} % of ${hits + misses} requests were hits`
  const failed = errors === 0 ? '' : `, ${errors} failed`
  return `${formatSize(size)} of ${formatSize(limit)} in ${blobs} blobs; ${rate}${failed}; ${formatSize(bytesFromUpstreams)} from upstreams`
}

function describeHosted(hosted: Status['hosted']): string {
  if (hosted === undefined) return 'nothing, or not known yet'
  const { size, tags, repositories } = hosted
  return `${formatSize(size)}, ${tags} tags in ${repositories} repositories`
}

function describeUpstream(
  { prefix, url, push, identity, expires, problem }: Status['upstreams'][number],
  now: number,
): string {
  const name = prefix === '' ? `${url} (default)` : `${prefix} at ${url}`
  const valid = expires === undefined ? '' : ` for ${formatDuration(Date.parse(expires) - now)}`
  const state = problem === undefined ? 'ok' : `PROBLEM: ${problem}`
  return `${name}, as ${identity}${valid}${push ? ', pushes' : ''}: ${state}`
}

function describeAccounts(accounts: Status['serviceAccounts']): string {
  if (accounts === undefined) return 'not accepted (auth.serviceAccounts)'
  const { audiences, method, problem } = accounts
  const state = problem === undefined ? 'ok' : `PROBLEM: ${problem}`
  return `audience ${audiences.join(', ')}, by ${method}: ${state}`
}

function describeUse({ kubernetes, images, problem }: Status['inUse']): string {
  if (!kubernetes && images === 0) return 'not watched (inUse.kubernetes)'
  return problem === undefined ? `${images}` : `not known: ${problem}`
}
