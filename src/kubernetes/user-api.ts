import { request as requestPlain } from 'node:http'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { z } from 'zod'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'

/** Milliseconds for a whole response. */
const timeout = 30_000

const statusSchema = z.object({ message: z.string().optional(), reason: z.string().optional() })

/**
 * Gets an object with the user's own rights.
 * @throws KubernetesError with the API server's status and message.
 */
export async function getObject(
  access: UserAccess,
  path: string,
  signal?: AbortSignal,
): Promise<unknown> {
  const url = urlOf(access, path)
  const options = await access.requestOptions()
  const until = AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])])
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const send = url.protocol === 'http:' ? requestPlain : request
  const headers = { ...options.headers, accept: 'application/json' }
  send(url, { ...options, headers, signal: until }, (response) => {
    text(response)
      .then((body) => {
        if (response.statusCode === 200) resolve(JSON.parse(body))
        else reject(refused(response.statusCode, body))
      })
      .catch(reject)
  })
    .on('error', (cause) => reject(unreachable(access, cause)))
    .end()
  return promise
}

/** A server may be below a path, as that of Rancher. */
export function urlOf({ server }: UserAccess, path: string): URL {
  return new URL(`${server.href.replace(/\/$/, '')}${path}`)
}

/** The API server's answer to a request that failed. */
export function refused(status: number | undefined, body: string): KubernetesError {
  const { message = body.slice(0, 300), reason } = parseStatus(body)
  const advice = status === 401 ? ': log in to the cluster again' : ''
  return new KubernetesError(
    `the API server answered ${status} ${reason ?? ''} ${message}${advice}`.replaceAll(/ +/g, ' '),
    {
      status,
    },
  )
}

export function unreachable({ server, context }: UserAccess, cause: unknown): KubernetesError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new KubernetesError(`cannot reach ${server.host} of context ${context}: ${reason}`, {
    cause,
  })
}

function parseStatus(body: string): z.output<typeof statusSchema> {
  try {
    return statusSchema.parse(JSON.parse(body))
  } catch {
    return {}
  }
}
