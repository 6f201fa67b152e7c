import type { Ambient, Config } from '../config/config.ts'
import type { CredentialsOptions } from '../credentials/credentials.ts'

/** What is configured, and where that is silent what other programs' variables say. */
export function credentialsOptions(
  credentials: Config['upstreams'][number]['credentials'],
  { googleCredentials, metadataHost, googleExecutables, dockerConfig, aws, azure }: Ambient,
): CredentialsOptions {
  switch (credentials.type) {
    case 'google':
      return {
        ...credentials,
        file: credentials.file ?? googleCredentials,
        metadataHost,
        executables: googleExecutables,
      }
    case 'docker-config':
      return { ...credentials, file: credentials.file ?? dockerConfig }
    case 'aws':
      return { ...credentials, ambient: aws }
    case 'azure':
      return {
        ...azure,
        ...credentials,
        // What is configured says which way is meant; a variable may be another program's.
        clientSecret:
          credentials.clientSecretFile === undefined && credentials.federatedTokenFile === undefined
            ? azure.clientSecret
            : undefined,
        tenantId: credentials.tenantId ?? azure.tenantId,
        clientId: credentials.clientId ?? azure.clientId,
        federatedTokenFile: credentials.federatedTokenFile ?? azure.federatedTokenFile,
        authorityHost: credentials.authorityHost ?? azure.authorityHost,
      }
    default:
      return credentials
  }
}
