import { z } from 'zod'

/** k8s.io/kubelet, pkg/apis/credentialprovider: all versions have the fields that we read. */
export const credentialProviderRequest = z.object({
  apiVersion: z.enum(
    ['v1', 'v1beta1', 'v1alpha1'].map((version) => `credentialprovider.kubelet.k8s.io/${version}`),
  ),
  kind: z.literal('CredentialProviderRequest'),
  image: z.string(),
  serviceAccountToken: z.string().optional(),
  serviceAccountAnnotations: z.record(z.string(), z.string()).default({}),
})

type Response = {
  /** That of the request. */
  readonly apiVersion: string
  /** The registry or the image that the login is valid for. */
  readonly key: string
  readonly cacheKeyType: 'Registry' | 'Image'
  /** Undefined: the kubelet pulls anonymously. */
  readonly login: { readonly username: string; readonly password: string } | undefined
  /** Milliseconds until the login expires; undefined: never, or unknown. */
  readonly validFor: number | undefined
}

/** The CredentialProviderResponse that a kubelet reads from standard output. */
export function formatResponse({
  apiVersion,
  key,
  cacheKeyType,
  login,
  validFor,
}: Response): string {
  return `${JSON.stringify({
    apiVersion,
    kind: 'CredentialProviderResponse',
    cacheKeyType,
    ...cacheDuration(login === undefined ? 0 : validFor),
    ...(login !== undefined && { auth: { [key]: login } }),
  })}\n`
}

/** Milliseconds that a credential must remain valid for a pull that starts at the end of the cache duration. */
const margin = 300_000

/**
 * In Go's format of durations. Omitted if the expiry is unknown: the kubelet then uses its
 * defaultCacheDuration.
 */
function cacheDuration(validFor: number | undefined): { readonly cacheDuration?: string } {
  if (validFor === undefined) return {}
  const seconds = Math.floor(Math.max(validFor - margin, validFor / 2, 0) / 1000)
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const parts = [hours > 0 && `${hours}h`, seconds >= 60 && `${minutes}m`, `${seconds % 60}s`]
  return { cacheDuration: parts.filter(Boolean).join('') }
}
