import { errnoOf, type Rooted } from '../trust/trust.ts'
import type { Finding } from './finding.ts'

/** Paths listed in a message. */
const maxPaths = 4

/**
 * A node's file system in which unreadable files (EACCES, which SELinux also returns to root) are
 * treated as missing, and reported in one finding.
 */
export function createReadableRoot(rooted: Rooted): {
  readonly rooted: Rooted
  /** Undefined if all files were readable. */
  readonly finding: () => Finding | undefined
} {
  const denied = new Set<string>()
  const orIfDenied =
    <Value>(read: (path: string) => Promise<Value>, fallback: Value) =>
    (path: string): Promise<Value> =>
      read(path).catch((error: unknown) => {
        if (['EACCES', 'EPERM'].includes(errnoOf(error))) denied.add(path)
        return fallback
      })

  return {
    rooted: {
      ...rooted,
      text: orIfDenied(rooted.text, undefined),
      exists: orIfDenied(rooted.exists, false),
      list: orIfDenied(rooted.list, []),
    },
    finding: () => (denied.size === 0 ? undefined : denialOf([...denied])),
  }
}

function denialOf(paths: readonly string[]): Finding {
  const listed = paths.slice(0, maxPaths).join(', ')
  const rest = paths.length > maxPaths ? ` and ${paths.length - maxPaths} more` : ''
  return {
    step: 'runtime',
    outcome: 'skipped',
    message: `no permission to read ${listed}${rest}: their content is not taken into account`,
    advice:
      'run berth doctor as root; if SELinux denies access, in a privileged pod or with seLinuxOptions.type: spc_t',
    requests: [],
  }
}
