/**
 * Why the database cannot be used. `damaged`: it must be made again. `unavailable`: it may be usable
 * later, such as when the disk is full. `deleted`: its file is gone.
 */
export type FailureKind = 'damaged' | 'unavailable' | 'deleted'

export class DatabaseFailure extends Error {
  override readonly name = 'DatabaseFailure'
  readonly kind: FailureKind

  constructor(kind: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** SQLITE_CORRUPT, SQLITE_NOTADB; SQLITE_ERROR and SQLITE_CONSTRAINT: the schema is not what it should be. */
const damagedCodes: readonly number[] = [11, 26, 1, 19]

/** SQLITE_BUSY */
const busyCode = 5

export function failureOf(error: unknown): DatabaseFailure {
  if (error instanceof DatabaseFailure) return error
  const code = primaryCodeOf(error)
  const isDamaged = damagedCodes.includes(code)
  const text = error instanceof Error ? error.message : String(error)
  const message = code === busyCode ? `another process uses it (${text})` : text
  return new DatabaseFailure(isDamaged ? 'damaged' : 'unavailable', message, { cause: error })
}

/** Result code of SQLite without its extension; 0 for other errors. */
function primaryCodeOf(error: unknown): number {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
}
