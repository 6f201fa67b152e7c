import type { Job } from './spool-names.ts'

export type PublishedImage = {
  /** `host/name:tag`. */
  readonly reference: string
  /** Undefined for what was deleted. */
  readonly digest?: string
}

/**
 * Does what a file asks for, and resolves only when the registry has proved it.
 * @throws RejectedFile: it will never succeed. UnfinishedFile: the file is not complete. All other errors are
 * temporary.
 */
export type Publish = (
  job: Exclude<Job, { kind: 'invalid' }>,
  file: {
    /** Below the spool: for people. */
    readonly name: string
    /** For calls that do not follow a link in its last part; valid until the promise is settled. */
    readonly path: string
    readonly signal: AbortSignal
  },
) => Promise<readonly PublishedImage[]>

export class RejectedFile extends Error {
  override readonly name = 'RejectedFile'
  readonly code: string | undefined

  constructor(message: string, { code, cause }: { code?: string; cause?: unknown } = {}) {
    super(message, cause === undefined ? {} : { cause })
    this.code = code
  }
}

export class UnfinishedFile extends Error {
  override readonly name = 'UnfinishedFile'
}
