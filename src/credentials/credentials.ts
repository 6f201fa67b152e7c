import type { Outbound } from '../outbound/outbound.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAwsSource } from './aws/aws.ts'
import { createAzureSource } from './azure/azure.ts'
import type { CredentialSource, Credentials } from './credential.ts'
import type { CredentialsOptions, WorkloadToken } from './credentials-options.ts'
import { createDockerConfigSource, createDockerHelperSource } from './docker/docker.ts'
import { createGoogleSource } from './google/google.ts'
import { keepFresh } from './keep-fresh.ts'
import { createSecretSource } from './secret.ts'
import { createStaticSource } from './static.ts'
import { createTokenSource } from './token.ts'

/** Keys that sign requests to AWS services, from the provider chain; with their source for messages. */
export { type AwsRequest, findAwsKeys } from './aws/aws.ts'
export type { Access, Credential, Credentials } from './credential.ts'
export { CredentialError } from './credential-error.ts'
export type { CredentialsOptions, WorkloadToken } from './credentials-options.ts'
export { hasDockerLogin } from './docker/docker.ts'
export { findGoogleSigner, type GoogleSigner } from './google/google.ts'
export { type Login, loginOf } from './login.ts'
export { workloadAnnotations } from './workload-annotations.ts'

type Context = {
  /** `host[:port]` of the upstream, as docker's configuration names it. */
  readonly host: string
  /** The upstream's scheme and host; by default `https://` and the host. */
  readonly origin?: string | undefined
  readonly outbound: Outbound
  /** A file of PEM certificates to trust in addition to the system's. */
  readonly certificateAuthorities?: string | undefined
  /** The upstream's name in metrics and logs. */
  readonly upstream: string
  readonly telemetry: Telemetry
  /** Replaces the token that google, aws and azure would read from a file. */
  readonly workloadToken?: WorkloadToken | undefined
}

/** A source of credentials of the configured type, and the wrapper that renews them. */
export function createCredentials(options: CredentialsOptions, context: Context): Credentials {
  return keepFresh(createSource(options, context), context)
}

function createSource(
  options: CredentialsOptions,
  { host, origin = `https://${host}`, outbound, certificateAuthorities, workloadToken }: Context,
): CredentialSource {
  switch (options.type) {
    case 'anonymous':
      return {
        identity: () => 'anonymous',
        source: () => 'no credentials are configured',
        fetch: async () => ({ credential: { kind: 'anonymous' } }),
        advice: () =>
          'the repository may be private: configure credentials for this upstream (upstreams[].credentials)',
      }
    case 'static':
      return createStaticSource(options)
    case 'registry-token':
      return createTokenSource(options)
    case 'secret':
      return createSecretSource(options)
    case 'docker-config':
      return createDockerConfigSource({ file: options.file, host })
    case 'docker-helper':
      return createDockerHelperSource({ helper: options.helper, host })
    case 'google':
      return createGoogleSource({
        ...options,
        host,
        outbound,
        certificateAuthorities,
        workloadToken,
      })
    case 'aws':
      return createAwsSource({ ...options, host, outbound, certificateAuthorities, workloadToken })
    case 'azure':
      return createAzureSource({
        ...options,
        origin,
        outbound,
        certificateAuthorities,
        workloadToken,
      })
  }
}
