import type { Access } from '../credential.ts'
import { memberOf, quoteForShell } from './iam-member.ts'

type AccessAdviceOptions = {
  /** Of the registry. */
  readonly host: string
  /** As the registry names it: project, repository, image; empty: the whole registry. */
  readonly repository: string
  readonly identity: string
  readonly access: Access
}

const roles = {
  pull: 'roles/artifactregistry.reader',
  push: 'roles/artifactregistry.writer',
  delete: 'roles/artifactregistry.repoAdmin',
} as const satisfies Record<Access, string>

/** A repository of Artifact Registry: it contains images, and permissions are granted on it. */
type Place = { readonly project: string; readonly name: string; readonly location: string }

/** The multi-regions of the repositories behind Container Registry's hosts. */
const gcrLocations: Readonly<Record<string, string>> = {
  'gcr.io': 'us',
  'us.gcr.io': 'us',
  'eu.gcr.io': 'europe',
  'asia.gcr.io': 'asia',
}

/**
 * The role that `identity` needs to read, or write, `repository`. Google answers the same for a missing
 * repository as for one that denies access.
 */
export function accessAdvice({ host, repository, identity, access }: AccessAdviceOptions): string {
  const role = roles[access]
  const place = placeOf(host, repository)
  if (repository === '')
    return `${identity} lacks ${role} in this registry; grant it on each repository that Berth ${access === 'pull' ? 'pulls from' : 'pushes to'}`
  const { project, name } = place ?? partsOf(repository)
  const lacks = `${identity} lacks ${role} on ${project}/${name}, or that repository does not exist`
  const member = memberOf(identity) ?? podsOf(identity)
  if (place === undefined || member === undefined)
    return `${lacks}; grant the role on that repository`
  return `${lacks}; grant the role: gcloud artifacts repositories add-iam-policy-binding ${place.name} --project=${place.project} --location=${place.location} --member=${quoteForShell(member)} --role=${role}`
}

/**
 * GKE's metadata server returns only the cluster's workload identity pool for a pod whose service
 * account is not linked to a Google service account.
 */
function podsOf(identity: string): string | undefined {
  if (!/^[a-z0-9.:-]+\.svc\.id\.goog$/.test(identity)) return undefined
  return `principal://iam.googleapis.com/projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/${identity}/subject/ns/NAMESPACE/sa/SERVICE_ACCOUNT`
}

/** Undefined where the host does not contain the location, as with a custom domain. */
function placeOf(host: string, repository: string): Place | undefined {
  const gcrLocation = gcrLocations[host]
  if (gcrLocation !== undefined)
    return { project: partsOf(repository).project, name: host, location: gcrLocation }
  const [, first, second] =
    /^(?:([a-z0-9-]+)-docker\.pkg\.dev|docker\.([a-z0-9-]+)\.rep\.pkg\.dev)$/.exec(host) ?? []
  const location = first ?? second
  return location === undefined ? undefined : { ...partsOf(repository), location }
}

/** A domain-scoped project is `domain/project` in image names and `domain:project` elsewhere. */
function partsOf(repository: string): { readonly project: string; readonly name: string } {
  const [first = '', second = '', third = ''] = repository.split('/')
  return first.includes('.')
    ? { project: `${first}:${second}`, name: third }
    : { project: first, name: second }
}
