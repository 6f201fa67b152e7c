import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { createOutbound, requestWhole } from '../outbound/outbound.ts'

/** What the API server answers about an object. `gone` includes an object that is being deleted. */
export type ObjectState = 'exists' | 'gone' | 'forbidden'

/** The API server, with the permissions of a pod's service account. */
export interface Cluster {
  /** Rejects if the API server does not answer, or answers with an unexpected status. */
  daemonSet(namespace: string, name: string): Promise<ObjectState>
}

type ClusterOptions = {
  /** `HOST:PORT` of the API server. */
  readonly server: string
  /** Directory with the service account's `token` and `ca.crt`; both are read for each request. */
  readonly directory: string
}

/** Where kubelets mount the service account's token and CA. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Milliseconds. */
const timeout = 5000
/** Bytes. A DaemonSet is much smaller. */
const maxAnswer = 4 * 1024 * 1024

export function createCluster({ server, directory }: ClusterOptions): Cluster {
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const [token, ca] = await Promise.all(
      ['token', 'ca.crt'].map((file) => readFile(join(directory, file), 'utf8')),
    )
    const headers = { authorization: `Bearer ${token?.trim()}`, accept: 'application/json' }
    return request(`https://${server}${path}`, { headers, ca })
  }

  return {
    daemonSet: async (namespace, name) => {
      const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${encodeURIComponent(name)}`
      const { status, text } = await get(path)
      if (status === 200) return isBeingDeleted(text) ? 'gone' : 'exists'
      if (status === 404) return 'gone'
      if (status === 401 || status === 403) return 'forbidden'
      throw new Error(`the API server answered ${status} to GET ${path}`)
    },
  }
}

type RequestOptions = {
  readonly headers: Readonly<Record<string, string>>
  readonly ca: string | undefined
}

/** Without a forward proxy: the API server is inside the cluster. */
async function request(
  url: string,
  { headers, ca }: RequestOptions,
): Promise<{ status: number; text: string }> {
  const connections = createOutbound().open({ timeout, direct: true, onlyAuthority: ca })
  try {
    const signal = AbortSignal.timeout(timeout)
    const options = { url: new URL(url), headers, signal, maxBytes: maxAnswer }
    const { status, body } = await requestWhole(connections, options)
    return { status, text: body.toString('utf8') }
  } finally {
    await connections.destroy()
  }
}

const object = z.object({ metadata: z.object({ deletionTimestamp: z.string().optional() }) })

function isBeingDeleted(text: string): boolean {
  return object.parse(JSON.parse(text)).metadata.deletionTimestamp !== undefined
}
