import { z } from 'zod'
import type { ApiClient } from './api-client.ts'

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
  { namespace, name, audiences, lifetime }: Request,
): Promise<ServiceAccountToken> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(name)}/token`
  const object = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences, ...(lifetime !== undefined && { expirationSeconds: lifetime }) },
  }
  const { status, text } = await client.post(path, object, { maxBytes: maxAnswer })
  if (status !== 200 && status !== 201)
    throw new Error(
      `cannot create a token for the service account ${name} in ${namespace}: ${messageIn(text) ?? `the API server answered ${status}`}`,
    )
  const { token, expirationTimestamp } = answer.parse(JSON.parse(text)).status
  return { token, expires: new Date(expirationTimestamp) }
}

/** Of a `Status`, which the API server answers with its errors. */
function messageIn(text: string): string | undefined {
  try {
    return failure.parse(JSON.parse(text)).message
  } catch {
    return undefined
  }
}
