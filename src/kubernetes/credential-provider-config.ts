import { stringify } from 'yaml'

/**
 * Whether the kubelet caches a response for all pods of a service account, or for one token. Google,
 * AWS and Entra decide by the service account, so `ServiceAccount` is enough for them.
 */
export const cacheTypes = ['ServiceAccount', 'Token'] as const
export type CacheType = (typeof cacheTypes)[number]

type Options = {
  readonly matchImages: readonly string[]
  /** Absolute path of Berth's configuration file; undefined: the embedded default. */
  readonly configFile: string | undefined
  /** Of the service account tokens that the kubelet passes on; undefined: it passes none. */
  readonly audience: string | undefined
  readonly cacheType: CacheType
  /** Pods without a service account, such as static pods, get the node's credentials. */
  readonly optionalServiceAccount: boolean
  /** Annotations of the service account that the kubelet passes on with a token. */
  readonly annotationKeys: readonly string[]
}

/** For credentials whose expiry is unknown. */
const defaultCacheDuration = '1m0s'

/** The kubelet's CredentialProviderConfig (kubelet.config.k8s.io/v1), as YAML 1.1. */
export function credentialProviderConfig(options: Options): string {
  const { matchImages, configFile } = options
  const provider = {
    name: 'berth-credential-provider',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages,
    defaultCacheDuration,
    ...(configFile !== undefined && { args: [`--config=${configFile}`] }),
    ...tokenAttributes(options),
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

function tokenAttributes(options: Options): object {
  const { audience, cacheType, optionalServiceAccount, annotationKeys } = options
  if (audience === undefined) return {}
  return {
    tokenAttributes: {
      serviceAccountTokenAudience: audience,
      cacheType,
      requireServiceAccount: !optionalServiceAccount,
      ...(annotationKeys.length > 0 && {
        optionalServiceAccountAnnotationKeys: [...new Set(annotationKeys)],
      }),
    },
  }
}
