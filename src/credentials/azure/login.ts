import type { CredentialsOptions, WorkloadToken } from '../credentials-options.ts'
import type { Route } from '../request-service.ts'

export type AzureOptions = Omit<Extract<CredentialsOptions, { type: 'azure' }>, 'type'> &
  Route & {
    /** The upstream's. */
    readonly origin: string
    readonly workloadToken?: WorkloadToken | undefined
  }

/** A way to get an access token of Entra's. */
export interface AzureLogin {
  readonly source: string
  /** Who that is, as far as it is known without asking. */
  readonly identity: string
  accessToken(resource: string): Promise<string>
}
