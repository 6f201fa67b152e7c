/** In milliseconds: who is refused and never comes again was mended, or given up. */
const memory = 300_000

/** What an upstream last refused us, until it gives us the same repository, or nobody asks. */
export interface LastRefusal {
  refused(repository: string, message: string): void
  allowed(repository: string): void
  problem(): string | undefined
}

export function createLastRefusal(): LastRefusal {
  let last: { repository: string; message: string; at: number } | undefined
  return {
    refused: (repository, message) => {
      last = { repository, message, at: performance.now() }
    },
    allowed: (repository) => {
      if (last?.repository === repository) last = undefined
    },
    problem: () =>
      last !== undefined && performance.now() - last.at < memory ? last.message : undefined,
  }
}
