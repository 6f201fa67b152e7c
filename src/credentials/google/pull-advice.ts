import { memberOf, quoted } from './iam-member.ts'

type PullAdviceOptions = {
  /** Of the registry. */
  readonly host: string
  /** As the registry names it: project, repository, image; empty: the registry as a whole. */
  readonly repository: string
  readonly identity: string
  readonly access: 'pull' | 'push'
}

/** A repository of Artifact Registry, which holds images and has the permissions. */
type Place = { readonly project: string; readonly name: string; readonly location: string }

/** The multi-regions of the registries that Container Registry's hosts became. */
const gcrLocations: Readonly<Record<string, string>> = {
  'gcr.io': 'us',
  'us.gcr.io': 'us',
  'eu.gcr.io': 'europe',
  'asia.gcr.io': 'asia',
}

/**
 * What to grant to whom, so that `identity` may read, or write, `repository`. Google does not tell a
 * repository that is missing from one that is closed.
 */
export function pullAdvice({ host, repository, identity, access }: PullAdviceOptions): string {
  const role = access === 'push' ? 'roles/artifactregistry.writer' : 'roles/artifactregistry.reader'
  const place = placeOf(host, repository)
  if (repository === '')
    return `${identity} lacks ${role} in this registry; grant it on each repository that Berth is to reach`
  const { project, name } = place ?? partsOf(repository)
  const lacks = `${identity} lacks ${role} on ${project}/${name}, or that repository does not exist`
  const member = memberOf(identity) ?? podsOf(identity)
  if (place === undefined || member === undefined) return `${lacks}; grant it that role there`
  return `${lacks}; grant it with: gcloud artifacts repositories add-iam-policy-binding ${place.name} --project=${place.project} --location=${place.location} --member=${quoted(member)} --role=${role}`
}

/**
 * GKE's metadata server calls a pod whose service account stands for no account of Google's by its
 * cluster's pool alone.
 */
function podsOf(identity: string): string | undefined {
  if (!/^[a-z0-9.:-]+\.svc\.id\.goog$/.test(identity)) return undefined
  return `principal://iam.googleapis.com/projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/${identity}/subject/ns/NAMESPACE/sa/SERVICE_ACCOUNT`
}

/** Undefined where the host is none of Google's own that say where they are. */
function placeOf(host: string, repository: string): Place | undefined {
  const gcrLocation = gcrLocations[host]
  if (gcrLocation !== undefined)
    return { project: partsOf(repository).project, name: host, location: gcrLocation }
  const [, first, second] =
    /^(?:([a-z0-9-]+)-docker\.pkg\.dev|docker\.([a-z0-9-]+)\.rep\.pkg\.dev)$/.exec(host) ?? []
  const location = first ?? second
  return location === undefined ? undefined : { ...partsOf(repository), location }
}

/** Projects of a domain have it in front, parted by a slash in names and by a colon elsewhere. */
function partsOf(repository: string): { readonly project: string; readonly name: string } {
  const [first = '', second = '', third = ''] = repository.split('/')
  return first.includes('.')
    ? { project: `${first}:${second}`, name: third }
    : { project: first, name: second }
}
