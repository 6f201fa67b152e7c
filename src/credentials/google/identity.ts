import type { Claims } from '../jwt.ts'
import { type Configuration, impersonatedBy } from './configuration.ts'
import { principalOf } from './iam-member.ts'
import { type Origin, originOf } from './subject-token.ts'

type Found = { readonly identity: string; readonly source: string }

/** Where the subject token comes from, if there is one. */
export function subjectTokenOrigin(configuration: Configuration, isHandedOver: boolean): Origin {
  if (isHandedOver) return { kind: 'kubelet', name: 'the pod, by the kubelet' }
  if (configuration.type === 'impersonated_service_account')
    return subjectTokenOrigin(configuration.source_credentials, false)
  return configuration.type === 'external_account'
    ? originOf(configuration.credential_source)
    : { kind: 'none', name: 'nowhere' }
}

/** What a configuration says of itself, before anything is exchanged. */
export function identityOf(
  configuration: Configuration,
  { file, origin }: { readonly file: string; readonly origin: Origin },
): Found {
  switch (configuration.type) {
    case 'external_account':
      return {
        identity: impersonatedBy(configuration) ?? configuration.audience,
        source: `workload identity federation by ${file} (subject token from ${origin.name})`,
      }
    case 'service_account':
      return { identity: configuration.client_email, source: `the service account key in ${file}` }
    case 'authorized_user':
      return {
        identity: configuration.account || `the user of ${file}`,
        source: `a user's login in ${file}`,
      }
    case 'external_account_authorized_user':
      return { identity: `the user of ${file}`, source: `a user's login in ${file}` }
    case 'impersonated_service_account': {
      const account =
        impersonatedBy(configuration) ?? configuration.service_account_impersonation_url
      const base = identityOf(configuration.source_credentials, { file, origin })
      return { identity: account, source: `impersonation of ${account} by ${base.source}` }
    }
  }
}

/** What the subject token adds to that: whom the provider's pool takes us for. */
export function subjectsIdentity(
  configuration: Configuration,
  claims: Claims | undefined,
): Partial<Found> {
  const actor = actorOf(configuration, claims)
  return impersonatedBy(configuration) === undefined && actor !== undefined
    ? { identity: actor }
    : {}
}

/** Who does the asking, whoever it is asked for. */
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
