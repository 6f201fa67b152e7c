import type { Outbound } from '../outbound/outbound.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAwsSource } from './aws.ts'
import { createAzureSource } from './azure.ts'
import { createDockerConfigSource } from './docker-config.ts'
import { createDockerHelperSource } from './docker-helper.ts'
import { createGoogleSource } from './google.ts'
import { keepFresh } from './keep-fresh.ts'
import { createStaticSource } from './static.ts'

/** What we show to an upstream. */
export type Credential =
  | { readonly kind: 'anonymous' }
  /** Sent as Basic, to the registry or to its token endpoint, whichever its challenge asks for. */
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /**
   * An OAuth 2 access token: sent as Bearer, or as the password of `username` at a token endpoint.
   */
  | { readonly kind: 'access-token'; readonly username: string; readonly token: string }
  /**
   * An OAuth 2 refresh token, what docker calls an identity token: good at a token endpoint alone
   * (distribution, "Token Authentication: OAuth2"). `username` is what registries take it as a
   * password of; empty where none does.
   */
  | { readonly kind: 'identity-token'; readonly username: string; readonly token: string }

/** A credential as its source gave it, times in milliseconds from now. */
export type Fetched = {
  readonly credential: Credential
  /** When it really expires; absent: never, or nobody knows. */
  readonly lifetime?: number | undefined
  /** When to ask the source again; absent: well before it expires. It stays good beyond that. */
  readonly refreshAfter?: number | undefined
}

/**
 * Where credentials come from: one exchange with a file, a helper or a cloud, nothing kept. `fetch`
 * rejects with what went wrong; it never answers with anonymity because something failed.
 */
export interface CredentialSource {
  /**
   * Who we are to the upstream, for messages: an account's name, never a secret. May get more exact
   * by a fetch.
   */
  readonly identity: () => string
  /** Where the credential comes from, for people: which file, server or program. Never a secret. */
  readonly source: () => string
  /**
   * @throws CredentialError, or another error, with what was attempted and what came of it.
   */
  readonly fetch: () => Promise<Fetched>
  /**
   * What to change when the upstream refuses to let us read `repository` (as the upstream names it;
   * empty: the registry as a whole). Undefined where nobody can know.
   */
  readonly advice?: (repository: string) => string | undefined
}

/** A credential that is always fresh. */
export interface Credentials {
  identity(): string
  /** Where it comes from, for people. */
  source(): string
  /** What to change when the upstream refuses us `repository`; see CredentialSource. */
  advice(repository: string): string | undefined
  /** Milliseconds until the one that is held expires; undefined: none is held, or it never does. */
  validFor(): number | undefined
  /**
   * @throws RegistryError UNAVAILABLE when there is none: it never got one, or the last one has
   * expired; DENIED when that is because the upstream said that we may not have one.
   */
  current(): Promise<Credential>
  /** After the upstream refused `refused`: another one, if the source has another. */
  renew(refused: Credential): Promise<Credential>
  /** Why the last exchange failed; undefined when it did not. */
  problem(): string | undefined
  close(): void
}

export type CredentialsOptions =
  | { readonly type: 'anonymous' }
  | {
      readonly type: 'static'
      readonly username: string
      readonly password?: string | undefined
      readonly passwordFile?: string | undefined
    }
  | { readonly type: 'docker-config'; readonly file: string }
  /** A program `docker-credential-HELPER` on the path. */
  | { readonly type: 'docker-helper'; readonly helper: string }
  | {
      readonly type: 'aws'
      /** Of the registry; without it the one in the upstream's host name. */
      readonly region?: string | undefined
      /** A section of AWS's own configuration files. */
      readonly profile?: string | undefined
      readonly ambient?: AwsAmbient | undefined
    }
  | {
      readonly type: 'azure'
      readonly tenantId?: string | undefined
      /** Of the application, or of the user-assigned managed identity. */
      readonly clientId?: string | undefined
      readonly clientSecret?: string | undefined
      readonly clientSecretFile?: string | undefined
      /** A projected service account token, for workload identity. */
      readonly federatedTokenFile?: string | undefined
      /** URL of Entra; without it the public cloud's. */
      readonly authorityHost?: string | undefined
      /** Where App Service and Container Apps give out tokens, and the header that opens it. */
      readonly identityEndpoint?: string | undefined
      readonly identityHeader?: string | undefined
      /** URL of the instance metadata service; without it the one of all of Azure's machines. */
      readonly metadataHost?: string | undefined
    }
  | {
      readonly type: 'google'
      /** Path of a credential configuration or key; without it the metadata server is asked. */
      readonly file?: string | undefined
      /**
       * Set where GCE_METADATA_HOST is: there is a metadata server, whatever the machine looks
       * like.
       */
      readonly metadataHost?: string | undefined
      /**
       * The environment of programs that a credential configuration names as its source; undefined
       * where they may not run.
       */
      readonly executables?: Readonly<Record<string, string | undefined>> | undefined
      /** What tokens are for: the narrowest scope that allows it is asked for. */
      readonly access: 'pull' | 'push'
      /**
       * Where there is neither file nor metadata server: anonymous instead of an error at each
       * request.
       */
      readonly optional: boolean
    }

/** What AWS's own environment variables say. Its library reads them by itself as well. */
export type AwsAmbient = {
  readonly region?: string | undefined
  readonly profile?: string | undefined
  /** IRSA: the role, and the file of the token that it is assumed with. */
  readonly roleArn?: string | undefined
  readonly tokenFile?: string | undefined
  /** Where EKS Pod Identity or ECS gives out credentials. */
  readonly containerUrl?: string | undefined
  readonly stsUrl?: string | undefined
}

/**
 * A pod's service account token, given with a request instead of found in a file (the kubelet's
 * credential provider), and the annotations of its service account.
 */
export type WorkloadToken = {
  readonly token: string
  readonly annotations: Readonly<Record<string, string>>
}

type Context = {
  /** `host[:port]` of the upstream, as docker's configuration names it. */
  readonly host: string
  /** The upstream's scheme and host; without it `https://` and the host. */
  readonly origin?: string | undefined
  readonly outbound: Outbound
  /** File of PEM certificates that are trusted beside the system's. */
  readonly certificateAuthorities?: string | undefined
  /** The upstream's name in metrics and logs. */
  readonly upstream: string
  readonly telemetry: Telemetry
  /** Stands for the subject token that google, aws and azure would read from a file. */
  readonly workloadToken?: WorkloadToken | undefined
}

/** The composition of a source and the one wrapper that keeps what it gives fresh. */
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
          'it may be private: configure credentials for this upstream (upstreams[].credentials)',
      }
    case 'static':
      return createStaticSource(options)
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
