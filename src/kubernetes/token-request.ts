import { z } from 'zod'
import type { ApiClient } from './api-client.ts'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'
import { requestObject } from './user-api.ts'

type Request = {
  readonly namespace: string
  /** Of the service account. */
  readonly name: string
  readonly audiences: readonly string[]
  /** Seconds; the API server gives at least ten minutes, and may give less than was asked for. */
  readonly lifetime?: number
}

type ServiceAccountToken = { readonly token: string; readonly expires: Date }

const answer = z.object({
  status: z.object({ token: z.string().min(1), expirationTimestamp: z.iso.datetime() }),
})
const failure = z.object({ message: z.string() })
const maxAnswer = 256 * 1024

/**
 * A token of a service account for these audiences (authentication.k8s.io/v1, TokenRequest). Whoever may
 * create it is that service account for Berth: it takes the verb `create` on `serviceaccounts/token`.
 * @throws Error with the API server's own message, such as that of a missing permission.
 */
export async function requestToken(
  client: Pick<ApiClient, 'post'>,
  request: Request,
): Promise<ServiceAccountToken> {
  const { status, text } = await client.post(pathOf(request), objectOf(request), {
    maxBytes: maxAnswer,
  })
  if (status !== 200 && status !== 201)
    throw new Error(failed(request, messageIn(text) ?? `the API server answered ${status}`))
  return readAnswer(JSON.parse(text))
}

/**
 * The same, with the rights of a user.
 * @throws KubernetesError
 */
export async function requestUserToken(
  access: UserAccess,
  request: Request,
): Promise<ServiceAccountToken> {
  try {
    const asked = { method: 'POST', path: pathOf(request), body: objectOf(request) } as const
    return readAnswer((await requestObject(access, asked)).object)
  } catch (cause) {
    if (!(cause instanceof KubernetesError)) throw cause
    const { status } = cause
    const advice = status === 403 ? '; it takes the right create on serviceaccounts/token' : ''
    throw new KubernetesError(failed(request, cause.message + advice), { status, cause })
  }
}

function pathOf({ namespace, name }: Request): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(name)}/token`
}

function objectOf({ audiences, lifetime }: Request): object {
  return {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences, ...(lifetime !== undefined && { expirationSeconds: lifetime }) },
  }
}

function readAnswer(object: unknown): ServiceAccountToken {
  const { token, expirationTimestamp } = answer.parse(object).status
  return { token, expires: new Date(expirationTimestamp) }
}

function failed({ namespace, name }: Request, why: string): string {
  return `cannot create a token for the service account ${name} in ${namespace}: ${why}`
}

/** Of a `Status`, which the API server answers with its errors. */
function messageIn(text: string): string | undefined {
  try {
    return failure.parse(JSON.parse(text)).message
  } catch {
    return undefined
  }
}
