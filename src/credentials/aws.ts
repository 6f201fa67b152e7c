import { CredentialError } from './credential-error.ts'
import type { CredentialSource, CredentialsOptions, WorkloadToken } from './credentials.ts'

type AwsOptions = Extract<CredentialsOptions, { type: 'aws' }> & {
  readonly host: string
  readonly workloadToken?: WorkloadToken | undefined
}

export function createAwsSource(options: AwsOptions): CredentialSource {
  return {
    identity: () => 'aws',
    source: () => 'aws',
    fetch: async () => {
      throw new CredentialError(`aws for ${options.host} is being built`)
    },
  }
}
