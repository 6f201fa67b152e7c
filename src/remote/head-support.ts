/** Blobs in a row that HEAD refused and GET returned, after which HEAD is not used. */
const maxFailures = 3
/** HEAD is retried after this, in milliseconds: a broken proxy may have been repaired. */
const pause = 600_000

/**
 * Whether an upstream answers HEAD requests for blobs. public.ecr.aws answers them with 401, or
 * closes the connection; any upstream may do so once.
 */
export interface HeadSupport {
  shouldTry(): boolean
  answered(): void
  /** HEAD was refused where GET returned the blob. */
  unsupported(): void
}

export function createHeadSupport(): HeadSupport {
  let failures = 0
  let until = 0
  return {
    shouldTry: () => performance.now() >= until,
    answered: () => {
      failures = 0
    },
    unsupported: () => {
      failures += 1
      if (failures >= maxFailures) until = performance.now() + pause
    },
  }
}
