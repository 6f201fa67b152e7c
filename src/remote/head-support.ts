/** Blobs in a row that HEAD refused and GET had, until HEAD is no longer tried. */
const maxRefusals = 3
/** After this it is tried again, in milliseconds: one broken proxy in front may be mended. */
const pause = 600_000

/**
 * Whether an upstream answers HEAD of blobs. public.ecr.aws answers it with 401, or hangs up; so may
 * any upstream do once.
 */
export interface HeadSupport {
  shouldTry(): boolean
  answered(): void
  /** It was refused where GET had the blob. */
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
