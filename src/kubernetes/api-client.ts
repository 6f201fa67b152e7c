import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Connections, createOutbound, requestWhole } from '../outbound/outbound.ts'

/** `HOST:PORT` of the API server, and the directory of a service account's `token` and `ca.crt`. */
export type ApiServer = { readonly server: string; readonly directory: string }

type Whole = { readonly status: number; readonly text: string }
type Stream = { readonly status: number; readonly body: AsyncIterable<Uint8Array> }

/**
 * Requests to the API server with the permissions of a service account. Token and CA are read for
 * each request, because kubelets rotate them. Never through a forward proxy: the API server is
 * inside the cluster.
 */
export interface ApiClient {
  /** The whole response, of at most `maxBytes`. `accept`: media types (default: JSON). */
  get(
    path: string,
    options: { readonly maxBytes: number; readonly accept?: string },
  ): Promise<Whole>
  /** Creates an object, in JSON. */
  post(path: string, object: object, options: { readonly maxBytes: number }): Promise<Whole>
  /** Replaces an object of the same version. */
  put(path: string, object: object, options: { readonly maxBytes: number }): Promise<Whole>
  /** Changes an object; `type`: media type of the patch. */
  patch(
    path: string,
    patch: object,
    options: { readonly maxBytes: number; readonly type: string },
  ): Promise<Whole>
  /** A response that may last; `signal` ends it. */
  stream(path: string, signal: AbortSignal): Promise<Stream>
  close(): Promise<void>
}

type WriteOptions = {
  readonly method: 'POST' | 'PUT' | 'PATCH'
  readonly maxBytes: number
  readonly type?: string
}

/** Milliseconds to connect, and for a whole response. */
const timeout = 5000

export function createApiClient({ server, directory }: ApiServer): ApiClient {
  let current: { readonly ca: string; readonly connections: Connections } | undefined

  const read = (file: string) => readFile(join(directory, file), 'utf8')

  /** A rotated CA needs new connections. */
  const connectionsFor = async (ca: string): Promise<Connections> => {
    if (current?.ca === ca) return current.connections
    const old = current
    const connections = createOutbound().open({ timeout, direct: true, onlyAuthority: ca })
    current = { ca, connections }
    await old?.connections.destroy()
    return connections
  }

  const prepare = async (path: string) => {
    const [token, ca] = await Promise.all([read('token'), read('ca.crt')])
    return {
      connections: await connectionsFor(ca),
      url: new URL(`https://${server}${path}`),
      headers: { authorization: `Bearer ${token.trim()}`, accept: 'application/json' },
    }
  }

  const write = async (
    path: string,
    object: object,
    { method, maxBytes, type = 'application/json' }: WriteOptions,
  ): Promise<Whole> => {
    const { connections, url, headers } = await prepare(path)
    const { status, body } = await requestWhole(connections, {
      url,
      method,
      headers: { ...headers, 'content-type': type },
      body: JSON.stringify(object),
      signal: AbortSignal.timeout(timeout),
      maxBytes,
    })
    return { status, text: body.toString('utf8') }
  }

  return {
    get: async (path, { maxBytes, accept }) => {
      const { connections, url, headers: usual } = await prepare(path)
      const headers = { ...usual, ...(accept !== undefined && { accept }) }
      const signal = AbortSignal.timeout(timeout)
      const { status, body } = await requestWhole(connections, { url, headers, signal, maxBytes })
      return { status, text: body.toString('utf8') }
    },

    post: (path, object, { maxBytes }) => write(path, object, { method: 'POST', maxBytes }),

    put: (path, object, { maxBytes }) => write(path, object, { method: 'PUT', maxBytes }),

    patch: (path, object, options) => write(path, object, { method: 'PATCH', ...options }),

    stream: async (path, signal) => {
      const { connections, url, headers } = await prepare(path)
      const { statusCode, body } = await connections.dispatcher.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers,
        signal,
        headersTimeout: timeout,
        // The caller decides how long a watch may be silent.
        bodyTimeout: 0,
      })
      return { status: statusCode, body }
    },

    close: async () => {
      await current?.connections.destroy()
    },
  }
}
