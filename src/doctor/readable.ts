import { errnoOf, type Rooted } from '../trust/trust.ts'
import type { Finding } from './finding.ts'

/** Paths in a message; more of them say nothing new. */
const maxShown = 4

/**
 * A node's files as far as we may read them: what is denied (EACCES, as SELinux gives to root as well)
 * is as good as nothing, and becomes a finding.
 */
export function createReadable(rooted: Rooted): {
  readonly rooted: Rooted
  /** Undefined when nothing was denied. */
  readonly finding: () => Finding | undefined
} {
  const denied = new Set<string>()
  const or =
    <Value>(read: (path: string) => Promise<Value>, otherwise: Value) =>
    (path: string): Promise<Value> =>
      read(path).catch((error: unknown) => {
        if (['EACCES', 'EPERM'].includes(errnoOf(error))) denied.add(path)
        return otherwise
      })

  return {
    rooted: {
      ...rooted,
      text: or(rooted.text, undefined),
      exists: or(rooted.exists, false),
      list: or(rooted.list, []),
    },
    finding: () => (denied.size === 0 ? undefined : denialOf([...denied])),
  }
}

function denialOf(paths: readonly string[]): Finding {
  const shown = paths.slice(0, maxShown).join(', ')
  const rest = paths.length > maxShown ? ` and ${paths.length - maxShown} more` : ''
  return {
    step: 'runtime',
    outcome: 'skipped',
    message: `permission to read ${shown}${rest} was denied: what is there is not taken into account`,
    advice:
      'run the doctor as root; where SELinux denies it, in a privileged pod or with seLinuxOptions.type: spc_t',
    requests: [],
  }
}
