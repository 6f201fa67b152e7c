import { z } from 'zod'
import { type Connections, requestWhole } from '../outbound/outbound.ts'
import type { ApiClient } from './api-client.ts'

/** The issuer of service account tokens, and its public keys as a JSON Web Key Set, unparsed. */
type IssuerKeys = { readonly issuer: string; readonly keys: unknown }

/** Of OpenID Connect Discovery 1.0, what is needed here. */
const configuration = z.object({ issuer: z.string().min(1), jwks_uri: z.url() })
const discoveryPath = '/.well-known/openid-configuration'
const keysPath = '/openid/v1/jwks'
/** The API server answers 406 to a request for keys that accepts only `application/json`. */
const accept = 'application/jwk-set+json, application/json'
const maxAnswer = 1024 * 1024
/** Milliseconds for a whole answer of an issuer. */
const timeout = 10_000

/**
 * From the API server itself, whatever address its configuration names: that may be the public one of a
 * cloud. All service accounts may read both, unless the ClusterRole `system:service-account-issuer-discovery`
 * is bound to others.
 * @throws Error saying what the API server answered.
 */
export async function fetchClusterKeys(client: ApiClient): Promise<IssuerKeys> {
  const get = async (path: string): Promise<unknown> => {
    const { status, text } = await client.get(path, { maxBytes: maxAnswer, accept })
    if (status === 200) return parseJson(text, path)
    const advice =
      status === 401 || status === 403
        ? "; bind the ClusterRole system:service-account-issuer-discovery to Berth's service account"
        : ''
    throw new Error(`the API server answered ${status} to GET ${path}${advice}`)
  }
  const { issuer } = configuration.parse(await get(discoveryPath))
  return { issuer, keys: await get(keysPath) }
}

type Publisher = { readonly connections: Connections; readonly issuer: string }

/**
 * From an issuer that publishes its keys, by OpenID Connect Discovery: the configuration must name the same
 * issuer, and keys come by the issuer's own scheme.
 * @throws Error saying what was requested and answered.
 */
export async function fetchPublishedKeys(publisher: Publisher): Promise<IssuerKeys> {
  const { connections, issuer } = publisher
  const get = async (url: URL): Promise<unknown> => {
    const signal = AbortSignal.timeout(timeout)
    const headers = { accept }
    const { status, body } = await requestWhole(connections, {
      url,
      headers,
      signal,
      maxBytes: maxAnswer,
    })
    if (status !== 200) throw new Error(`the issuer answered ${status} to GET ${url.href}`)
    return parseJson(body.toString('utf8'), url.href)
  }
  const discovered = configuration.parse(
    await get(new URL(issuer.replace(/\/$/, '') + discoveryPath)),
  )
  if (discovered.issuer !== issuer)
    throw new Error(`the configuration of the issuer ${issuer} is of ${discovered.issuer}`)
  const keysUrl = new URL(discovered.jwks_uri)
  if (keysUrl.protocol !== new URL(issuer).protocol)
    throw new Error(`the keys of the issuer ${issuer} are at ${keysUrl.origin}, by another scheme`)
  return { issuer, keys: await get(keysUrl) }
}

function parseJson(text: string, from: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`the answer from ${from} is not JSON`)
  }
}
