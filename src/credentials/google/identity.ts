import type { Claims } from '../jwt.ts'
import { type Configuration, impersonatedBy } from './configuration.ts'
import { principalOf } from './iam-member.ts'
import { type Origin, originOf } from './subject-token.ts'

type Found = { readonly identity: string; readonly source: string }

/** Where the subject token comes from, if there is one. */
export function subjectTokenOrigin(configuration: Configuration, isFromKubelet: boolean): Origin {
  if (isFromKubelet) return { kind: 'kubelet', name: 'the kubelet' }
  if (configuration.type === 'impersonated_service_account')
    return subjectTokenOrigin(configuration.source_credentials, false)
  return configuration.type === 'external_account'
    ? originOf(configuration.credential_source)
    : { kind: 'none', name: 'nowhere' }
}

/** The identity and source that a configuration states before any exchange. */
export function identityOf(
  configuration: Configuration,
  { file, origin }: { readonly file: string; readonly origin: Origin },
): Found {
  switch (configuration.type) {
    case 'external_account':
      return {
        identity: impersonatedBy(configuration) ?? configuration.audience,
        source: `workload identity federation with ${file} (subject token from ${origin.name})`,
      }
    case 'service_account':
      return { identity: configuration.client_email, source: `the service account key in ${file}` }
    case 'authorized_user':
      return {
        identity: configuration.account || `the user in ${file}`,
        source: `the user login in ${file}`,
      }
    case 'external_account_authorized_user':
      return { identity: `the user in ${file}`, source: `the user login in ${file}` }
    case 'impersonated_service_account': {
      const account =
        impersonatedBy(configuration) ?? configuration.service_account_impersonation_url
      const base = identityOf(configuration.source_credentials, { file, origin })
      return { identity: account, source: `impersonation of ${account} with ${base.source}` }
    }
  }
}

/** The identity after the subject token is known: the principal in the provider's pool. */
export function identityOfSubject(
  configuration: Configuration,
  claims: Claims | undefined,
): Partial<Found> {
  const actor = actorOf(configuration, claims)
  return impersonatedBy(configuration) === undefined && actor !== undefined
    ? { identity: actor }
    : {}
}

/** The identity that sends the requests, also while it impersonates another one. */
export function actorOf(
  configuration: Configuration,
  claims: Claims | undefined,
): string | undefined {
  switch (configuration.type) {
    case 'external_account':
      return principalOf(configuration.audience, claims?.sub)
    case 'service_account':
      return configuration.client_email
    case 'authorized_user':
      return configuration.account || undefined
    case 'external_account_authorized_user':
      return undefined
    case 'impersonated_service_account':
      return actorOf(configuration.source_credentials, claims)
  }
}
