import { CredentialError } from './credential-error.ts'
import type { CredentialSource, CredentialsOptions, WorkloadToken } from './credentials.ts'

type AzureOptions = Extract<CredentialsOptions, { type: 'azure' }> & {
  readonly host: string
  readonly workloadToken?: WorkloadToken | undefined
}

export function createAzureSource(options: AzureOptions): CredentialSource {
  return {
    identity: () => 'azure',
    source: () => 'azure',
    fetch: async () => {
      throw new CredentialError(`azure for ${options.host} is being built`)
    },
  }
}
