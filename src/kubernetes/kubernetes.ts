export { type ApiClient, createApiClient } from './api-client.ts'
export { createCluster, serviceAccountDirectory } from './cluster.ts'
export { credentialProviderRequest, formatResponse } from './credential-provider.ts'
export {
  type CacheType,
  cacheTypes,
  credentialProviderConfig,
} from './credential-provider-config.ts'
export { watchDaemonSet } from './daemonset.ts'
export { ExecError, execInPod } from './exec.ts'
export {
  type FoundRegistry,
  findRegistry,
  listRegistryPods,
} from './find-registry.ts'
export { fetchClusterKeys, fetchPublishedKeys } from './issuer-keys.ts'
export { loadUserAccess, type UserAccess } from './kubeconfig.ts'
export { KubernetesError } from './kubernetes-error.ts'
export { listNodePlatforms } from './node-platforms.ts'
export { createObjectReflector, type ListedObject } from './object-reflector.ts'
export {
  podTokenProvider,
  podTokenProviderConfig,
} from './pod-token-provider.ts'
export { forwardToPod } from './port-forward.ts'
export type { RegistryPod } from './registry-pod.ts'
export { reviewAccess } from './review-access.ts'
export { runInPod } from './run-in-pod.ts'
export { listServices } from './services.ts'
export { requestToken, requestUserToken } from './token-request.ts'
export { reviewToken } from './token-review.ts'
export { openBody, requestObject } from './user-api.ts'
export { watchWorkloadImages } from './workload-images.ts'
