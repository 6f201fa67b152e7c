import { z } from 'zod'
import { type ApiServer, createApiClient } from './api-client.ts'

/** What the API server answers about an object. `gone` includes an object that is being deleted. */
export type ObjectState = 'exists' | 'gone' | 'forbidden'

/** The API server, with the permissions of a pod's service account. */
export interface Cluster {
  /** Rejects if the API server does not answer, or answers with an unexpected status. */
  daemonSet(namespace: string, name: string): Promise<ObjectState>
}

/** Where kubelets mount the service account's token and CA. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Bytes. A DaemonSet is much smaller. */
const maxAnswer = 4 * 1024 * 1024

export function createCluster(options: ApiServer): Cluster {
  return {
    daemonSet: async (namespace, name) => {
      const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${encodeURIComponent(name)}`
      const { status, text } = await getOnce(options, path)
      if (status === 200) return isBeingDeleted(text) ? 'gone' : 'exists'
      if (status === 404) return 'gone'
      if (status === 401 || status === 403) return 'forbidden'
      throw new Error(`the API server answered ${status} to GET ${path}`)
    },
  }
}

/** Requests are rare, so no connection is kept. */
async function getOnce(options: ApiServer, path: string) {
  const client = createApiClient(options)
  try {
    return await client.get(path, { maxBytes: maxAnswer })
  } finally {
    await client.close()
  }
}

const object = z.object({ metadata: z.object({ deletionTimestamp: z.string().optional() }) })

function isBeingDeleted(text: string): boolean {
  return object.parse(JSON.parse(text)).metadata.deletionTimestamp !== undefined
}
