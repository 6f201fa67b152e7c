export type CredentialsOptions =
  | { readonly type: 'anonymous' }
  | {
      readonly type: 'static'
      readonly username: string
      readonly password?: string | undefined
      readonly passwordFile?: string | undefined
    }
  /** A Bearer token, from a file, known already or requested. */
  | {
      readonly type: 'registry-token'
      readonly token?: string | undefined
      readonly tokenFile?: string | undefined
      readonly request?: (() => Promise<string>) | undefined
    }
  /** A Secret of Kubernetes that is mounted as a directory; see createSecretSource. */
  | {
      readonly type: 'secret'
      readonly directory: string
      readonly name: string
      readonly hosts: readonly [string, ...string[]]
    }
  | { readonly type: 'docker-config'; readonly file: string }
  /** A program `docker-credential-HELPER` on the path. */
  | { readonly type: 'docker-helper'; readonly helper: string }
  | {
      readonly type: 'aws'
      /** Of the registry; by default the region in the upstream's host name. */
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
      /** URL of Entra ID; by default that of the registry's cloud. */
      readonly authorityHost?: string | undefined
      /** The token endpoint of App Service and Container Apps, and its secret header. */
      readonly identityEndpoint?: string | undefined
      readonly identityHeader?: string | undefined
      /** URL of the instance metadata service; by default that of all Azure machines. */
      readonly metadataHost?: string | undefined
    }
  | {
      readonly type: 'google'
      /** Path of a credential configuration or key; by default the metadata server is used. */
      readonly file?: string | undefined
      /** From GCE_METADATA_HOST: use this metadata server on any machine. */
      readonly metadataHost?: string | undefined
      /** The environment of the executables in credential configurations; undefined: they may not run. */
      readonly executables?: Readonly<Record<string, string | undefined>> | undefined
      /** Requested access: tokens have the narrowest scope that allows it. */
      readonly access: 'pull' | 'push'
      /** Without a file and a metadata server, access is anonymous instead of an error. */
      readonly optional: boolean
    }

/** AWS's own environment variables, which its library also reads. */
export type AwsAmbient = {
  readonly region?: string | undefined
  readonly profile?: string | undefined
  /** IRSA: the role, and the file with the token to assume it. */
  readonly roleArn?: string | undefined
  readonly tokenFile?: string | undefined
  /** The endpoint of the agent of EKS Pod Identity or ECS. */
  readonly containerUrl?: string | undefined
  readonly stsUrl?: string | undefined
}

/** A pod's service account token from the kubelet, and the annotations of the service account. */
export type WorkloadToken = {
  readonly token: string
  readonly annotations: Readonly<Record<string, string>>
}
