import type { Ambient } from '../../config/config.ts'
import {
  type ApiClient,
  createApiClient,
  serviceAccountDirectory,
} from '../../kubernetes/kubernetes.ts'

/** With the permissions of the pod's service account; undefined outside a cluster. */
export function apiServerClient({
  kubernetesServer: server,
  serviceAccount: directory = serviceAccountDirectory,
}: Ambient): ApiClient | undefined {
  return server === undefined ? undefined : createApiClient({ server, directory })
}
