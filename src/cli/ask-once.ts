import type { Ambient } from '../config/config.ts'
import type { Credential, WorkloadToken } from '../credentials/credentials.ts'
import { createOutbound } from '../outbound/outbound.ts'
import { createTelemetry } from '../telemetry/telemetry.ts'
import { openCredentials, type Upstream } from './upstream-credentials.ts'

export type Answer = {
  readonly credential: Credential
  /** Milliseconds until it expires; undefined: never, or nobody knows. */
  readonly validFor: number | undefined
  /** Where it came from, for people. */
  readonly source: string
}

type Asking = { readonly ambient: Ambient; readonly workloadToken?: WorkloadToken | undefined }

/**
 * What the server would show to an upstream, for a program that is gone after its answer: nothing is
 * logged, nothing kept.
 * @throws RegistryError with what was attempted, what came of it and what to change.
 */
export async function askOnce(
  upstream: Upstream,
  { ambient, workloadToken }: Asking,
): Promise<Answer> {
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

export type Login = { readonly username: string; readonly password: string }

/**
 * A credential as a user name and a password, which is all that docker's helpers and kubelets can say.
 * An identity token is its registry's password where it has a user name: docker, podman and kubelets
 * all take it so, and only so do all of them. Undefined: anonymous, or an identity token that is none's
 * password.
 */
export function loginOf(credential: Credential): Login | undefined {
  switch (credential.kind) {
    case 'anonymous':
      return undefined
    case 'password':
      return { username: credential.username, password: credential.password }
    case 'access-token':
      return { username: credential.username, password: credential.token }
    case 'identity-token':
      return credential.username === ''
        ? undefined
        : { username: credential.username, password: credential.token }
  }
}
