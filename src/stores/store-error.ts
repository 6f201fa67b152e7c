/**
 * `absent`: the store has no such image, or cannot be used on this machine. `incomplete`: the store has the
 * image, but not all of its content. `failed`: it cannot be read.
 */
type StoreFault = 'absent' | 'incomplete' | 'failed'

/** Why an image cannot be read from a store. The message is for users. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly fault: StoreFault

  constructor(fault: StoreFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.fault = fault
  }
}

export function isAbsent(error: unknown): error is StoreError {
  return error instanceof StoreError && error.fault === 'absent'
}

/** The code of a failed system call, such as ENOENT. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && 'syscall' in error
    ? String(error.code)
    : undefined
}
