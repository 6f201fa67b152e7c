type Options = { readonly isFinal?: boolean; readonly cause?: unknown }

/** A tunnel, or one of its streams, failed. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError'
  /** As a socket's, for HTTP clients that retry. */
  readonly code = 'ECONNRESET'
  /** Another attempt to connect would fail in the same way. */
  readonly isFinal: boolean

  constructor(message: string, { isFinal = false, cause }: Options = {}) {
    super(message, { cause })
    this.isFinal = isFinal
  }
}

/** The other end does not keep to the protocol: nothing that follows can be trusted. */
export function violation(message: string): TunnelError {
  return new TunnelError(message, { isFinal: true })
}
