/** In milliseconds: a refusal that does not recur was fixed, or the client gave up. */
const maxAge = 300_000

/**
 * The last refusal of an upstream, until the upstream allows the same repository, or it expires.
 */
export interface LastDenial {
  denied(repository: string, message: string): void
  allowed(repository: string): void
  problem(): string | undefined
}

export function createLastDenial(): LastDenial {
  let last: { repository: string; message: string; at: number } | undefined
  return {
    denied: (repository, message) => {
      last = { repository, message, at: performance.now() }
    },
    allowed: (repository) => {
      if (last?.repository === repository) last = undefined
    },
    problem: () =>
      last !== undefined && performance.now() - last.at < maxAge ? last.message : undefined,
  }
}
