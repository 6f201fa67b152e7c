import type { WorkloadToken } from '../credentials-options.ts'
import type { Configuration } from './configuration.ts'

const annotation = 'iam.gke.io/gcp-service-account'
const email = /^[a-z0-9-]+@[a-z0-9.-]+$/

/**
 * Adds impersonation of the account in the annotation of the pod's service account, unless the
 * configuration names an account. IAM decides whether the pod may impersonate it.
 */
export function withWorkloadToken(
  configuration: Configuration,
  workloadToken: WorkloadToken | undefined,
): Configuration {
  const account = workloadToken?.annotations[annotation]
  if (configuration.type !== 'external_account') return configuration
  if (configuration.service_account_impersonation_url !== undefined) return configuration
  if (account === undefined || !email.test(account)) return configuration
  const { universe_domain = 'googleapis.com' } = configuration
  return {
    ...configuration,
    service_account_impersonation_url: `https://iamcredentials.${universe_domain}/v1/projects/-/serviceAccounts/${account}:generateAccessToken`,
  }
}
