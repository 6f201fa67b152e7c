type Options = { readonly status?: number | undefined; readonly cause?: unknown }

/** A request of a user to a cluster failed; the message is for the user. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError'
  /** Of the API server's response. */
  readonly status: number | undefined

  constructor(message: string, { status, cause }: Options = {}) {
    super(message, { cause })
    this.status = status
  }
}
