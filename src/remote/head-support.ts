/** Blobs in a row that HEAD refused and GET returned, after which HEAD is not used. */
const maxRefusals = 3
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
  refused(): void
}

export function createHeadSupport(): HeadSupport {
  let refusals = 0
  let until = 0
  return {
    shouldTry: () => performance.now() >= until,
    answered: () => {
      refusals = 0
    },
    refused: () => {
      refusals += 1
      if (refusals >= maxRefusals) until = performance.now() + pause
    },
  }
}
