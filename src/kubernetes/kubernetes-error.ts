type Options = {
  readonly status?: number | undefined
  readonly isTemporary?: boolean
  readonly cause?: unknown
}

/** A request of a user to a cluster failed; the message is for the user. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError'
  /** Of the API server's response. */
  readonly status: number | undefined
  /** The cluster is about to mend it by itself. */
  readonly isTemporary: boolean

  constructor(message: string, { status, isTemporary = false, cause }: Options = {}) {
    super(message, { cause })
    this.status = status
    this.isTemporary = isTemporary
  }
}
