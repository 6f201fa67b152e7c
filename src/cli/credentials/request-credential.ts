import type { Ambient } from '../../config/config.ts'
import type { Credential, WorkloadToken } from '../../credentials/credentials.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import { openCredentials, type Upstream } from './upstream-credentials.ts'

type RequestedCredential = {
  readonly credential: Credential
  /** Milliseconds until it expires; undefined: never, or unknown. */
  readonly validFor: number | undefined
  /** The source of the credential, for messages. */
  readonly source: string
}

type Context = { readonly ambient: Ambient; readonly workloadToken?: WorkloadToken | undefined }

/**
 * The credential that the server would send to an upstream, for a program that exits after its answer:
 * logs nothing and caches nothing.
 * @throws RegistryError that says what was attempted, what happened and what to change.
 */
export async function requestCredential(
  upstream: Upstream,
  { ambient, workloadToken }: Context,
): Promise<RequestedCredential> {
  const telemetry = createTelemetry({ level: 'silent', output: { write: () => {} } })
  const outbound = createOutbound(ambient)
  const credentials = openCredentials(upstream, { ambient, outbound, telemetry, workloadToken })
  try {
    const credential = await credentials.current()
    return { credential, validFor: credentials.validFor(), source: credentials.source() }
  } finally {
    credentials.close()
  }
}
