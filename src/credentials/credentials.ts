import type { Telemetry } from '../telemetry/telemetry.ts'
import { createDockerConfigSource } from './docker-config.ts'
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

/** A credential as its source gave it. `lifetime` in milliseconds from now; absent: for ever. */
export type Fetched = { readonly credential: Credential; readonly lifetime?: number }

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
  readonly fetch: () => Promise<Fetched>
}

/** A credential that is always fresh. */
export interface Credentials {
  identity(): string
  /**
   * @throws RegistryError UNAVAILABLE when there is none: it never got one, or the last one has
   * expired.
   */
  current(): Promise<Credential>
  /** After the upstream refused `refused`: another one, if the source has another. */
  renew(refused: Credential): Promise<Credential>
  /** Why the last exchange failed; undefined when it did not. */
  trouble(): string | undefined
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
       * Where there is neither file nor metadata server: anonymous instead of an error at each
       * request.
       */
      readonly optional: boolean
    }

type Context = {
  /** `host[:port]` of the upstream, as docker's configuration names it. */
  readonly host: string
  /** The upstream's name in metrics and logs. */
  readonly upstream: string
  readonly telemetry: Telemetry
}

/** The composition of a source and the one wrapper that keeps what it gives fresh. */
export function createCredentials(options: CredentialsOptions, context: Context): Credentials {
  return keepFresh(createSource(options, context.host), context)
}

function createSource(options: CredentialsOptions, host: string): CredentialSource {
  switch (options.type) {
    case 'anonymous':
      return {
        identity: () => 'anonymous',
        fetch: async () => ({ credential: { kind: 'anonymous' } }),
      }
    case 'static':
      return createStaticSource(options)
    case 'docker-config':
      return createDockerConfigSource({ file: options.file, host })
    case 'google':
      return createGoogleSource(options)
  }
}
