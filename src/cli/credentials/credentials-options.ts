import type { Ambient, Config } from '../../config/config.ts'
import type { CredentialsOptions } from '../../credentials/credentials.ts'

/** The configured credentials, completed with the environment variables of the cloud's own tools. */
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
        // A configured file selects the method; the variable may be meant for another program.
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
