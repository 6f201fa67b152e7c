import { resolve } from 'node:path'
import { stringify } from 'yaml'
import type { Config, Loaded } from '../config/config.ts'
import { UsageError } from './errors.ts'
import { imagePatterns } from './upstream-by-host.ts'

/**
 * For whom the kubelet keeps what it was answered: all pods of a service account, or one token alone.
 * Google, AWS and Entra look at whose the token is, not at which pod's.
 */
export const cacheTypes = ['ServiceAccount', 'Token'] as const
export type CacheType = (typeof cacheTypes)[number]

type Options = {
  readonly audience?: string
  readonly cacheType: CacheType
  readonly optionalServiceAccount?: true
}

/** Where nobody knows when a credential expires: as soon, about, as a changed file counts. */
const defaultCacheDuration = '1m0s'

/** By which a service account says as whom it pulls, where its cloud has a word for that. */
const annotations: Readonly<
  Partial<Record<Config['upstreams'][number]['credentials']['type'], readonly string[]>>
> = {
  aws: ['eks.amazonaws.com/role-arn'],
  google: ['iam.gke.io/gcp-service-account'],
  azure: ['azure.workload.identity/client-id', 'azure.workload.identity/tenant-id'],
}

/**
 * The kubelet's CredentialProviderConfig (kubelet.config.k8s.io/v1), as YAML, for all upstreams that
 * have credentials.
 * @throws UsageError when none has any.
 */
export function kubeletConfiguration(loaded: Loaded, options: Options): string {
  const matchImages = imagePatterns(loaded)
  if (matchImages.length === 0)
    throw new UsageError(
      'there is nothing to ask for: no upstream has credentials (upstreams[].credentials)',
    )
  const provider = {
    name: 'berth-credential-provider',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages,
    defaultCacheDuration,
    ...(loaded.file !== undefined && { args: [`--config=${resolve(loaded.file)}`] }),
    ...tokenAttributes(loaded, options),
  }
  return stringify(
    {
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [provider],
    },
    { version: '1.1', lineWidth: 0 },
  )
}

function tokenAttributes({ config }: Loaded, options: Options): object {
  const { audience, cacheType, optionalServiceAccount = false } = options
  if (audience === undefined) return {}
  const keys = config.upstreams.flatMap(({ credentials }) => annotations[credentials.type] ?? [])
  return {
    tokenAttributes: {
      serviceAccountTokenAudience: audience,
      cacheType,
      requireServiceAccount: !optionalServiceAccount,
      ...(keys.length > 0 && { optionalServiceAccountAnnotationKeys: [...new Set(keys)] }),
    },
  }
}
