import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { createOutbound, requestWhole } from '../outbound/outbound.ts'

/** What the API server says of an object: `gone` is also one that is being deleted. */
export type Presence = 'there' | 'gone' | 'forbidden'

/** The API server, as a pod's service account may ask it. */
export interface Cluster {
  /** Rejects when it cannot be asked. */
  daemonSet(namespace: string, name: string): Promise<Presence>
}

type ClusterOptions = {
  /** `HOST:PORT` of the API server. */
  readonly server: string
  /** Of the service account: `token` and `ca.crt`, which are read anew each time. */
  readonly directory: string
}

/** Where kubelets mount it. */
export const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Milliseconds. */
const patience = 5000
/** Bytes: a DaemonSet is a fraction of it. */
const largestAnswer = 4 * 1024 * 1024

export function createCluster({ server, directory }: ClusterOptions): Cluster {
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const [token, ca] = await Promise.all(
      ['token', 'ca.crt'].map((file) => readFile(join(directory, file), 'utf8')),
    )
    const headers = { authorization: `Bearer ${token?.trim()}`, accept: 'application/json' }
    return ask(`https://${server}${path}`, { headers, ca })
  }

  return {
    daemonSet: async (namespace, name) => {
      const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${encodeURIComponent(name)}`
      const { status, text } = await get(path)
      if (status === 200) return isBeingDeleted(text) ? 'gone' : 'there'
      if (status === 404) return 'gone'
      if (status === 401 || status === 403) return 'forbidden'
      throw new Error(`the API server answered ${status} to GET ${path}`)
    },
  }
}

type Asked = { readonly headers: Readonly<Record<string, string>>; readonly ca: string | undefined }

/** Directly: the API server is in the cluster, whatever proxy leads out of it. */
async function ask(url: string, { headers, ca }: Asked): Promise<{ status: number; text: string }> {
  const connections = createOutbound().open({ timeout: patience, direct: true, onlyAuthority: ca })
  try {
    const signal = AbortSignal.timeout(patience)
    const asked = { url: new URL(url), headers, signal, maxBytes: largestAnswer }
    const { status, body } = await requestWhole(connections, asked)
    return { status, text: body.toString('utf8') }
  } finally {
    await connections.destroy()
  }
}

const object = z.object({ metadata: z.object({ deletionTimestamp: z.string().optional() }) })

function isBeingDeleted(text: string): boolean {
  return object.parse(JSON.parse(text)).metadata.deletionTimestamp !== undefined
}
