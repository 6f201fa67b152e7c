import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request } from 'node:https'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { z } from 'zod'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'

/** Milliseconds for a whole response. */
const timeout = 30_000

const statusSchema = z.object({ message: z.string().optional(), reason: z.string().optional() })

/** A request with the user's own rights. */
export type UserRequest = {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** With its query. */
  readonly path: string
  /** Is sent as JSON. */
  readonly body?: object
  /** Of the body. */
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
}

/** What the API server answered to a request that it granted: 201 if an object was created. */
export type UserAnswer = { readonly status: number; readonly object: unknown }

/**
 * Gets an object with the user's own rights.
 * @throws KubernetesError with the API server's status and message.
 */
export async function getObject(
  access: UserAccess,
  path: string,
  signal?: AbortSignal,
): Promise<unknown> {
  return (await requestObject(access, { path, signal })).object
}

/** @throws KubernetesError with the API server's status and message. */
export async function requestObject(access: UserAccess, asked: UserRequest): Promise<UserAnswer> {
  const { signal } = asked
  const until = AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])])
  const response = await open(access, { ...asked, signal: until })
  const body = await text(response)
  const { statusCode: status = 0 } = response
  if (status < 200 || status > 299) throw refused(status, body)
  return { status, object: JSON.parse(body) }
}

/**
 * A response that may last, such as a log that is followed; `signal` ends it.
 * @throws KubernetesError with the API server's status and message.
 */
export async function openBody(
  access: UserAccess,
  path: string,
  signal: AbortSignal,
): Promise<Readable> {
  const response = await open(access, { path, signal })
  if (response.statusCode !== 200) throw refused(response.statusCode, await text(response))
  return response
}

async function open(access: UserAccess, asked: UserRequest): Promise<IncomingMessage> {
  const { method = 'GET', path, body, contentType = 'application/json', signal } = asked
  const url = urlOf(access, path)
  const options = await access.requestOptions()
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const send = url.protocol === 'http:' ? requestPlain : request
  const headers = {
    ...options.headers,
    accept: 'application/json',
    ...(body !== undefined && { 'content-type': contentType }),
  }
  send(url, { ...options, method, headers, signal }, resolve)
    .on('error', (cause) => reject(unreachable(access, cause)))
    .end(body === undefined ? undefined : JSON.stringify(body))
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
