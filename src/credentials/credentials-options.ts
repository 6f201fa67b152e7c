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
