export { createApiClient } from './api-client.ts'
export { createCluster, serviceAccountDirectory } from './cluster.ts'
export { credentialProviderRequest, formatResponse } from './credential-provider.ts'
export {
  type CacheType,
  cacheTypes,
  credentialProviderConfig,
} from './credential-provider-config.ts'
export { watchDaemonSet } from './daemonset.ts'
export { fetchClusterKeys, fetchPublishedKeys } from './issuer-keys.ts'
export {
  podTokenProvider,
  podTokenProviderConfig,
} from './pod-token-provider.ts'
export { requestToken } from './token-request.ts'
export { reviewToken } from './token-review.ts'
export { watchWorkloadImages } from './workload-images.ts'
