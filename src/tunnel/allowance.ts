/** Memory of a session that grows while it is used. An idle session has only its base. */
export interface Allowance {
  /** Tries to reach so many bytes. Returns what may be used, which is less where there is no memory. */
  grow(bytes: number): number
  /** Gives back what is beyond these bytes. */
  shrink(bytes: number): void
}

/** Reserves memory; undefined: there is none left. */
export type Reserve = (bytes: number) => (() => void) | undefined

type AllowanceOptions = {
  /** Bytes that somebody else has reserved. */
  readonly base: number
  readonly max: number
  readonly reserve: Reserve
}

const step = 2 * 1024 * 1024

export function createAllowance({ base, max, reserve }: AllowanceOptions): Allowance {
  const releases: (() => void)[] = []
  const size = (): number => base + releases.length * step
  return {
    grow: (bytes) => {
      while (size() < Math.min(bytes, max)) {
        const release = reserve(step)
        if (release === undefined) break
        releases.push(release)
      }
      return size()
    },
    shrink: (bytes) => {
      while (releases.length > 0 && size() - step >= bytes) releases.pop()?.()
    },
  }
}
