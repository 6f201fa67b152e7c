import { stringify } from 'yaml'

const sizes = ['maxSize', 'minimumFree', 'scrubRate', 'minimumRate']
const timeouts = ['connect', 'firstByte', 'idle']
const durations = [
  ...timeouts,
  'ttl',
  'staleIfError',
  'fillDeadline',
  'fillStall',
  'answerTime',
  'delay',
  'deadline',
]

/** A configuration file, where tests write sizes as bytes and durations as milliseconds. */
export function configFile(config: unknown): string {
  return stringify(config, (key, value) => {
    if (typeof value !== 'number') return value
    if (sizes.includes(String(key))) return `${value}B`
    return durations.includes(String(key)) ? `${value}ms` : value
  })
}
