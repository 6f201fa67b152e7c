import type { Ambient, Config } from '../config/config.ts'
import type { CredentialsOptions } from '../credentials/credentials.ts'

/** What is configured, and where that is silent what other programs' variables say. */
export function credentialsOptions(
  credentials: Config['upstreams'][number]['credentials'],
  { googleCredentials, metadataHost, googleExecutables, dockerConfig, azure }: Ambient,
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
    case 'azure':
      return {
        ...azure,
        ...credentials,
        tenantId: credentials.tenantId ?? azure.tenantId,
        clientId: credentials.clientId ?? azure.clientId,
        federatedTokenFile: credentials.federatedTokenFile ?? azure.federatedTokenFile,
        authorityHost: credentials.authorityHost ?? azure.authorityHost,
      }
    default:
      return credentials
  }
}
