import type { CredentialsOptions, WorkloadToken } from '../credentials-options.ts'
import type { Route } from '../request-service.ts'

export type AzureOptions = Omit<Extract<CredentialsOptions, { type: 'azure' }>, 'type'> &
  Route & {
    /** Of the upstream. */
    readonly origin: string
    readonly workloadToken?: WorkloadToken | undefined
  }

/** A way to log in to Entra ID. */
export interface AzureLogin {
  readonly source: string
  /** As far as it is known before the login. */
  readonly identity: string
  accessToken(resource: string): Promise<string>
}
